// SPDX-License-Identifier: Apache-2.0
// Life of the program's threads as the session sees it: prepared by the creator, begun and ended by the thread itself.
#include <errno.h>
#include <signal.h>

#include <cstring>

#include "agent/capture/clock.h"
#include "agent/engine/helper.h"
#include "agent/engine/session.h"
#include "agent/engine/signals.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::ThreadBlock;
using capture::ThreadState;
using capture::thread_local_state;

namespace {

constexpr std::uint64_t kSmallestSampledStack = 64 * 1024;  // a signal frame alone is 12 KiB on machines with wide registers
constexpr std::uint64_t kGuardBytes = 8 * 1024;
constexpr std::uint64_t kLongLivedNs = 20'000'000;

// The word behind a pointer that may be anything (a thread's argument): the kernel reads it first, as a mask for a change of the mask
// that does not exist, and says whether it could; a quarter of what process_vm_readv takes.
std::uint64_t peek(const void* address) {
  constexpr long kNoSuchChange = -1;
  const long result = sys::call(__NR_rt_sigprocmask, kNoSuchChange, sys::arg(address), 0, sizeof(std::uint64_t));
  std::uint64_t word = 0;
  if (result == -EINVAL) std::memcpy(&word, address, sizeof word);
  return word;
}

}  // namespace

ThreadBlock* Session::prepare_thread(const capture::Scope& scope, void* (*entry)(void*), void* argument, std::uint64_t stack_bytes) {
  if (!scope.on()) return nullptr;
  ThreadBlock* block = threads_.acquire();
  if (!block) return nullptr;
  block->entry = entry;
  block->entry_argument = argument;
  block->inherited_mask = thread_local_state.wanted_mask;
  block->inherits_given_back = thread_local_state.given_back != 0;
  block->start_routine = reinterpret_cast<std::uint64_t>(entry);
  block->start_argument = argument ? peek(argument) : 0;
  block->stack = {0, stack_bytes};  // the size until the thread knows its address
  if (ThreadBlock* creator = scope.thread()) {  // leaving out this function and the hook
    block->creator = creator->id;
    block->creation_stack = unwinder.walk_here(2, creator->stack, *creator->hook_cache).stack;
  }
  helper.start(*this);
  return block;
}

void Session::cancel_thread(ThreadBlock* block) { threads_.release(block); }

void Session::begin_thread(ThreadBlock* block) {
  block->id = threads_.next_id();
  block->tid = static_cast<std::int32_t>(sys::gettid());
  block->start_ns = capture::monotonic_ns();
  // The thread's control block lies at the top of its stack, above every frame; all in between is mapped.
  const std::uint64_t size = block->stack.high;
  const auto top = reinterpret_cast<std::uint64_t>(__builtin_thread_pointer());
  const auto here = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
  const bool inside = here < top && top - here < size;
  // The lowest pages are the guard; leaving them out keeps a foreign mapping right below from being taken for this stack.
  block->stack = inside ? capture::StackBounds{top - size + kGuardBytes, top} : capture::StackBounds{0, 0};
  block->handle = top;
  thread_local_state.block = block;
  thread_local_state.wanted_mask = block->inherited_mask;
  if (size < kSmallestSampledStack || !arm(*block)) block->flags |= capture::kThreadUnsampled;
  signals_in_new_thread(block->inherits_given_back);
  allocations.begin_thread(*block);
  block->state.store(ThreadState::live, std::memory_order_release);
}

void Session::end_thread() {
  ThreadBlock* block = thread_local_state.block;
  if (!block || !capture::recording()) return;
  // Main by pthread_exit; or the thread that forked a child, which is that child's main thread and ends like any other.
  if (block->flags & capture::kThreadMain) main_left_ = true;
  capture::disarm_timer(*block);
  if (const std::uint64_t now = capture::tick_clock.now(); capture::timing_locks() && capture::detail_span.holds(now))
    tell_wake(*block, trace::Call::thread_exit, reinterpret_cast<std::uint64_t>(__builtin_thread_pointer()), now);
  block->end_ns = capture::monotonic_ns();
  const bool long_lived = block->end_ns - block->start_ns > kLongLivedNs;
  read_own_counters(*block, long_lived, run_delay_ == RunDelaySource::schedstat);
  allocations.end_thread(*block);
  thread_local_state.block = nullptr;
  block->state.store(ThreadState::ended, std::memory_order_release);
  // Collect it at once where that needs no waiting, so that a program which makes threads by the thousand does not pile up
  // blocks until the next tick.
  if (dump_.state() == DumpState::open && lock_->try_lock()) {
    if (block->state.load(std::memory_order_acquire) == ThreadState::ended) drain_.thread(*block, false);
    lock_->unlock();
  }
  if (main_left_ && live_threads() == 0) helper.look();  // the process ends with its last thread, which must not be ours
}

// A process with one thread has no helper, and this thread will hardly do anything any more.
void Session::watch_deadlock() {
  const capture::Scope scope;
  if (scope.on()) helper.start(*this);
}

void Session::main_thread_leaves() {
  ThreadBlock* block = thread_local_state.block;
  if (!block || !(block->flags & capture::kThreadMain)) return;
  end_thread();
}

}  // namespace tailback::engine
