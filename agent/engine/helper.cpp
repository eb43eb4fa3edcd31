// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/helper.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>

#include "agent/capture/clock.h"
#include "agent/capture/dormant.h"
#include "agent/capture/syscalls.h"
#include "agent/engine/session.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constexpr std::size_t kStackBytes = 128 * 1024;
constexpr std::uint64_t kTickNs = 250'000'000;
constexpr std::uint64_t kAllSignalsButGlibcs = ~((std::uint64_t{1} << 31) | (std::uint64_t{1} << 32));  // 32 and 33 stay open

// False: somebody woke it before the time was over.
bool wait_on(std::atomic<std::uint32_t>& word, std::uint32_t while_value, std::uint64_t ns) {
  const timespec timeout{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  return sys::call(__NR_futex, sys::arg(&word), FUTEX_WAIT_PRIVATE, while_value, sys::arg(&timeout)) == -ETIMEDOUT;
}

void wake(std::atomic<std::uint32_t>& word) { sys::call(__NR_futex, sys::arg(&word), FUTEX_WAKE_PRIVATE, 1 << 30); }

std::uint64_t swap_mask(std::uint64_t mask) {
  std::uint64_t before = 0;
  sys::call(__NR_rt_sigprocmask, SIG_SETMASK, sys::arg(&mask), sys::arg(&before), sizeof mask);
  return before;
}

}  // namespace

TAILBACK_DORMANT_DATA constinit Helper helper;

void Helper::start(Session& owner) {
  std::uint32_t off = kOff;
  if (!state_.compare_exchange_strong(off, kRunning, std::memory_order_acq_rel)) return;
  session_ = &owner;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return state_.store(kOff);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  alive_.store(1, std::memory_order_release);
  // A new thread inherits the mask: it must never take a signal meant for the program, not even at its start.
  const std::uint64_t mask = swap_mask(kAllSignalsButGlibcs);
  pthread_t thread;
  const bool started = owner.real().pthread_create(&thread, &attributes, &Helper::main, this) == 0;
  swap_mask(mask);
  pthread_attr_destroy(&attributes);
  if (started) return;
  alive_.store(0, std::memory_order_release);
  state_.store(kOff, std::memory_order_release);
}

void* Helper::main(void* self) {
  auto& thread = *static_cast<Helper*>(self);
  capture::thread_local_state.in_agent = 1;  // whatever it calls, no hook sees it
  thread.tid_.store(static_cast<int>(sys::gettid()), std::memory_order_relaxed);
  sys::call(__NR_prctl, PR_SET_NAME, sys::arg("tailback"));
  thread.loop();
  thread.cpu_at_end_.fetch_add(capture::thread_cpu_ns(), std::memory_order_relaxed);
  thread.tid_.store(0, std::memory_order_relaxed);
  thread.alive_.store(0, std::memory_order_release);
  wake(thread.alive_);
  return nullptr;
}

// Sleeps until the next tick, or shorter: while the program is busy, so that a pause is noticed, and while a detail window is open.
// Woken before its time it ticks at once.
void Helper::loop() {
  PauseSentinel& sentinel = session_->sentinel();
  session_->begin_watching();
  std::uint64_t next_tick = capture::monotonic_ns() + kTickNs;
  while (state_.load(std::memory_order_acquire) == kRunning) {
    const std::uint64_t begun = sentinel.sleeps(), left = next_tick > begun ? next_tick - begun : 1;
    const std::uint64_t due = begun + std::min(left, std::min(sentinel.slice_ns(kTickNs), session_->until_look_ns()));
    wait_on(state_, kRunning, due - begun);
    if (state_.load(std::memory_order_acquire) != kRunning) return;
    const std::uint64_t now = capture::monotonic_ns();
    if (now >= due) sentinel.woke(due, now);
    if (now >= due && now < next_tick) {
      session_->look_at_window();
      continue;
    }
    next_tick = now + kTickNs;
    if (!session_->tick()) {
      state_.store(kOff, std::memory_order_release);
      return;
    }
  }
}

bool Helper::stop(std::uint64_t wait_ns) {
  std::uint32_t on = kRunning;
  state_.compare_exchange_strong(on, kStopping, std::memory_order_acq_rel);
  wake(state_);
  const std::uint64_t end = capture::monotonic_ns() + wait_ns;
  while (alive_.load(std::memory_order_acquire) != 0) {
    const std::uint64_t now = capture::monotonic_ns();
    if (now >= end) return false;
    wait_on(alive_, 1, end - now);
  }
  state_.store(kOff, std::memory_order_release);
  return true;
}

void Helper::look() { wake(state_); }

bool Helper::join(std::uint64_t wait_ns) {
  const int tid = tid_.load(std::memory_order_acquire);
  const std::uint64_t end = capture::monotonic_ns() + wait_ns;
  if (!stop(wait_ns)) return false;
  while (tid && sys::call(__NR_tgkill, sys::getpid(), tid, 0) != -ESRCH) {
    if (capture::monotonic_ns() >= end) return false;
    const timespec moment{0, 20'000};
    sys::call(__NR_nanosleep, sys::arg(&moment));
  }
  return true;
}

void Helper::forget() {
  state_.store(kOff, std::memory_order_release);
  alive_.store(0, std::memory_order_release);
  tid_.store(0, std::memory_order_relaxed);
  cpu_at_end_.store(0, std::memory_order_relaxed);
}

std::uint64_t Helper::cpu_ns() const {
  const int tid = tid_.load(std::memory_order_relaxed);
  return cpu_at_end_.load(std::memory_order_relaxed) + (tid ? capture::thread_cpu_ns(tid) : 0);
}

}  // namespace tailback::engine
