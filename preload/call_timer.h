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
using trace::Call;

class CallTimer {
 public:
  explicit CallTimer(Call call, std::uint64_t object = 0) : call_(call), object_(object) {
    if (!capture::timing_calls() || capture::thread_local_state.in_agent) return;
    begin_ = capture::tick_clock.now();
    thread_ = capture::thread_local_state.block;
    if (thread_) publish();
  }

  // `result` as of a system call's wrapper: negative with errno set, else what it gives; bytes moved, for calls that move any.
  void done(std::int64_t result, std::uint64_t bytes = 0) const {
    if (begin_ != 0) finish_call(result, bytes);
  }
  // For calls that return an error number instead.
  void done_with(int error, std::uint64_t bytes = 0) const {
    if (begin_ != 0) finish(object_, bytes, error != 0 && !is_patience(error), error != 0 && is_patience(error));
  }
  // The call is over, what it worked on is found out after.
  void stop() {
    if (begin_ != 0) end_ = capture::tick_clock.now();
  }
  void done_on(std::uint64_t object, std::int64_t result) const {
    if (begin_ != 0) finish_at(end_, object, 0, result < 0 && !is_patience(errno), false);
  }
  bool on() const { return begin_ != 0; }
  // The call turned out not to be one that counts.
  void leave() const {
    if (thread_) thread_->calls.pending.store(Call::none, std::memory_order_relaxed);
  }

 protected:
  void publish() const {
    capture::ThreadCalls& own = thread_->calls;
    own.pending_stack = 0;
    own.pending_object = object_;
    own.pending_since = begin_;
    own.pending.store(call_, std::memory_order_release);
  }
  void finish_call(std::int64_t result, std::uint64_t bytes) const;
  void finish_at(std::uint64_t end, std::uint64_t object, std::uint64_t bytes, bool error, bool empty, capture::StackId stack = 0) const;
  // Adds the call to the sums; also where a dormant process learns that it waited long enough to be recorded.
  void finish(std::uint64_t object, std::uint64_t bytes, bool error, bool empty, capture::StackId stack = 0) const;
  bool moves_bytes() const {
    const trace::CallGroup group = trace::group_of(call_);
    return group == trace::CallGroup::input || group == trace::CallGroup::output || group == trace::CallGroup::copy;
  }
  bool waits_for_something() const {
    const trace::CallGroup group = trace::group_of(call_);
    return group == trace::CallGroup::input || group == trace::CallGroup::multiplex;
  }
  // Not failures: nothing there yet, interrupted, timed out.
  static bool is_patience(int error) { return error == EAGAIN || error == EINTR || error == ETIMEDOUT || error == EINPROGRESS; }

  Call call_;
  std::uint64_t object_;
  std::uint64_t begin_ = 0;  // 0: not measured
  std::uint64_t end_ = 0;    // of a stopped one
  capture::ThreadBlock* thread_ = nullptr;
};

// A lock that was busy when it was tried: its stack is walked before the wait.
class LockTimer : public CallTimer {
 public:
  LockTimer(Call call, std::uint64_t object) : CallTimer(call, object) {
    if (thread_) walk();
  }
  void done_with(int error) const {
    if (on()) finish(object_, 0, error != 0 && !is_patience(error), error != 0 && is_patience(error), stack_);
  }

 private:
  void walk();

  capture::StackId stack_ = 0;
};

// A call on a descriptor.
class DescriptorTimer : public CallTimer {
 public:
  DescriptorTimer(Call call, int fd) : CallTimer(call, 0), fd_(fd) {
    if (!thread_) return;
    descriptor_ = engine::session.descriptors.at(fd);
    if (descriptor_) thread_->calls.pending_object = object_ = descriptor_->endpoint.load(std::memory_order_acquire);
  }

  void done(std::int64_t result) const {
    if (begin_ != 0) finish_call(result);
  }

 private:
  void finish_call(std::int64_t result) const;
  bool wakes_others(std::uint64_t object) const;
  void note_turn(capture::Descriptor& descriptor, std::uint64_t bytes, std::uint64_t end) const;

  int fd_;
  capture::Descriptor* descriptor_ = nullptr;
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
