// SPDX-License-Identifier: Apache-2.0
// Sleeps. Who looks for something at intervals asks for the same length again and again, or for a few; who has a plan sleeps for what is
// left until its next moment, never twice the same, or until moments that lie equally far apart. What was asked for is read after the call,
// when the kernel has read it too.
#include <threads.h>

#include <algorithm>
#include <iterator>

#include "preload/call_timer.h"
#include "preload/real.h"

using tailback::trace::Call;

namespace {

class SleepTimer : public tailback::preload::CallTimer {
 public:
  SleepTimer() : CallTimer(Call::sleep) {}
  // Only of sleeps that lasted as long as was asked for.
  void slept(std::uint64_t ns) {
    if (thread_ && ns != 0 && !met_lately(ns) && met_many()) kind_ = tailback::preload::CallKind(Call::sleep_until);
    done_with(0);
  }
  // An absolute time may be an interval from now: CPython sleeps so.
  void slept_until(std::uint64_t moment) {
    if (thread_ && met_lately(moment - thread_->calls.slept_until)) kind_ = tailback::preload::CallKind(Call::sleep_until);
    if (thread_) thread_->calls.slept_until = moment;
    done_with(0);
  }

 private:
  bool met_many() const { return thread_->calls.slept[(thread_->calls.slept_next + 1) % std::size(thread_->calls.slept)] != 0; }
  bool met_lately(std::uint64_t ns) const {
    tailback::capture::ThreadCalls& own = thread_->calls;
    if (std::find(std::begin(own.slept), std::end(own.slept), ns) != std::end(own.slept)) return true;
    own.slept_next = (own.slept_next + 1) % std::size(own.slept);
    own.slept[own.slept_next] = ns;
    return false;
  }
};

std::uint64_t ns_of(const timespec* time) { return static_cast<std::uint64_t>(time->tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time->tv_nsec); }

}  // namespace

TAILBACK_HOOK unsigned sleep(unsigned seconds) {
  const auto real_sleep = TAILBACK_REAL(sleep);
  SleepTimer timer;
  const unsigned rest = real_sleep(seconds);
  if (rest == 0) timer.slept(seconds * 1'000'000'000ull);
  else timer.done_with(EINTR);
  return rest;
}

TAILBACK_HOOK int usleep(useconds_t us) {
  const auto real_sleep = TAILBACK_REAL(usleep);
  SleepTimer timer;
  const int result = real_sleep(us);
  if (result == 0) timer.slept(us * 1'000ull);
  else timer.done(result);
  return result;
}

TAILBACK_HOOK int nanosleep(const timespec* time, timespec* rest) {
  const auto real_sleep = TAILBACK_REAL(nanosleep);
  SleepTimer timer;
  const int result = real_sleep(time, rest);
  if (result == 0) timer.slept(ns_of(time));
  else timer.done(result);
  return result;
}

TAILBACK_HOOK int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* rest) {
  const auto real_sleep = TAILBACK_REAL(clock_nanosleep);
  SleepTimer timer;
  const int error = real_sleep(clock, flags, time, rest);
  if (error != 0) timer.done_with(error);
  else if (flags & TIMER_ABSTIME) timer.slept_until(ns_of(time));
  else timer.slept(ns_of(time));
  return error;
}

TAILBACK_HOOK int thrd_sleep(const timespec* time, timespec* rest) {
  const auto real_sleep = TAILBACK_REAL(thrd_sleep);
  SleepTimer timer;
  const int result = real_sleep(time, rest);
  if (result == 0) timer.slept(ns_of(time));
  else timer.done_with(EINTR);
  return result;
}
