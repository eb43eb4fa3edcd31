// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/drain.h"

#include <cstring>

#include "agent/capture/clock.h"
#include "agent/capture/pages.h"

namespace tailback::engine {

using capture::Sample;
using capture::ThreadBlock;
using capture::ThreadCounters;
using capture::ThreadState;

bool Drain::init(capture::ThreadTable& threads, StackWriter& stacks, CpuAggregate& aggregate, Detail& detail, DumpFile& dump, CallWriter& calls, Stretches& stretches) {
  threads_ = &threads;
  stacks_ = &stacks;
  aggregate_ = &aggregate;
  detail_ = &detail;
  dump_ = &dump;
  calls_ = &calls;
  stretches_ = &stretches;
  groups_ = static_cast<Group*>(capture::map_own_pages(kGroups * sizeof(Group)));
  return groups_ != nullptr;
}

void Drain::begin(std::uint64_t session_start_ns) {
  session_start_ns_ = session_start_ns;
  interval_begin_ = 0;
  stretches_->begin();
  listed_ = samples_ = lost_records_ = 0;
  handler_ns_of_ended_ = samples_of_ended_ = 0;
}

void Drain::all_threads(bool singly) {
  const std::uint32_t slots = threads_->slots();
  for (std::uint32_t slot = 0; slot < slots; ++slot)
    if (ThreadBlock* block = threads_->at(slot)) thread(*block, singly);
}

void Drain::thread(ThreadBlock& block, bool singly) {
  const ThreadState state = block.state.load(std::memory_order_acquire);
  if (state != ThreadState::live && state != ThreadState::ended) return;
  Sample next;
  while (block.ring.pop(next)) sample(block, next, singly);
  if (state == ThreadState::ended) collect(block);
}

void Drain::calls(ThreadBlock& block, bool all, std::uint64_t now_ns) {
  if (block.state.load(std::memory_order_acquire) != ThreadState::live || !block.calls.dirty.load(std::memory_order_relaxed)) return;
  announce(block);
  calls_->thread(block, block.id, all, now_ns);
}

void Drain::all_events() {
  for (std::uint32_t slot = 0; slot < threads_->slots(); ++slot) {
    ThreadBlock* block = threads_->at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != ThreadState::live || !(block->calls.dirty.load(std::memory_order_relaxed) & capture::kDirtyEvents)) continue;
    announce(*block);
    calls_->events(*block, block->id);
  }
}

void Drain::all_calls(bool all, std::uint64_t now_ns) {
  const std::uint32_t slots = threads_->slots();
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    if (ThreadBlock* block = threads_->at(slot)) calls(*block, all, now_ns);
  }
  if (all) {
    pending_calls(now_ns);
    calls_->groups(now_ns);
  }
  calls_->turns(now_ns);
  calls_->advance(now_ns);
}

void Drain::pending_calls(std::uint64_t now_ns) {
  for (std::uint32_t slot = 0; slot < threads_->slots(); ++slot) {
    const ThreadBlock* block = threads_->at(slot);
    if (block && block->announced && block->state.load(std::memory_order_acquire) == ThreadState::live) calls_->pending(*block, now_ns);
  }
}

void Drain::announce(ThreadBlock& block) {
  if (block.announced) return;
  block.announced = true;
  ++listed_;
  if (block.creation_stack) stacks_->write(block.creation_stack);
  stacks_->write_code(block.start_routine);
  trace::Thread record;
  record.id = block.id;
  record.tid = static_cast<std::uint64_t>(block.tid);
  record.t = block.start_ns > session_start_ns_ ? block.start_ns - session_start_ns_ : 0;
  record.creator = block.creator;
  record.creation_stack = block.creation_stack;
  record.start_routine = block.start_routine;
  record.start_argument = block.start_argument;
  record.flags = block.flags;
  dump_->append(record);
}

void Drain::sample(ThreadBlock& block, const Sample& sample, bool singly) {
  announce(block);
  stacks_->write(sample.stack);
  stretches_->sample(block.slot, block.id, sample);
  block.last_stack = sample.stack;
  block.last_sample_ns = sample.t;
  ++samples_;
  if (!singly) {
    if (!aggregate_->add(block.id, sample.stack, sample.lock, sample.weight_ns)) {
      flush(sample.t);
      aggregate_->add(block.id, sample.stack, sample.lock, sample.weight_ns);
    }
    detail_->keep(*dump_, block.id, sample);
    return;
  }
  trace::CpuSample record;
  record.t = sample.t;
  record.thread = block.id;
  record.stack = sample.stack;
  record.weight_ns = sample.weight_ns;
  record.cpu = sample.cpu;
  record.flags = sample.flags;
  record.lock = sample.lock;
  if (!dump_->append(record)) ++lost_records_;
}

void Drain::flush(std::uint64_t now_ns) {
  aggregate_->flush(*dump_, interval_begin_, now_ns);
  interval_begin_ = now_ns;
}

// The last records of a thread; then its block may be used again.
void Drain::collect(ThreadBlock& block) {
  stretches_->end(block.slot, block.id);
  handler_ns_of_ended_ += block.handler_ns.exchange(0, std::memory_order_relaxed);
  samples_of_ended_ += block.samples.load(std::memory_order_relaxed);
  const bool listed = block.announced || listed_ < kThreadsListed || block.samples.load(std::memory_order_relaxed) != 0;
  if (listed || !sum_up(block)) {
    announce(block);
    const std::uint64_t end = block.end_ns > session_start_ns_ ? block.end_ns - session_start_ns_ : 0;
    if (block.name[0]) write_name(block, block.name, end);
    write_state(block, block.last, true, end);
  }
  if (block.calls.dirty.load(std::memory_order_relaxed)) {
    const std::uint64_t end = block.end_ns > session_start_ns_ ? block.end_ns - session_start_ns_ : 0;
    calls_->thread(block, listed ? block.id : 0, true, end);
  }
  threads_->release(&block);
}

// Adds an ended thread to the sums of its group; false when there are too many groups to sum this one.
bool Drain::sum_up(ThreadBlock& block) {
  std::uint32_t slot = static_cast<std::uint32_t>((block.start_routine ^ (std::uint64_t{block.creation_stack} << 32)) * 0x9e3779b97f4a7c15u >> 56) % kGroups;
  for (std::uint32_t tries = 0; tries < 16; ++tries, slot = (slot + 1) % kGroups) {
    auto& sums = groups_[slot].sums;
    const bool same = sums.start_routine == block.start_routine && sums.creation_stack == block.creation_stack;
    if (sums.count != 0 && !same) continue;
    sums.creation_stack = block.creation_stack;
    sums.start_routine = block.start_routine;
    sums.start_argument = block.start_argument;
    ++sums.count;
    sums.lifetime_ns += block.end_ns - block.start_ns;
    sums.cpu_ns += block.last.cpu_ns;
    sums.user_ns += block.last.user_ns;
    sums.system_ns += block.last.system_ns;
    sums.run_delay_ns += block.last.run_delay_ns;
    return true;
  }
  return false;
}

void Drain::write_groups(std::uint64_t now_ns) {
  for (std::uint32_t i = 0; i < kGroups; ++i) {
    auto& sums = groups_[i].sums;
    if (sums.count == 0) continue;
    if (sums.creation_stack) stacks_->write(static_cast<capture::StackId>(sums.creation_stack));
    stacks_->write_code(sums.start_routine);
    sums.t = now_ns;
    dump_->append(sums);
    sums = {};
  }
}

void Drain::write_state(ThreadBlock& block, const ThreadCounters& counters, bool ended, std::uint64_t now_ns) {
  if (!ended && counters.cpu_ns == block.written_cpu_ns) return;
  announce(block);
  block.written_cpu_ns = counters.cpu_ns;
  trace::ThreadState record;
  record.thread = block.id;
  record.t = now_ns;
  record.ended = ended;
  record.cpu_ns = counters.cpu_ns;
  record.user_ns = counters.user_ns;
  record.system_ns = counters.system_ns;
  record.run_delay_ns = counters.run_delay_ns;
  record.voluntary_switches = counters.voluntary_switches;
  record.involuntary_switches = counters.involuntary_switches;
  record.minor_faults = counters.minor_faults;
  record.major_faults = counters.major_faults;
  record.samples = block.samples.load(std::memory_order_relaxed);
  record.sampled_ns = block.sampled_ns.load(std::memory_order_relaxed);
  record.lost_ns = block.lost_ns.load(std::memory_order_relaxed);
  if (!dump_->append(record)) ++lost_records_;
}

void Drain::write_name(ThreadBlock& block, const char* name, std::uint64_t now_ns) {
  if (std::strncmp(block.written_name, name, sizeof block.written_name) == 0) return;
  announce(block);
  std::memcpy(block.written_name, name, sizeof block.written_name);
  dump_->append(trace::ThreadName{block.id, now_ns, name});
}

}  // namespace tailback::engine
