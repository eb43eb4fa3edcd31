// SPDX-License-Identifier: Apache-2.0
#include "preload/call_timer.h"

#include "agent/capture/record_call.h"

namespace tailback::preload {

using capture::Descriptor;
using capture::Endpoint;
using capture::tick_clock;
using engine::session;

namespace {

constexpr std::uint64_t kWorthWakingNs = 20'000'000;  // a dormant process that waits so long is worth recording
constexpr std::uint64_t kSmallWrite = 1400;           // below a TCP segment: Nagle's algorithm (RFC 896) may hold it back

// The delayed acknowledgement of Linux: 40 ms at least (TCP_DELACK_MIN), 200 ms at most, each with what timers add.
bool is_delayed_acknowledgement(std::uint64_t ns) {
  const std::uint64_t ms = ns / 1'000'000;
  return (ms >= 35 && ms < 60) || (ms >= 190 && ms < 220);
}

// Whether somebody inside this process may be waiting at the other end.
bool is_within_process(const Endpoint& endpoint) {
  using trace::EndpointKind;
  return endpoint.kind == EndpointKind::pipe || endpoint.kind == EndpointKind::eventfd || endpoint.kind == EndpointKind::unix_socket ||
         endpoint.flags.load(std::memory_order_relaxed) & trace::kLoopback;
}

bool is_stream(const Endpoint& endpoint) {
  using trace::EndpointKind;
  return endpoint.kind == EndpointKind::tcp_peer || endpoint.kind == EndpointKind::tcp_accepted || endpoint.kind == EndpointKind::unix_socket;
}

}  // namespace

void CallTimer::finish_at(std::uint64_t end, std::uint64_t object, std::uint64_t bytes, bool error, bool empty, capture::StackId stack) const {
  if (!thread_) {
    if (end - begin_ >= kWorthWakingNs && session.dormant()) session.wake_up();  // a dormant process counts nanoseconds
    return;
  }
  if (!capture::recording()) return;
  ++capture::thread_local_state.in_agent;
  thread_->calls.pending.store(Call::none, std::memory_order_relaxed);
  record_call(*thread_, {call_, object, begin_, end, bytes, error, empty, stack});
  if (trace::group_of(call_) == trace::CallGroup::multiplex) thread_->calls.polled = end;
  session.after_call(*thread_, end);
  --capture::thread_local_state.in_agent;
}

void CallTimer::finish(std::uint64_t object, std::uint64_t bytes, bool error, bool empty, capture::StackId stack) const {
  finish_at(tick_clock.now(), object, bytes, error, empty, stack);
}

void CallTimer::finish_call(std::int64_t result, std::uint64_t bytes) const {
  const std::uint64_t end = tick_clock.now();
  if (result > 0) return finish_at(end, object_, bytes, false, false);
  const bool patient = result < 0 ? is_patience(errno) : waits_for_something();
  finish_at(end, object_, bytes, result < 0 && !patient, patient);
}

void DescriptorTimer::finish_call(std::int64_t result) const {
  const std::uint64_t end = tick_clock.now();
  if (result <= 0) {
    const bool patient = result < 0 ? is_patience(errno) : waits_for_something();
    const std::uint64_t object = object_ || result < 0 || !thread_ ? object_ : endpoint_of(fd_);
    return finish_at(end, object, 0, result < 0 && !patient, patient);
  }
  const std::uint64_t bytes = moves_bytes() ? static_cast<std::uint64_t>(result) : 0;
  const std::uint64_t object = object_ || !thread_ ? object_ : endpoint_of(fd_);
  if (descriptor_ && descriptor_->is_stream) note_turn(*descriptor_, bytes, end);
  if (thread_ && capture::detail_span.holds(begin_) && wakes_others(object)) {
    const capture::Scope scope;
    tell_wake(*thread_, call_, object, begin_);
  }
  finish_at(end, object, bytes, false, false);
}

// Not part of the wait: the clock starts when the walk is over.
void LockTimer::walk() {
  const capture::Scope scope;
  stack_ = capture::stack_of_call(*thread_);
  thread_->calls.pending_stack = stack_;
  begin_ = tick_clock.now();
}

bool DescriptorTimer::wakes_others(std::uint64_t object) const {
  const Endpoint* endpoint = trace::group_of(call_) == trace::CallGroup::output ? session.endpoints.at(static_cast<EndpointId>(object)) : nullptr;
  return endpoint && is_within_process(*endpoint);
}

// A turn: writes, then a read that brings something.
void DescriptorTimer::note_turn(Descriptor& descriptor, std::uint64_t bytes, std::uint64_t end) const {
  Endpoint* endpoint = session.endpoints.at(descriptor.endpoint.load(std::memory_order_relaxed));
  if (!endpoint) return;
  capture::Turns& turns = endpoint->turns;
  if (trace::group_of(call_) == trace::CallGroup::output) {
    ++descriptor.writes;
    if (bytes < kSmallWrite && descriptor.small_writes < 255) ++descriptor.small_writes;
    descriptor.last_write = end;
    if (descriptor.writes != 2 || !turns.watched.load(std::memory_order_relaxed)) return;
    const capture::Scope scope;
    descriptor.second_write = capture::stack_of_call(*thread_);
    return;
  }
  if (descriptor.writes == 0) return;
  const std::uint64_t ns = tick_clock.to_ns(end - descriptor.last_write);
  const bool waited = tick_clock.to_ns(end - begin_) >= capture::kBlockedNs || thread_->calls.polled > descriptor.last_write;
  if (!waited) {  // how long the answer has been there nobody knows
    turns.ready_turns.fetch_add(1, std::memory_order_relaxed);
    descriptor.writes = 0;
    descriptor.small_writes = 0;
    return;
  }
  turns.turns.fetch_add(1, std::memory_order_relaxed);
  turns.turn_ns.fetch_add(ns, std::memory_order_relaxed);
  turns.latencies[capture::latency_bucket(ns)].fetch_add(1, std::memory_order_relaxed);
  if (descriptor.writes > 1 && descriptor.small_writes == descriptor.writes && is_delayed_acknowledgement(ns)) {
    turns.watched.store(1, std::memory_order_relaxed);
    turns.delayed_turns.fetch_add(1, std::memory_order_relaxed);
    turns.delayed_ns.fetch_add(ns, std::memory_order_relaxed);
    if (descriptor.second_write) turns.delayed_stack.store(descriptor.second_write, std::memory_order_relaxed);
  }
  descriptor.writes = 0;
  descriptor.small_writes = 0;
  descriptor.second_write = 0;
}

EndpointId endpoint_of(int fd) {
  Descriptor* descriptor = session.descriptors.at(fd);
  if (!descriptor) return 0;
  if (const EndpointId known = descriptor->endpoint.load(std::memory_order_acquire)) return known;
  const EndpointId found = look_up_descriptor(session.endpoints, fd);
  if (found) opened(fd, found);
  return found;
}

void opened(int fd, EndpointId endpoint) {
  Endpoint* entry = session.endpoints.at(endpoint);
  session.descriptors.set(fd, endpoint, entry && is_stream(*entry));
  if (entry) entry->turns.opened.fetch_add(1, std::memory_order_relaxed);
}

void closing(int fd) {
  if (!capture::recording()) return;
  if (const Descriptor* descriptor = session.descriptors.at(fd))
    if (Endpoint* entry = session.endpoints.at(descriptor->endpoint.load(std::memory_order_relaxed))) entry->turns.closed.fetch_add(1, std::memory_order_relaxed);
  session.descriptors.forget(fd);
}

}  // namespace tailback::preload
