// SPDX-License-Identifier: Apache-2.0
// Life of the program's threads as the session sees it: prepared by the creator, begun and ended by the thread itself.
#include <signal.h>

#include "agent/capture/clock.h"
#include "agent/engine/helper.h"
#include "agent/engine/session.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::ThreadBlock;
using capture::ThreadState;
using capture::thread_local_state;

namespace {

constexpr std::uint64_t kSmallestSampledStack = 64 * 1024;  // a signal frame alone is 12 KiB on machines with wide registers
constexpr std::uint64_t kGuardBytes = 8 * 1024;
constexpr std::uint64_t kWorthRunDelayNs = 20'000'000;      // threads that lived longer tell their run-queue delay

// The word behind a pointer that may be anything (a thread's argument): never faults.
std::uint64_t peek(const void* address) {
  std::uint64_t word = 0;
  struct Span {
    const void* base;
    std::uint64_t size;
  };
  Span to{&word, sizeof word}, from{address, sizeof word};
  const long got = sys::call(__NR_process_vm_readv, sys::getpid(), sys::arg(&to), 1, sys::arg(&from), 1, 0);
  return got == static_cast<long>(sizeof word) ? word : 0;
}

void unblock_sample_signal() {
  const std::uint64_t bit = std::uint64_t{1} << (capture::kSampleSignal - 1);
  std::uint64_t before = 0;
  sys::call(__NR_rt_sigprocmask, SIG_UNBLOCK, sys::arg(&bit), sys::arg(&before), sizeof bit);
}

}  // namespace

ThreadBlock* Session::prepare_thread(const capture::Scope& scope, void* (*entry)(void*), void* argument, std::uint64_t stack_bytes) {
  if (!scope.on()) return nullptr;
  ThreadBlock* block = threads_.acquire();
  if (!block) return nullptr;
  block->entry = entry;
  block->entry_argument = argument;
  block->inherited_mask = thread_local_state.wanted_mask;
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
  thread_local_state.block = block;
  thread_local_state.wanted_mask = block->inherited_mask;
  unblock_sample_signal();
  if (size < kSmallestSampledStack || !arm(*block)) block->flags |= capture::kThreadUnsampled;
  block->state.store(ThreadState::live, std::memory_order_release);
}

void Session::end_thread(ThreadBlock* block) {
  if (thread_local_state.block != block || !capture::recording()) return;
  capture::disarm_timer(*block);
  block->end_ns = capture::monotonic_ns();
  const bool long_lived = block->end_ns - block->start_ns > kWorthRunDelayNs && run_delay_ == RunDelaySource::schedstat;
  read_own_counters(*block, long_lived);
  thread_local_state.block = nullptr;
  block->state.store(ThreadState::ended, std::memory_order_release);
  // Collect it at once where that needs no waiting, so that a program which makes threads by the thousand does not pile up
  // blocks until the next tick.
  if (dump_.state() == DumpState::open && lock_.try_lock()) {
    if (block->state.load(std::memory_order_acquire) == ThreadState::ended) drain_.thread(*block, false);
    lock_.unlock();
  }
}

void Session::main_thread_leaves() {
  ThreadBlock* block = thread_local_state.block;
  if (!block || !(block->flags & capture::kThreadMain)) return;
  main_left_ = true;
  end_thread(block);
}

}  // namespace tailback::engine
