// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/call_writer.h"

#include "agent/capture/pages.h"
#include "agent/capture/record_call.h"

namespace tailback::engine {

using capture::CallSums;
using capture::ChannelSums;
using capture::Endpoint;
using capture::StackSums;
using capture::ThreadBlock;
using capture::tick_clock;
using trace::Call;

namespace {

constexpr std::uint64_t kEpochNs = 500'000'000, kSecondNs = 1'000'000'000;
constexpr std::uint64_t kMostTurnsTold = 16;  // long turns in a second
constexpr std::uint32_t kWritten = 1u << 31;

}  // namespace

void CallWriter::init(capture::Endpoints& endpoints, StackWriter& stacks, Detail& detail, DumpFile& dump) {
  endpoints_ = &endpoints;
  stacks_ = &stacks;
  detail_ = &detail;
  dump_ = &dump;
  written_ = static_cast<Written*>(capture::map_own_pages((capture::Endpoints::kMost + 1) * sizeof(Written)));
  grouped_ = static_cast<CallSums*>(capture::map_own_pages(sizeof(CallSums)));
}

void CallWriter::begin(std::uint64_t session_start_ns) {
  session_start_ns_ = session_start_ns;
  interval_begin_ = interval_end_ = previous_ns_ = advanced_ns_ = turns_ns_ = 0;
  calls_ = blocked_ = acquisitions_ = lost_ = events_lost_ = 0;
  if (written_) capture::sys::madvise(written_, capture::round_to_pages((capture::Endpoints::kMost + 1) * sizeof(Written)), MADV_DONTNEED);
}

void CallWriter::write_endpoint(Call call, std::uint64_t object) {
  if (object == 0 || object > capture::Endpoints::kMost || !trace::works_on_endpoint(trace::group_of(call)) || !written_) return;
  const Endpoint* endpoint = endpoints_->at(static_cast<capture::EndpointId>(object));
  if (!endpoint) return;
  const std::uint32_t flags = endpoint->flags.load(std::memory_order_relaxed) | kWritten;
  const std::uint64_t size = endpoint->size_bytes.load(std::memory_order_relaxed);
  Written& written = written_[object];
  if (written.flags == flags && written.size_bytes == size) return;
  written = {flags, size};
  dump_->append(trace::Endpoint{object, static_cast<std::uint64_t>(endpoint->kind), {endpoints_->name(*endpoint), endpoint->name_bytes}, flags & ~kWritten, size});
}

void CallWriter::channel(ChannelSums& sums, std::uint64_t thread) {
  write_endpoint(sums.call, sums.object);
  Counts& latencies = latencies_.clear();
  Counts& sizes = sizes_.clear();
  for (std::uint32_t i = 0; i < ChannelSums::kFirstLatency; ++i) latencies.add(0);
  for (const std::uint32_t count : sums.latencies) latencies.add(count);
  for (const std::uint32_t count : sums.sizes) sizes.add(count);
  trace::CallAggregate record;
  record.end_ms = interval_end_ / 1'000'000;
  record.span_ms = (interval_end_ - interval_begin_) / 1'000'000;
  record.thread = thread;
  record.call = static_cast<std::uint64_t>(sums.call);
  record.object = sums.object;
  record.calls = sums.calls;
  record.errors = sums.errors;
  record.empty = sums.empty;
  record.apart = sums.apart;
  record.ns = sums.ns;
  record.longest_ns = sums.longest_ns;
  record.blocked_calls = sums.blocked_calls;
  record.blocked_ns = sums.blocked_ns;
  record.bytes = sums.bytes;
  record.latencies = latencies.view();
  record.sizes = sizes.view();
  if (trace::is_hold(sums.call)) acquisitions_ += sums.calls;
  else if (!trace::is_of_loop(sums.call)) calls_ += sums.calls;
  blocked_ += sums.blocked_calls;
  dump_->append(record);
  sums = {};
}

void CallWriter::stack(StackSums& sums, std::uint64_t thread) {
  write_endpoint(sums.call, sums.object);
  if (sums.stack) stacks_->write(sums.stack);
  trace::CallStack record;
  record.end_ms = interval_end_ / 1'000'000;
  record.span_ms = (interval_end_ - interval_begin_) / 1'000'000;
  record.thread = thread;
  record.call = static_cast<std::uint64_t>(sums.call);
  record.object = sums.object;
  record.stack = sums.stack;
  record.calls = sums.calls;
  record.ns = sums.ns;
  record.bytes = sums.bytes;
  record.blocked_calls = sums.blocked_calls;
  record.blocked_ns = sums.blocked_ns;
  record.longest_ns = sums.longest_ns;
  record.lock = sums.lock;
  dump_->append(record);
  sums = {};
}

void CallWriter::event(const capture::CallEvent& event, std::uint64_t thread) {
  const std::uint64_t t = event.t > session_start_ns_ ? event.t - session_start_ns_ : 0;
  if (event.kind != capture::CallEventKind::call) return long_turn(event, thread, t);
  if (!detail_->in_window(t + event.ns) && !detail_->in_window(t)) return;
  write_endpoint(event.call, event.object);
  if (event.stack) stacks_->write(event.stack);
  const auto call = static_cast<std::uint64_t>(event.call);
  if (event.ns == 0) dump_->append(trace::Wake{t, thread, call, event.object, event.stack});
  else dump_->append(trace::CallEvent{t, event.ns, thread, call, event.object, event.stack, event.bytes});
}

// Whether one more long turn is told: a loop that has nothing but long ones needs no more to be known.
bool CallWriter::spend_turn(std::uint64_t t) {
  if (t / kSecondNs != turns_second_) turns_second_ = t / kSecondNs, turns_told_ = 0;
  return turns_told_++ < kMostTurnsTold;
}

void CallWriter::long_turn(const capture::CallEvent& event, std::uint64_t thread, std::uint64_t t) {
  const bool whole = event.kind == capture::CallEventKind::turn;
  if (whole) telling_turn_ = spend_turn(t);
  if (!telling_turn_) return;
  if (!whole) write_endpoint(event.call, event.object);
  if (event.stack) stacks_->write(event.stack);
  const auto call = static_cast<std::uint64_t>(event.call);
  if (!whole) return void(dump_->append(trace::LongTurnPart{t, thread, call, event.object, event.stack, event.bytes, event.ns}));
  dump_->append(trace::LongTurn{t, event.ns, thread, call, event.object, event.stack, event.bytes & 0xffffffffu, event.bytes >> 32});
  detail_->keep_thread(*dump_, thread, t, t + event.ns);
}

void CallWriter::take_set(capture::ThreadCalls& own, std::uint32_t index, std::uint64_t thread, std::uint64_t now_ns) {
  CallSums& set = own.sets[index];
  own.dirty.fetch_and(~(1u << index), std::memory_order_relaxed);
  const bool current = index == (capture::call_epoch.load(std::memory_order_relaxed) & 1);
  set_interval(current ? advanced_ns_ : previous_ns_, current ? now_ns : advanced_ns_);
  if (thread == 0 && grouped_) merge_set(set);
  else write_set(set, thread);
}

void CallWriter::write_set(CallSums& set, std::uint64_t thread) {
  for (ChannelSums& sums : set.channels)
    if (sums.call != Call::none) channel(sums, thread);
  for (StackSums& sums : set.stacks)
    if (sums.call != Call::none) stack(sums, thread);
}

// Threads that live for a millisecond each are told together.
void CallWriter::merge_set(CallSums& set) {
  for (ChannelSums& sums : set.channels) {
    if (sums.call == Call::none) continue;
    ChannelSums* into = capture::channel_of(*grouped_, sums.object, sums.call);
    if (!into) write_set(*grouped_, 0), into = capture::channel_of(*grouped_, sums.object, sums.call);
    capture::add(*into, sums);
    sums = {};
  }
  for (StackSums& sums : set.stacks) {
    if (sums.call == Call::none) continue;
    StackSums* into = capture::stack_of(*grouped_, sums.object, sums.call, sums.stack, sums.lock);
    if (!into) write_set(*grouped_, 0), into = capture::stack_of(*grouped_, sums.object, sums.call, sums.stack, sums.lock);
    capture::add(*into, sums);
    sums = {};
  }
}

void CallWriter::events(ThreadBlock& block, std::uint64_t thread) {
  capture::ThreadCalls& own = block.calls;
  own.dirty.fetch_and(~capture::kDirtyEvents, std::memory_order_relaxed);
  capture::CallEvent next;
  std::uint64_t full_ns = session_start_ns_;  // when its ring was
  for (std::uint32_t taken = 0; own.events.pop(next); ++taken) {
    event(next, thread);
    if (taken < own.events.kCapacity) full_ns = next.t + next.ns;
  }
  if (own.events_lost == 0) return;
  events_lost_ += own.events_lost, own.events_lost = 0;
  detail_->cut(full_ns - session_start_ns_);
}

void CallWriter::thread(ThreadBlock& block, std::uint64_t thread, bool all, std::uint64_t now_ns) {
  capture::ThreadCalls& own = block.calls;
  events(block, thread);
  const std::uint32_t epoch = capture::call_epoch.load(std::memory_order_relaxed), now = epoch & 1, before = ~epoch & 1;
  if (all && own.dirty.load(std::memory_order_relaxed) >> now & 1) take_set(own, now, thread, now_ns);
  // Whoever still writes into the set of the epoch before keeps it for another turn.
  const bool left = all || own.active.load(std::memory_order_acquire) != epoch;
  if (left && own.dirty.load(std::memory_order_relaxed) >> before & 1) take_set(own, before, thread, now_ns);
  if (own.lost) lost_ += own.lost, own.lost = 0;
}

void CallWriter::groups(std::uint64_t now_ns) {
  if (!grouped_) return;
  set_interval(advanced_ns_, now_ns);
  write_set(*grouped_, 0);
}

// So that threads know without asking whether single events are kept.
void CallWriter::announce_window(std::uint64_t now_ns) {
  std::uint64_t begin, end;
  const bool open = detail_->next_window(now_ns, begin, end);
  const std::uint64_t now = tick_clock.now();
  const auto ticks = [&](std::uint64_t ns) { return ns > now_ns ? now + tick_clock.from_ns(ns - now_ns) : now - tick_clock.from_ns(now_ns - ns); };
  capture::detail_span.begin.store(ticks(begin), std::memory_order_relaxed);
  capture::detail_span.end.store(open ? ticks(end) : ticks(begin), std::memory_order_relaxed);
}

void CallWriter::advance(std::uint64_t now_ns) {
  announce_window(now_ns);
  if (now_ns - advanced_ns_ < kEpochNs) return;
  groups(now_ns);
  previous_ns_ = advanced_ns_;
  advanced_ns_ = now_ns;
  capture::call_epoch.fetch_add(1, std::memory_order_release);
  tick_clock.adjust();
}

void CallWriter::pending(const ThreadBlock& block, std::uint64_t now_ns) {
  const capture::ThreadCalls& own = block.calls;
  const Call call = own.pending.load(std::memory_order_acquire);
  if (call == Call::none) return;
  const std::uint64_t began = tick_clock.monotonic_at(own.pending_since);
  write_endpoint(call, own.pending_object);
  const bool again = own.blocked_call == call && own.blocked_object == own.pending_object;
  const capture::StackId stack = own.pending_stack || !again ? own.pending_stack : own.blocked_stack;
  if (stack) stacks_->write(stack);
  dump_->append(trace::StillBlocked{now_ns, block.id, static_cast<std::uint64_t>(call), own.pending_object, stack,
                                    began > session_start_ns_ ? began - session_start_ns_ : 0});
}

void CallWriter::write_turns(std::uint64_t id, capture::Turns& turns) {
  Counts& latencies = latencies_.clear();
  for (std::uint32_t i = 0; i < ChannelSums::kFirstLatency; ++i) latencies.add(0);
  for (auto& count : turns.latencies) latencies.add(count.exchange(0, std::memory_order_relaxed));
  trace::RequestTurns record;
  record.end_ms = interval_end_ / 1'000'000;
  record.span_ms = (interval_end_ - interval_begin_) / 1'000'000;
  record.object = id;
  record.opened = turns.opened.exchange(0, std::memory_order_relaxed);
  record.closed = turns.closed.exchange(0, std::memory_order_relaxed);
  record.turns = turns.turns.exchange(0, std::memory_order_relaxed);
  record.turn_ns = turns.turn_ns.exchange(0, std::memory_order_relaxed);
  record.turn_latencies = latencies.view();
  record.delayed_turns = turns.delayed_turns.exchange(0, std::memory_order_relaxed);
  record.delayed_ns = turns.delayed_ns.exchange(0, std::memory_order_relaxed);
  record.ready_turns = turns.ready_turns.exchange(0, std::memory_order_relaxed);
  record.first_turns = turns.first_turns.exchange(0, std::memory_order_relaxed);
  record.first_ns = turns.first_ns.exchange(0, std::memory_order_relaxed);
  record.delayed_stack = turns.delayed_stack.load(std::memory_order_relaxed);
  if (record.delayed_stack) stacks_->write(static_cast<capture::StackId>(record.delayed_stack));
  dump_->append(record);
}

void CallWriter::turns(std::uint64_t now_ns) {
  set_interval(turns_ns_, now_ns);
  turns_ns_ = now_ns;
  for (std::uint32_t id = 1; id <= endpoints_->count(); ++id) {
    Endpoint* endpoint = endpoints_->at(id);
    if (!endpoint) continue;
    capture::Turns& turns = endpoint->turns;
    if (!turns.opened.load(std::memory_order_relaxed) && !turns.closed.load(std::memory_order_relaxed) && !turns.turns.load(std::memory_order_relaxed) &&
        !turns.ready_turns.load(std::memory_order_relaxed))
      continue;
    write_endpoint(Call::open, id);
    write_turns(id, turns);
  }
}

}  // namespace tailback::engine
