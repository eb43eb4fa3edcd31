// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/signals.h"

#include <errno.h>

#include <atomic>

#include "agent/capture/sampling.h"
#include "agent/capture/scope.h"
#include "agent/engine/session.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::kSampleSignal;
using capture::thread_local_state;

namespace {

constexpr std::uint64_t bit_of(int signal) { return std::uint64_t{1} << (signal - 1); }
constexpr std::uint64_t kSampleBit = bit_of(kSampleSignal);
constexpr int kSignals = 65;

// Of the program: its disposition of the sampling signal, and for which of its handlers it asked itself for the bit in sa_mask.
struct sigaction program_action;
std::atomic<std::uint64_t> asked_for_bit;  // bit per signal
std::atomic<std::uint32_t> action_lock;

class ActionLock {  // with all signals blocked, so that no handler of this thread can wait for itself
 public:
  ActionLock() {
    const std::uint64_t all = ~std::uint64_t{0};
    sys::call(__NR_rt_sigprocmask, SIG_BLOCK, sys::arg(&all), sys::arg(&before_), sizeof all);
    while (action_lock.exchange(1, std::memory_order_acquire)) sys::call(__NR_sched_yield);
  }
  ~ActionLock() {
    action_lock.store(0, std::memory_order_release);
    sys::call(__NR_rt_sigprocmask, SIG_SETMASK, sys::arg(&before_), 0, sizeof before_);
  }

 private:
  std::uint64_t before_ = 0;
};

std::uint64_t& word_of(sigset_t& set) { return *reinterpret_cast<std::uint64_t*>(&set); }
std::uint64_t word_of(const sigset_t& set) { return *reinterpret_cast<const std::uint64_t*>(&set); }

bool blocked_by_program() { return (thread_local_state.wanted_mask & kSampleBit) != 0; }

// A SIGURG that is not ours goes where the program wants it, once it is not blocked there.
void forward_to_program(int signal, siginfo_t* info, void* context) {
  if (blocked_by_program()) {  // as in the kernel, a second one of the same number is dropped
    if (!thread_local_state.held_signal && thread_local_state.block) thread_local_state.block->held_info = *info;
    thread_local_state.held_signal = 1;
    return;
  }
  const auto handler = reinterpret_cast<std::uintptr_t>(program_action.sa_sigaction);
  if (handler == reinterpret_cast<std::uintptr_t>(SIG_DFL) || handler == reinterpret_cast<std::uintptr_t>(SIG_IGN)) return;
  if (program_action.sa_flags & SA_SIGINFO) program_action.sa_sigaction(signal, info, context);
  else program_action.sa_handler(signal);
}

// What was held back comes again, now that the program unblocked it.
void deliver_held() {
  if (!thread_local_state.held_signal || blocked_by_program()) return;
  thread_local_state.held_signal = 0;
  const long tid = sys::gettid();
  if (capture::ThreadBlock* block = thread_local_state.block)
    sys::call(__NR_rt_tgsigqueueinfo, sys::getpid(), tid, kSampleSignal, sys::arg(&block->held_info));
  else
    sys::call(__NR_tgkill, sys::getpid(), tid, kSampleSignal);
}

}  // namespace

bool install_sample_handler(int (*real_sigaction)(int, const struct sigaction*, struct sigaction*)) {
  capture::sampling.hooks.foreign_signal = forward_to_program;
  struct sigaction action {};
  action.sa_sigaction = capture::on_sample_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  if (real_sigaction(kSampleSignal, &action, &program_action) != 0) return false;
  // The mask inherited over exec: the bit is the program's wish from now on, not the kernel's state.
  std::uint64_t before = 0;
  sys::call(__NR_rt_sigprocmask, SIG_UNBLOCK, sys::arg(&kSampleBit), sys::arg(&before), sizeof before);
  if (before & kSampleBit) thread_local_state.wanted_mask |= kSampleBit;
  return true;
}

int virtual_sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  const ActionLock lock;
  if (signal == kSampleSignal) {
    if (old) *old = program_action;
    if (action) program_action = *action;
    return 0;
  }
  const bool known = signal > 0 && signal < kSignals;
  struct sigaction changed;
  if (action && known) {
    changed = *action;
    word_of(changed.sa_mask) |= kSampleBit;
  }
  if (session.real().sigaction(signal, action && known ? &changed : action, old) != 0) return errno;
  const std::uint64_t asked = asked_for_bit.load(std::memory_order_relaxed);
  if (old && known && !(asked & bit_of(signal))) word_of(old->sa_mask) &= ~kSampleBit;
  if (action && known) {
    const bool asks = (word_of(action->sa_mask) & kSampleBit) != 0;
    asked_for_bit.store(asks ? asked | bit_of(signal) : asked & ~bit_of(signal), std::memory_order_relaxed);
  }
  return 0;
}

int virtual_sigmask(int how, const sigset_t* set, sigset_t* old) {
  const bool was_blocked = blocked_by_program();
  if (set && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK) return EINVAL;
  if (set) {
    const bool named = (word_of(*set) & kSampleBit) != 0;
    if (how == SIG_SETMASK) thread_local_state.wanted_mask = named ? kSampleBit : 0;
    else if (named) thread_local_state.wanted_mask = how == SIG_BLOCK ? kSampleBit : 0;
  }
  // glibc's own two signals are never blocked by the program, exactly as in glibc.
  const std::uint64_t mask = set ? word_of(*set) & ~(bit_of(32) | bit_of(33) | (how == SIG_UNBLOCK ? 0 : kSampleBit)) : 0;
  std::uint64_t before = 0;
  const long result = sys::call(__NR_rt_sigprocmask, how, set ? sys::arg(&mask) : 0, sys::arg(&before), sizeof before);
  if (sys::failed(result)) return static_cast<int>(-result);
  if (old) word_of(*old) = (before & ~kSampleBit) | (was_blocked ? kSampleBit : 0);  // the first word only, as the kernel does
  deliver_held();
  return 0;
}

int virtual_sigpending(sigset_t* set) {
  const long result = sys::call(__NR_rt_sigpending, sys::arg(set), sizeof(std::uint64_t));
  if (sys::failed(result)) return static_cast<int>(-result);
  if (thread_local_state.held_signal) word_of(*set) |= kSampleBit;
  return 0;
}

const sigset_t* without_sample_signal(const sigset_t* set, sigset_t& copy) {
  if (!set) return set;
  copy = *set;
  word_of(copy) &= ~kSampleBit;
  return &copy;
}

}  // namespace tailback::engine
