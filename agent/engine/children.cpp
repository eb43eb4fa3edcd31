// SPDX-License-Identifier: Apache-2.0
// The session in child processes, and around fork and exec: what is done at once, and what only when a child is used.
#include "agent/capture/clock.h"
#include "agent/capture/record_call.h"
#include "agent/engine/helper.h"
#include "agent/engine/session.h"
#include "agent/engine/signals.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::ThreadBlock;
using capture::thread_local_state;

namespace {
constexpr std::uint64_t kLockWaitNs = 200'000'000;
constexpr std::uint64_t kRestNs = 25'000'000;   // CPU time before a dormant process is sampled
constexpr std::uint64_t kWorthNs = 50'000'000;  // a lazy process gets a file after so much life or CPU time
}  // namespace

bool Session::begin_dormant() {
  if (options_.duration_ns || options_.delay_ns) return false;  // something must act while the process sleeps
  dormant_timer_ = capture::arm_ownerless_timer(static_cast<int>(pid_), kRestNs, started_ns_);
  dormant_ = dormant_timer_ >= 0;
  if (dormant_) capture::switch_off(options_.io);
  return dormant_;
}

// From nothing, or from what the parent left at a fork, to a recording of the calling thread. Also in the sampling handler.
void Session::wake() {
  if (!is_this_process()) return;  // a vfork child
  ++thread_local_state.in_agent;
  dormant_ = false;
  if (ready_) forget_parent();
  else ready_ = init_tables();
  if (ready_) {
    adopt_main_thread();
    begin_recording();
  }
  --thread_local_state.in_agent;
}

// Enough to be worth a dump, as far as a dormant process, which has one thread, can know.
bool Session::lived_long() const { return capture::monotonic_ns_once() - started_ns_ >= kWorthNs; }

bool Session::worth_a_file() const { return !lazy_ || lived_long() || capture::process_cpu_ns() >= kWorthNs || live_threads() > 1; }

void Session::before_fork() {
  if (!ready_ || !capture::recording()) return;
  ++thread_local_state.in_agent;
  thread_local_state.holds_drain = lock_->lock_within(kLockWaitNs);
  if (const ThreadBlock* own = thread_local_state.block) thread_local_state.stack_at_fork = own->stack;
  thread_local_state.fork_began = capture::tick_clock.now();
}

void Session::after_fork_in_parent() {
  if (!ready_ || !capture::recording()) return;
  const std::uint64_t end = capture::tick_clock.now();
  if (thread_local_state.holds_drain) lock_->unlock();
  thread_local_state.holds_drain = 0;
  ThreadBlock* own = thread_local_state.block;
  const std::uint64_t began = thread_local_state.fork_began;
  if (own && options_.io && began) capture::record_call(*own, {trace::Call::fork, 0, began, end});
  --thread_local_state.in_agent;
}

// Only the forking thread exists here, and most children execute another program at once: as little as possible.
void Session::after_fork_in_child() {
  signals_after_fork();
  if (thread_local_state.in_agent) --thread_local_state.in_agent;
  thread_local_state.holds_drain = 0;
  thread_local_state.block = nullptr;  // wiped
  if (!followed_) return;
  pid_ = static_cast<std::uint64_t>(sys::getpid());
  dormant_ = false;
  followed_ = options_.follow_children;
  if (!followed_) return;
  started_ns_ = capture::monotonic_ns_once();
  origin_ = Origin::forked;
  lazy_ = true;
  if (!begin_dormant()) wake();
}

// Of a forked child: its tables are empty (map_own_pages), what counts their entries says so from here on; dump and helper were the
// parent's.
void Session::forget_parent() {
  lock_->reset();
  helper.forget();
  dump_.abandon();
  code.after_fork();
  endpoints.after_fork();
  stacks_.after_fork();
  threads_.after_fork();
  aggregate_.after_fork();
  capture::lock_orders.after_fork();
  capture::file_locks.after_fork();
  allocations.after_fork();
  capture::sampling.timers.store(0);
  main_left_ = false;
}

void Session::before_exec() {
  signals_before_exec();
  if (!is_this_process() || (dormant_ ? !lived_long() : !capture::recording())) return;
  end(EndReason::exec, 0);
}

void Session::after_failed_exec() {
  signals_after_failed_exec();
  if (!ready_ || dormant_ || capture::recording() || !is_this_process() || !thread_local_state.block) return;
  // The dump that before_exec() closed is complete; what follows goes to the next free name.
  capture::disarm_timer(*thread_local_state.block);
  started_ns_ = capture::monotonic_ns();
  begin_recording();
}

}  // namespace tailback::engine
