// SPDX-License-Identifier: Apache-2.0
// The session before and after changes of what the process may do: rights, namespaces, sandboxes, locked memory.
#include "agent/engine/helper.h"
#include "agent/engine/session.h"
#include "agent/engine/signals.h"

namespace tailback::engine {

using capture::thread_local_state;

namespace {
constexpr std::uint64_t kLockWaitNs = 200'000'000;
constexpr std::uint64_t kHelperWaitNs = 1'000'000'000;
}  // namespace

void Session::open_dump_early() {
  wake_up();
  if (!ready_ || !capture::recording() || dump_.state() != DumpState::closed || !is_this_process()) return;
  ++thread_local_state.in_agent;
  if (lock_->lock_within(kLockWaitNs)) {
    if (dump_.state() == DumpState::closed && open_dump()) opened_early_ = true;
    lock_->unlock();
  }
  --thread_local_state.in_agent;
}

bool Session::pause_helper() { return ready_ && helper.running() && is_this_process() && helper.join(kHelperWaitNs); }

void Session::resume_helper() {
  if (capture::recording()) helper.start(*this);
}

void Session::end_before_sandbox() {
  if (!is_this_process()) return;
  pause_helper();
  end(EndReason::stopped, 0);
  release_signals();
}

void Session::before_locking_memory() {
  wake_up();
  if (!ready_ || !capture::recording() || !is_this_process()) return;
  ++thread_local_state.in_agent;
  thread_local_state.holds_drain = lock_->lock_within(kLockWaitNs);
  if (thread_local_state.holds_drain) dump_.hide_unused();
  else --thread_local_state.in_agent;
}

void Session::after_locking_memory() {
  if (!thread_local_state.holds_drain) return;
  dump_.show_unused();
  thread_local_state.holds_drain = 0;
  lock_->unlock();
  --thread_local_state.in_agent;
}

}  // namespace tailback::engine
