// SPDX-License-Identifier: Apache-2.0
// The session's periodic work: on the helper thread, or, in a process with one thread, in the sampling handler.
#include <algorithm>

#include "agent/capture/clock.h"
#include "agent/engine/helper.h"
#include "agent/engine/mappings.h"
#include "agent/engine/session.h"

namespace tailback::engine {

using capture::ThreadBlock;

namespace {
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kFlushNs = 700'000'000;        // with the tick's 250 ms below one second: what a SIGKILL may cost
constexpr std::uint64_t kThreadBudgetNs = 3'000'000;   // reading threads' counters, each second
constexpr std::uint64_t kTickNs = 250'000'000;
constexpr std::uint64_t kCallsNs = 500'000'000;        // between two writings of the sums of calls by a hook
}  // namespace

// In the handler: no helper, so this thread's samples go to the dump at once.
void Session::after_sample(ThreadBlock& thread) {
  if (helper.running() || !lock_->try_lock()) return;
  const std::uint64_t now = since_start();
  if (dump_.state() == DumpState::open || (worth_a_file() && open_dump())) {
    drain_.thread(thread, alone_until_ns_ == 0);
    if (now - last_tick_ns_ >= kTickNs) {  // its clock, so that a kill leaves no samples without one
      last_tick_ns_ = now;
      thread_sampler_.sample(now, started_ns_, kThreadBudgetNs);
    }
    if (now - last_second_ns_ >= kSecondNs) every_second(now);
    else allocation_writer_.write_young(now);
    serve_requests(now);
    end_when_due(now);
  }
  lock_->unlock();
}

// In a hook, every half second in a process with one thread: what a helper would do.
void Session::write_calls(ThreadBlock& thread, std::uint64_t end_ticks) {
  call_due_.store(end_ticks + capture::tick_clock.from_ns(kCallsNs), std::memory_order_relaxed);
  if (helper.running() || !is_this_process() || !lock_->try_lock()) return;  // a vfork child has this memory, not this /proc/self
  const std::uint64_t now = since_start();
  if (dump_.state() == DumpState::open || (worth_a_file() && open_dump())) {
    drain_.thread(thread, alone_until_ns_ == 0);
    drain_.all_calls(true, now);
    last_tick_ns_ = now;
    thread_sampler_.sample(now, started_ns_, kThreadBudgetNs);
    if (now - last_second_ns_ >= kSecondNs) every_second(now);
    else allocation_writer_.write_young(now);
    serve_requests(now);
    end_when_due(now);
  }
  lock_->unlock();
}

bool Session::tick() {
  if (!lock_->try_lock()) return true;
  const std::uint64_t now = since_start();
  if (options_.delay_ns && now < options_.delay_ns) return lock_->unlock(), true;
  if (dump_.state() == DumpState::closed && worth_a_file() && open_dump() && options_.delay_ns) rearm_all();
  if (dump_.state() == DumpState::open) {
    if (alone_until_ns_ == 0) {
      alone_until_ns_ = last_tick_ns_ = now;
      dump_.append(trace::DetailWindow{0, now, 2, {}});
    }
    drain(now);
    sentinel().write(dump_, detail_);
    if (now - last_second_ns_ >= kSecondNs) every_second(now);
    else allocation_writer_.write_young(now);
  }
  last_tick_ns_ = now;
  sentinel().tick(capture::monotonic_ns(), helper.cpu_ns());
  serve_requests(now);
  const bool over = end_when_due(now);
  const bool deserted = main_left_ && live_threads() == 0;
  lock_->unlock();
  if (!over && !deserted) ask_while_running();
  return !over && !deserted;
}

void Session::begin_watching() { sentinel().begin(system_sampler_, threads_, started_ns_); }

std::uint64_t Session::until_look_ns() {
  const std::uint64_t now = since_start();
  std::uint64_t begin = 0, end = 0;
  if (!options_.io || !detail_.next_window(now, begin, end)) return kTickNs;
  const std::uint64_t each = sentinel().busy() ? kWindowDrainNs : kWindowDrainIdleNs;
  return now >= begin ? each : std::min(kTickNs, begin + each - now);
}

void Session::look_at_window() {
  if (until_look_ns() > kWindowDrainIdleNs || !lock_->try_lock()) return;
  if (dump_.state() == DumpState::open) {
    drain_.all_threads(false);  // a long turn's samples before the turn
    drain_.all_events();
  }
  lock_->unlock();
}

void Session::drain(std::uint64_t now_ns) {
  drain_.all_threads(false);
  if (options_.io) drain_.all_calls(false, now_ns);
  if (switches() & capture::kTimingLocks) lock_writer_.look_for_deadlocks(now_ns), stuck_threads_.look(now_ns);
  allocations.look_for_peak();
  if (now_ns - drain_.last_flush_ns() >= kFlushNs) drain_.flush(now_ns);
  detail_.close_windows(dump_, now_ns);
}

void Session::every_second(std::uint64_t now_ns) {
  last_second_ns_ = now_ns;
  ++seconds_;
  drain_.write_groups(now_ns);
  lock_writer_.orders();
  allocation_writer_.write_changed(now_ns);
  thread_sampler_.sample(now_ns, started_ns_, kThreadBudgetNs);
  system_sampler_.sample(dump_, now_ns, live_threads());
  stack_writer_.write_unloads(now_ns);
  if (seconds_ % 10 == 1 && stack_writer_.take_unknown_code()) write_executable_mappings(dump_);
  if (seconds_ % 10 == 0) dump_.append(trace::ClockPair{now_ns, capture::realtime_ns()});
  detail_.set_windows(dump_.used_bytes() < dump_.max_bytes() / 4 * 3);
  const AgentCost spent = cost();
  governor_.write(dump_, now_ns, spent);
  const std::uint64_t period = governor_.judge(dump_, now_ns, spent, capture::process_cpu_ns());
  if (period != capture::sampling.period_ns.load()) {
    capture::sampling.period_ns.store(period);
    rearm_all();
  }
}

// What is summed up in memory, into the dump.
void Session::write_sums(std::uint64_t now_ns) {
  allocation_writer_.write_all(now_ns);
  thread_sampler_.sample_all(now_ns);
  drain_.flush(now_ns);
  drain_.write_groups(now_ns);
  lock_writer_.orders();
  system_sampler_.sample(dump_, now_ns, live_threads());
}

// What somebody else asks of this process (agent/trace/layout.h). Behind a drain.
void Session::serve_requests(std::uint64_t now_ns) {
  if (const std::uint32_t number = dump_.requested(trace::RequestKind::flush)) {
    write_sums(now_ns);
    if (options_.io) drain_.pending_calls(now_ns);
    dump_.answer(trace::RequestKind::flush, number);
  }
  if (const std::uint32_t number = dump_.requested(trace::RequestKind::look)) {
    const bool locks = switches() & capture::kTimingLocks;
    looker_.all_threads(number, started_ns_, now_ns, options_.io ? &call_writer_ : nullptr, locks ? &lock_writer_ : nullptr);
    dump_.answer(trace::RequestKind::look, number);
  }
}

// Whether the recording ends now, though the process goes on.
bool Session::end_when_due(std::uint64_t now_ns) {
  const std::uint32_t asked = dump_.requested(trace::RequestKind::stop);
  const bool over = options_.duration_ns && now_ns >= options_.delay_ns + options_.duration_ns;
  if (!asked && !over) return false;
  master_->store(0, std::memory_order_release);
  followed_ = false;
  disarm_all();
  write_last_records(asked ? EndReason::stopped : EndReason::duration, 0);
  dump_.answer(trace::RequestKind::stop, asked);
  return true;
}

// Timers of all live threads, after a change of the period or at the end of the delay.
void Session::rearm_all() {
  for (std::uint32_t slot = 0; slot < threads_.slots(); ++slot) {
    ThreadBlock* block = threads_.at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != capture::ThreadState::live) continue;
    if (block->timer >= 0) {
      capture::rearm_timer(*block);
    } else if (!(block->flags & capture::kThreadUnsampled)) {
      block->cpu_base_ns = capture::thread_cpu_ns(block->tid);
      if (!capture::arm_timer(*block)) block->flags |= capture::kThreadUnsampled;
    }
  }
}

void Session::disarm_all() {
  for (std::uint32_t slot = 0; slot < threads_.slots(); ++slot) {
    ThreadBlock* block = threads_.at(slot);
    if (block && block->state.load(std::memory_order_acquire) == capture::ThreadState::live) capture::disarm_timer(*block);
  }
}

AgentCost Session::cost() const {
  AgentCost cost{drain_.samples_of_ended(), drain_.handler_ns_of_ended(), helper.cpu_ns(), 0, 0};
  std::uint64_t threads = 0, callers = 0;
  for (std::uint32_t slot = 0; slot < threads_.slots(); ++slot) {
    const ThreadBlock* block = threads_.at(slot);
    if (!block) continue;
    ++threads;
    callers += block->calls.used();
    cost.handler_ns += block->handler_ns.load(std::memory_order_relaxed);
    if (block->state.load(std::memory_order_relaxed) == capture::ThreadState::live) cost.samples += block->samples.load(std::memory_order_relaxed);
  }
  constexpr std::uint64_t kHookNs = 3'000;  // CPU time of creating and ending a recorded thread, measured; docs/performance.md
  constexpr std::uint64_t kCallNs = 32, kBlockedCallNs = 130;  // likewise, of a call that is timed
  constexpr std::uint64_t kLockNs = 4;  // of a lock taken and given back; docs/performance.md
  cost.hook_ns = (threads_.started() - 1) * kHookNs + call_writer_.calls() * kCallNs + call_writer_.blocked() * (kBlockedCallNs - kCallNs);
  cost.hook_ns += call_writer_.acquisitions() * kLockNs;
  const capture::Allocations::Totals heap = allocation_writer_.totals();
  constexpr std::uint64_t kAllocationNs = 30, kSampleNs = 300;  // of a block or a free with --alloc exact; of a sampled block and its free
  cost.hook_ns += (allocations.exact() ? (heap.blocks + heap.freed_blocks) * kAllocationNs : 0) + heap.samples * kSampleNs;
  cost.memory_bytes = allocations.resident_bytes() + threads * (sizeof(ThreadBlock) - sizeof(capture::ThreadCalls)) + callers * sizeof(capture::ThreadCalls) + stacks_.resident_bytes() + unwinder.resident_bytes() + stack_writer_.resident_bytes();
  return cost;
}

}  // namespace tailback::engine
