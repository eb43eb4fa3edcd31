// SPDX-License-Identifier: Apache-2.0
#include "preload/call_timer.h"

#include <linux/sockios.h>

#include "agent/capture/record_call.h"
#include "agent/capture/syscalls.h"

namespace tailback::preload {

using capture::Descriptor;
using capture::Endpoint;
using capture::tick_clock;
using engine::session;

namespace {

constexpr std::uint64_t kWorthWakingNs = 20'000'000;  // a dormant process that waits so long is worth recording
constexpr std::uint64_t kSegment = 1400, kLocalSegment = 65'000;  // bytes of TCP in a packet of Ethernet (1500), of the loopback (65536)

// The delayed acknowledgement of Linux: 40 ms at least (TCP_DELACK_MIN), 200 ms at most, each with what timers add.
bool is_delayed_acknowledgement(std::uint64_t ns) {
  const std::uint64_t ms = ns / 1'000'000;
  return (ms >= 35 && ms < 60) || (ms >= 190 && ms < 220);
}

// Less than a segment: Nagle's algorithm (RFC 896) may hold it back.
bool is_small_write(const Endpoint& endpoint, std::uint64_t bytes) {
  return bytes < (endpoint.flags.load(std::memory_order_relaxed) & trace::kLoopback ? kLocalSegment : kSegment);
}

// What was written last and the kernel has not sent: Nagle's algorithm waits for the acknowledgement of what was sent before.
bool is_held_back(const Descriptor& descriptor, const Endpoint& endpoint) {
  if (endpoint.kind == trace::EndpointKind::unix_socket) return false;
  int unsent = 0;
  const long result = capture::sys::call(__NR_ioctl, session.descriptors.number_of(&descriptor), SIOCOUTQNSD, capture::sys::arg(&unsent));
  return !capture::sys::failed(result) && unsent > 0;
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

// Of a call that gave nothing (0) or failed (negative, with errno set).
Outcome outcome_of_none(CallKind kind, std::int64_t result) {
  if (result == 0) return {.empty = kind.waits()};
  const bool patient = is_patience(errno);
  return {.error = !patient, .empty = patient};
}

[[gnu::cold]] void finish_without_thread(std::uint64_t begin, std::uint64_t end) {
  if (end - begin >= kWorthWakingNs && session.dormant()) session.wake_up();  // a dormant process counts nanoseconds
}

// What every recorded call pays; inlined once into each end, so that nothing of it goes through memory.
[[gnu::always_inline]] inline void add_call(ThreadBlock& thread, CallKind kind, std::uint64_t object, std::uint64_t begin, std::uint64_t end, Outcome outcome) {
  if (!capture::recording()) [[unlikely]] return;
  ++capture::thread_local_state.in_agent;
  thread.calls.pending.store(Call::none, std::memory_order_relaxed);
  record_call(thread, {kind.call(), object, begin, end, outcome.bytes, outcome.error, outcome.empty, outcome.apart, outcome.stack});
  if (kind.waits_for_any()) thread.calls.polled = end;
  session.after_call(thread, end);
  --capture::thread_local_state.in_agent;
}

[[gnu::cold]] void watch_second_write(ThreadBlock& thread, Descriptor& descriptor, const Endpoint& endpoint) {
  if (!capture::recording()) return;
  const capture::Scope scope;
  descriptor.held_back = is_held_back(descriptor, endpoint);
  if (descriptor.held_back) descriptor.second_write = capture::stack_of_call(thread);
}

// Whether a call is apart from the one before it in its direction (call_aggregate).
bool is_apart(const ThreadBlock& thread, CallKind kind, Descriptor& descriptor, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t before = kind.is_output() ? descriptor.last_write : descriptor.last_read;
  const bool waited = thread.calls.polled > before || thread.calls.waited > before;
  if (kind.is_output()) return waited;
  descriptor.last_read = end;
  return waited || tick_clock.to_ns(end - begin) >= capture::kBlockedNs;
}

// A turn: writes, then a read that brings something.
[[gnu::noinline]] void note_turn(ThreadBlock& thread, CallKind kind, Descriptor& descriptor, std::uint64_t bytes, std::uint64_t begin, std::uint64_t end) {
  Endpoint* endpoint = session.endpoints.at(descriptor.endpoint.load(std::memory_order_relaxed));
  if (!endpoint) return;
  capture::Turns& turns = endpoint->turns;
  if (kind.is_output()) {
    ++descriptor.writes;
    const bool small = is_small_write(*endpoint, bytes);
    if (small && descriptor.small_writes < 255) ++descriptor.small_writes;
    // The other side may be at work before the call is back: on a busy machine it is given this very CPU. A large write waits for room.
    descriptor.last_write = small ? begin : end;
    if (descriptor.writes == 2 && turns.watched.load(std::memory_order_relaxed)) watch_second_write(thread, descriptor, *endpoint);
    return;
  }
  if (descriptor.writes == 0) return;
  const bool first = !descriptor.answered;
  descriptor.answered = true;
  const std::uint64_t ns = tick_clock.to_ns(end - descriptor.last_write);
  const bool waited = tick_clock.to_ns(end - begin) >= capture::kBlockedNs || thread.calls.polled > descriptor.last_write;
  if (!waited) {  // how long the answer has been there nobody knows
    turns.ready_turns.fetch_add(1, std::memory_order_relaxed);
    return descriptor.begin_turn();
  }
  turns.turns.fetch_add(1, std::memory_order_relaxed);
  turns.turn_ns.fetch_add(ns, std::memory_order_relaxed);
  turns.latencies[capture::latency_bucket(ns)].fetch_add(1, std::memory_order_relaxed);
  if (first) {
    turns.first_turns.fetch_add(1, std::memory_order_relaxed);
    turns.first_ns.fetch_add(ns, std::memory_order_relaxed);
  }
  if (descriptor.writes > 1 && descriptor.small_writes == descriptor.writes && is_delayed_acknowledgement(ns)) {
    turns.watched.store(1, std::memory_order_relaxed);  // one that takes so long by chance is not held back next time
    if (descriptor.held_back) {
      turns.delayed_turns.fetch_add(1, std::memory_order_relaxed);
      turns.delayed_ns.fetch_add(ns, std::memory_order_relaxed);
      turns.delayed_stack.store(descriptor.second_write, std::memory_order_relaxed);
    }
  }
  descriptor.begin_turn();
}

// A closed number says nothing any more.
[[gnu::cold]] EndpointId endpoint_after(CallKind kind, const Descriptor& descriptor) {
  return kind.call() == Call::close ? 0 : endpoint_of(session.descriptors.number_of(&descriptor));
}

[[gnu::cold]] void tell_call_wakes(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t begin) {
  const Endpoint* endpoint = session.endpoints.at(static_cast<EndpointId>(object));
  if (!endpoint || !is_within_process(*endpoint)) return;
  const capture::Scope scope;
  tell_wake(thread, call, object, begin);
}

}  // namespace

void finish_at(ThreadBlock* thread, CallKind kind, std::uint64_t object, std::uint64_t begin, std::uint64_t end, Outcome outcome) {
  if (!thread) return finish_without_thread(begin, end);
  add_call(*thread, kind, object, begin, end, outcome);
}

void finish_call(ThreadBlock* thread, CallKind kind, std::uint64_t object, std::uint64_t begin, std::int64_t result, std::uint64_t bytes) {
  const std::uint64_t end = tick_clock.now();
  if (!thread) [[unlikely]] return finish_without_thread(begin, end);
  add_call(*thread, kind, object, begin, end, result > 0 ? Outcome{.bytes = bytes} : outcome_of_none(kind, result));
}

void finish_loop_wait(ThreadBlock* thread, const capture::LoopWait& wait, std::uint64_t begin, int ready) {
  const std::uint64_t end = tick_clock.now();
  if (!thread) [[unlikely]] return finish_without_thread(begin, end);
  const CallKind kind(wait.call);
  const Outcome outcome = ready > 0 ? Outcome{} : outcome_of_none(kind, ready);
  if (wait.loop == 0 || !capture::recording()) return add_call(*thread, kind, 0, begin, end, outcome);
  ++capture::thread_local_state.in_agent;
  record_turn(*thread, wait, begin, end, ready > 0 ? static_cast<std::uint32_t>(ready) : 0);
  --capture::thread_local_state.in_agent;
  add_call(*thread, kind, 0, begin, end, outcome);
  begin_turn(thread->calls.turns, wait.loop);
}

void finish_descriptor_call(ThreadBlock* thread, CallKind kind, EndpointId object, Descriptor* descriptor, std::uint64_t begin, std::int64_t result) {
  const std::uint64_t end = tick_clock.now();
  if (!thread) [[unlikely]] return finish_without_thread(begin, end);
  if (object == 0 && result >= 0 && descriptor) [[unlikely]] object = endpoint_after(kind, *descriptor);
  if (result == 0 && descriptor && descriptor->is_stream) return add_call(*thread, kind, object, begin, end, {});  // its end, not a look in vain
  if (result <= 0) return add_call(*thread, kind, object, begin, end, outcome_of_none(kind, result));
  const std::uint64_t bytes = kind.moves_bytes() ? static_cast<std::uint64_t>(result) : 0;
  bool apart = false;
  if (descriptor && descriptor->is_stream) {
    apart = is_apart(*thread, kind, *descriptor, begin, end);
    note_turn(*thread, kind, *descriptor, bytes, begin, end);
  }
  if (kind.is_output() && capture::detail_span.holds(begin)) [[unlikely]] tell_call_wakes(*thread, kind.call(), object, begin);
  add_call(*thread, kind, object, begin, end, {.bytes = bytes, .apart = apart});
}

// Not part of the wait: the clock starts when the walk is over.
void LockTimer::walk() {
  const capture::Scope scope;
  stack_ = capture::stack_of_call(*thread_);
  thread_->calls.pending_stack = stack_;
  begin_ = tick_clock.now();
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
  if (!noticing()) return;
  if (const Descriptor* descriptor = session.descriptors.at(fd))
    if (Endpoint* entry = session.endpoints.at(descriptor->endpoint.load(std::memory_order_relaxed))) entry->turns.closed.fetch_add(1, std::memory_order_relaxed);
  session.descriptors.forget(fd);
  capture::file_locks.gave(fd);
}

}  // namespace tailback::preload
