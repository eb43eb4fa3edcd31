// SPDX-License-Identifier: Apache-2.0
// What hooks of calls that may block do before and after the original. Nothing here has a destructor: the calls are cancellation
// points, and a cancelled or long-jumped call simply leaves without a word.
//
//   const CallTimer timer(Call::poll);              const DescriptorTimer timer(Call::read, fd);
//   const int result = real_poll(...);              const ssize_t result = real_read(...);
//   timer.done(result);                             timer.done(result);
#pragma once
#include <errno.h>

#include "agent/capture/scope.h"
#include "agent/engine/session.h"

namespace tailback::preload {

using capture::EndpointId;
using capture::ThreadBlock;
using trace::Call;

// A call as its hook knows it; settled when the hook is compiled.
class CallKind {
 public:
  explicit constexpr CallKind(Call call) : call_(call), traits_(traits_of(trace::group_of(call))) {}
  Call call() const { return call_; }
  bool moves_bytes() const { return traits_ & kMovesBytes; }
  bool is_output() const { return traits_ & kOutput; }        // its other end gets something
  bool waits() const { return traits_ & kWaits; }             // for something, so that nothing means that there was nothing yet
  bool waits_for_any() const { return traits_ & kWaitsForAny; }

 private:
  static constexpr std::uint16_t kMovesBytes = 1, kOutput = 2, kWaits = 4, kWaitsForAny = 8;
  static constexpr std::uint16_t traits_of(trace::CallGroup group) {
    switch (group) {
      case trace::CallGroup::input: return kMovesBytes | kWaits;
      case trace::CallGroup::output: return kMovesBytes | kOutput;
      case trace::CallGroup::copy: return kMovesBytes | kOutput;
      case trace::CallGroup::multiplex: return kWaits | kWaitsForAny;
      default: return 0;
    }
  }

  Call call_;
  std::uint16_t traits_;
};

struct Outcome {
  std::uint64_t bytes = 0;
  bool error = false, empty = false, apart = false;  // as in call_aggregate
  capture::StackId stack = 0;         // walked before; 0: not
};

// Not failures: nothing there yet, interrupted, timed out.
inline bool is_patience(int error) { return error == EAGAIN || error == EINTR || error == ETIMEDOUT || error == EINPROGRESS; }
inline Outcome outcome_of_error(int error, std::uint64_t bytes = 0, capture::StackId stack = 0) {
  const bool patient = is_patience(error);
  return {.bytes = bytes, .error = error != 0 && !patient, .empty = error != 0 && patient, .stack = stack};
}

// The ends of calls. They take values, no timer, so that a timer is nothing but registers. Each adds the call to the thread's sums;
// without a thread of its own a dormant process learns here that it waited long enough to be recorded.
void finish_at(ThreadBlock* thread, CallKind kind, std::uint64_t object, std::uint64_t begin, std::uint64_t end, Outcome outcome);
inline void finish_now(ThreadBlock* thread, CallKind kind, std::uint64_t object, std::uint64_t begin, Outcome outcome) {
  finish_at(thread, kind, object, begin, capture::tick_clock.now(), outcome);
}
// `result` as of a system call's wrapper: negative with errno set, else what it gives.
void finish_call(ThreadBlock* thread, CallKind kind, std::uint64_t object, std::uint64_t begin, std::int64_t result, std::uint64_t bytes);
void finish_descriptor_call(ThreadBlock* thread, CallKind kind, EndpointId object, capture::Descriptor* descriptor, std::uint64_t begin, std::int64_t result);

void finish_loop_wait(ThreadBlock* thread, const capture::LoopWait& wait, std::uint64_t begin, int ready);

class CallTimer {
 public:
  [[gnu::always_inline]] explicit CallTimer(Call call, std::uint64_t object = 0) : kind_(call), object_(object) {
    if (!capture::timing_calls() || capture::thread_local_state.in_agent) [[unlikely]] return;
    thread_ = capture::thread_local_state.block;
    begin_ = capture::tick_clock.now();
    if (thread_) [[likely]] publish();
  }

  // Bytes moved, for calls that move any.
  void done(std::int64_t result, std::uint64_t bytes = 0) const {
    if (begin_ != 0) [[likely]] finish_call(thread_, kind_, object_, begin_, result, bytes);
  }
  // For calls that return an error number instead.
  void done_with(int error, std::uint64_t bytes = 0) const {
    if (begin_ != 0) finish_now(thread_, kind_, object_, begin_, outcome_of_error(error, bytes));
  }
  // The call is over, what it worked on is found out after.
  void stop() {
    if (begin_ != 0) end_ = capture::tick_clock.now();
  }
  void done_on(std::uint64_t object, std::int64_t result) const {
    if (begin_ != 0) finish_at(thread_, kind_, object, begin_, end_, {0, result < 0 && !is_patience(errno), false, 0});
  }
  bool on() const { return begin_ != 0; }
  // It gives up after a time, so that nobody waits in it for ever.
  void gives_up() const {
    if (thread_) thread_->calls.pending_for_a_while = true;
  }
  // The call turned out not to be one that counts.
  void leave() const {
    if (thread_) thread_->calls.pending.store(Call::none, std::memory_order_relaxed);
  }

 protected:
  [[gnu::always_inline]] void publish() const {
    capture::ThreadCalls& own = thread_->calls;
    own.pending_stack = 0;
    own.pending_for_a_while = false;
    own.pending_object = object_;
    own.pending_since = begin_;
    own.pending.store(kind_.call(), std::memory_order_release);
  }

  CallKind kind_;
  std::uint64_t object_;
  std::uint64_t begin_ = 0;  // 0: not measured
  std::uint64_t end_ = 0;    // of a stopped one
  ThreadBlock* thread_ = nullptr;
};

// A lock that was busy when it was tried: its stack is walked before the wait.
class LockTimer : public CallTimer {
 public:
  LockTimer(Call call, std::uint64_t object) : CallTimer(call, object) {
    if (thread_) walk();
  }
  std::uint64_t begin() const { return begin_; }
  Call call() const { return kind_.call(); }
  capture::Waited done_with(int error) const {
    if (!on()) return {};
    const std::uint64_t end = capture::tick_clock.now();
    finish_at(thread_, kind_, object_, begin_, end, outcome_of_error(error, 0, stack_));
    return {stack_, end};
  }

 private:
  void walk();

  capture::StackId stack_ = 0;
};

// A wait for any of several descriptors: what an event loop comes back to.
class LoopTimer : public CallTimer {
 public:
  [[gnu::always_inline]] explicit LoopTimer(Call call) : CallTimer(call) {}
  void done(const capture::LoopWait& wait, int result) const {
    if (begin_ != 0) [[likely]] finish_loop_wait(thread_, wait, begin_, result);
  }
};

// A call on a descriptor, whose endpoint is asked for before the call: close makes the number unknown.
class DescriptorTimer : public CallTimer {
 public:
  [[gnu::always_inline]] DescriptorTimer(Call call, int fd) : CallTimer(call, 0) {
    if (!thread_) [[unlikely]] return;
    descriptor_ = engine::session.descriptors.at(fd);
    if (!descriptor_) [[unlikely]] return;
    endpoint_ = descriptor_->endpoint.load(std::memory_order_acquire);
    thread_->calls.pending_object = endpoint_;
  }

  void done(std::int64_t result) const {
    if (begin_ != 0) [[likely]] finish_descriptor_call(thread_, kind_, endpoint_, descriptor_, begin_, result);
  }

 private:
  capture::Descriptor* descriptor_ = nullptr;  // of its number, whatever that means by now
  EndpointId endpoint_ = 0;
};

// Whether hooks keep what descriptors stand for.
inline bool noticing() { return capture::recording() && capture::timing_calls(); }

// What a descriptor stands for, looked up when it is not known yet.
EndpointId endpoint_of(int fd);
// A descriptor was opened on an endpoint.
void opened(int fd, EndpointId endpoint);
// It is about to be closed, or to stand for something else.
void closing(int fd);

}  // namespace tailback::preload
