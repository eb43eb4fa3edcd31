// SPDX-License-Identifier: Apache-2.0
// The session and the program's heap: asking the allocator for its statistics, and, at a clean end, looking for blocks that were lost.
// Both only where no signal handler may have interrupted the allocator. Neither under the drain lock: whoever waits for the allocator
// must not keep others from the dump.
#include "agent/capture/clock.h"
#include "agent/engine/helper.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/session.h"

namespace tailback::engine {

using capture::ThreadBlock;
using capture::thread_local_state;

namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kHelperWaitNs = 200'000'000;
// What the search for leaks may take of the process's end.
constexpr std::uint64_t kLeastSearchNs = 500'000'000, kMostSearchNs = 1'000'000'000, kShareOfLife = 20;
constexpr std::uint64_t kMostBlocks = 4 << 20, kMostBytes = std::uint64_t{4} << 30;

// Of this process, the agent's included.
std::uint64_t count_threads() {
  static constinit char text[4096];
  const std::string_view status = read_kernel_file("/proc/self/status", text, sizeof text);
  return number_after(status, "Threads:");
}

}  // namespace

// False: not now, or it cannot be asked.
bool Session::ask_the_allocator(std::uint64_t now_ns, std::uint64_t most_ns, trace::AllocatorState& state) {
  if (allocations.mode() == capture::AllocationMode::off || real_.allocator.kind == AllocatorKind::unknown) return false;
  const capture::Allocations::Totals sums = allocation_writer_.totals();
  const std::uint64_t live = sums.blocks > sums.freed_blocks ? sums.blocks - sums.freed_blocks : 0;
  if (AskingBudget::expected_ns(real_.allocator.kind, live, sums.freed_blocks) > most_ns) return false;
  const std::uint64_t begin = capture::monotonic_ns();
  if (!ask_allocator(real_.allocator, state)) return false;
  state.t = now_ns;
  state.ns = capture::monotonic_ns() - begin;
  asking_.took(now_ns, state.ns);
  return true;
}

// On the helper: it is in no handler, and holds nothing while it may wait for a lock of the allocator.
void Session::ask_while_running() {
  const std::uint64_t now = since_start();
  if (!asking_.due(now)) return;
  asking_.later(now);
  trace::AllocatorState state;
  if (!ask_the_allocator(now, AskingBudget::kMostNs, state) || !lock_->try_lock()) return;
  if (dump_.state() == DumpState::open) dump_.append(state);
  lock_->unlock();
}

// In a process with one thread, where an allocation ended. The program may allocate in a signal handler, wrongly, and get away with it.
void Session::ask_in_hook(ThreadBlock& thread, std::uint64_t end_ticks) {
  asking_due_.store(end_ticks + capture::tick_clock.from_ns(kSecondNs), std::memory_order_relaxed);
  if (helper.running() || !is_this_process() || unwinder.in_handler(thread.stack, *thread.hook_cache)) return;
  ask_while_running();
}

void Session::end_at_exit() {
  const ThreadBlock* thread = thread_local_state.block;
  if (ready_ && !dormant_ && capture::recording() && is_this_process() && allocations.mode() != capture::AllocationMode::off) {
    const bool inside = thread_local_state.in_agent++ != 0;  // a handler interrupted the agent, and called exit
    look_for_leaks(inside ? nullptr : thread);
    --thread_local_state.in_agent;
  }
  end(EndReason::exit, 0);
  leaks_.release();
}

// On which thread: nullptr where nothing is known of it. The heap is still recorded meanwhile, so that what other threads do to it is seen.
void Session::look_for_leaks(const ThreadBlock* thread) {
  const std::uint64_t now = since_start();
  const bool in_handler = !thread || unwinder.in_handler(thread->stack, *thread->hook_cache);
  const bool quiet = helper.join(kHelperWaitNs) && !in_handler;
  if (!quiet || !ask_the_allocator(now, AskingBudget::kMostAtEndNs, last_allocator_state_)) last_allocator_state_ = {};
  if (!allocations.exact()) return;
  leak_scan_.t = now;
  if (in_handler) leak_scan_.reason = "the process may have ended inside a signal handler";
  else if (!quiet) leak_scan_.reason = "the agent's thread did not stop in time";
  else if (origin_ == Origin::forked) leak_scan_.reason = "a forked child does not know its parent's blocks";
  else search_leaks(thread->stack);
}

// Blocks that only this thread's registers refer to: the first thing here is to store them, in the part of the stack that is looked at.
[[gnu::noinline]] void Session::search_leaks(const capture::StackBounds& stack) {
  __builtin_unwind_init();
  std::uint64_t stack_used;
  asm volatile("mov %%rsp, %0" : "=r"(stack_used));
  const std::uint64_t begin = capture::monotonic_ns(), cpu_begin = capture::thread_cpu_ns(), threads = count_threads();
  const std::uint64_t share = since_start() / kShareOfLife;
  const std::uint64_t most = share < kLeastSearchNs ? kLeastSearchNs : share > kMostSearchNs ? kMostSearchNs : share;
  LeakSearch search{};
  search.deadline_ns = begin + most;
  search.most_blocks = kMostBlocks;
  search.most_bytes = kMostBytes;
  search.alone = threads == 1;
  search.glibc = real_.allocator.kind == AllocatorKind::glibc;
  search.cached_mark = glibc_cached_mark(real_.allocator);
  search.allocator = {real_.allocator.object_start, real_.allocator.object_end};
  const auto dump = reinterpret_cast<std::uint64_t>(dump_.mapped_at());
  search.library = {unwinder.hidden().start, unwinder.hidden().end};
  if (dump) search.dump = {dump, dump + dump_.max_bytes()};
  if (stack_used - stack.low < stack.high - stack.low) search.unused_stack = {stack.low, stack_used};
  const char* reason = leaks_.run(allocations, search);
  const LeakFinder::Totals& found = leaks_.totals();
  leak_scan_.completed = reason == nullptr;
  leak_scan_.reason = reason ? reason : "";
  leak_scan_.blocks = found.blocks;
  leak_scan_.bytes = found.bytes;
  leak_scan_.root_bytes = found.root_bytes;
  leak_scan_.leaked_blocks = found.lost_blocks;
  leak_scan_.leaked_bytes = found.lost_bytes;
  leak_scan_.ns = capture::monotonic_ns() - begin;
  leak_scan_.cpu_ns = capture::thread_cpu_ns() - cpu_begin;
  leak_scan_.other_threads = threads ? threads - 1 : 0;
}

}  // namespace tailback::engine
