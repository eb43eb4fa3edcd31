// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/signals.h"

#include <errno.h>
#include <sys/auxv.h>
#include <ucontext.h>

#include <atomic>
#include <string_view>

#include "agent/capture/dormant.h"
#include "agent/capture/sampling.h"
#include "agent/capture/scope.h"
#include "agent/engine/session.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::kSampleSignal;
using capture::thread_local_state;

namespace {

constexpr std::uint64_t bit_of(int signal) { return std::uint64_t{1} << (signal - 1); }
constexpr std::uint64_t kSampleBit = bit_of(kSampleSignal);
constexpr int kSignals = 65;

// Of the program: its disposition of the sampling signal, and for which of its handlers it asked itself for the bit in sa_mask.
TAILBACK_DORMANT_DATA constinit struct sigaction program_action {};
TAILBACK_DORMANT_DATA constinit std::atomic<std::uint64_t> asked_for_bit{0};  // bit per signal
TAILBACK_DORMANT_DATA constinit std::atomic<std::uint32_t> action_lock{0};

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

// Sends a signal to this process, or to this thread, as it was sent the first time.
void requeue(const siginfo_t& info) {
  if (info.si_code == SI_TKILL) sys::call(__NR_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), kSampleSignal, sys::arg(&info));
  else sys::call(__NR_rt_sigqueueinfo, sys::getpid(), kSampleSignal, sys::arg(&info));
}

void block_for_real(int how) { sys::call(__NR_rt_sigprocmask, how, sys::arg(&kSampleBit), 0, sizeof kSampleBit); }

bool is_function(const struct sigaction& action) { return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN; }

// A program may read the signal from descriptors; there are few, and those made later than this many go without.
struct SignalDescriptor {
  int fd;
  std::uint64_t set;
};
constexpr unsigned kMostDescriptors = 8;
SignalDescriptor descriptors[kMostDescriptors];
std::atomic<unsigned> descriptor_count;

TAILBACK_DORMANT_DATA constinit std::atomic<bool> taken{false};
TAILBACK_DORMANT_DATA constinit long owner_pid = 0;  // a vfork child shares this memory, but its mask and dispositions are its own
bool own_process() { return sys::getpid() == owner_pid; }
using RealAction = int(int, const struct sigaction*, struct sigaction*);
TAILBACK_DORMANT_DATA constinit RealAction* real_action = nullptr;

bool is_signal_descriptor(int fd) {
  char name[40], target[32];
  Text path(name, sizeof name);
  path.add("/proc/self/fd/").add_number(static_cast<std::uint64_t>(fd));
  const long got = sys::call(__NR_readlink, sys::arg(name), sys::arg(target), sizeof target);
  return !sys::failed(got) && std::string_view(target, static_cast<std::size_t>(got)) == "anon_inode:[signalfd]";
}

// Descriptors see the signal from now on. A timer's signal never waits long enough to be read from one: it comes at a thread's
// return from the kernel, to a thread that does not block it.
void give_back_descriptors() {
  const unsigned count = descriptor_count.exchange(0, std::memory_order_acq_rel);
  for (unsigned i = 0; i < count && i < kMostDescriptors; ++i) {
    const std::uint64_t set = descriptors[i].set | kSampleBit;
    if (is_signal_descriptor(descriptors[i].fd)) sys::call(__NR_signalfd4, descriptors[i].fd, sys::arg(&set), sizeof set, 0);
  }
}

// A timer's signal that already waits here would be taken for the program's.
void drop_own_pending() {
  siginfo_t info{};
  const timespec now{};
  const long got = sys::call(__NR_rt_sigtimedwait, sys::arg(&kSampleBit), sys::arg(&info), sys::arg(&now), sizeof kSampleBit);
  if (got == kSampleSignal && !capture::is_own_signal(info)) requeue(info);
}

// Whoever blocks nearly all signals does not mean this one.
bool means_sample_signal(std::uint64_t mask) {
  constexpr int kNearlyAll = 16;
  return (mask & kSampleBit) && __builtin_popcountll(mask & 0x7fffffff) < kNearlyAll;
}

// To be preceded by session.wake_up(): a dormant process has a timer that no block knows of.
void rest_timer() {
  if (capture::ThreadBlock* block = thread_local_state.block; block && capture::recording()) capture::pause_timer(*block);
}

void give_back(const siginfo_t& info, ucontext_t& context) {
  session.wake_up();
  thread_local_state.given_back = 1;
  word_of(context.uc_sigmask) |= kSampleBit;
  rest_timer();
  drop_own_pending();
  give_back_descriptors();
  thread_local_state.waiting_set |= kSampleBit;
  requeue(info);
}

void take_back() {
  thread_local_state.given_back = 0;
  if (capture::ThreadBlock* block = thread_local_state.block; block && capture::recording()) capture::rearm_timer(*block);
}

// A SIGURG that is not ours goes where the program wants it, once it is not blocked there.
void forward_to_program(int signal, siginfo_t* info, void* context) {
  auto& interrupted = *static_cast<ucontext_t*>(context);
  // With a mask of its own for the wait, the thread may not have begun to wait yet; given back, it comes once it does.
  const bool waits = thread_local_state.wait_mask && (word_of(interrupted.uc_sigmask) & kSampleBit);
  if (sample_signal_blocked() && !waits) return give_back(*info, interrupted);
  const struct sigaction action = program_action;
  if (!is_function(action)) return;
  // What the kernel would do on entry; on return it restores the mask by itself.
  if (action.sa_flags & SA_RESETHAND) program_action.sa_handler = SIG_DFL;
  const std::uint64_t wanted = thread_local_state.wanted_mask;
  if (action.sa_flags & SA_NODEFER) block_for_real(SIG_UNBLOCK);
  else thread_local_state.wanted_mask |= kSampleBit;
  const std::uint64_t mask = word_of(action.sa_mask) & ~(bit_of(32) | bit_of(33));
  if (mask) sys::call(__NR_rt_sigprocmask, SIG_BLOCK, sys::arg(&mask), 0, sizeof mask);
  if (action.sa_flags & SA_SIGINFO) action.sa_sigaction(signal, info, context);
  else action.sa_handler(signal);
  thread_local_state.wanted_mask = wanted;
}

bool ignored_by_program() { return program_action.sa_handler == SIG_IGN; }

void ignore_for_real() {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  real_action(kSampleSignal, &ignore, nullptr);
}

// On the alternate stack where there is one: Go's threads and coroutines have little room elsewhere. SA_RESTART follows a handler of
// the program, which may count on its calls being interrupted; our own signals come when no call sleeps.
TAILBACK_DORMANT_DATA constinit std::atomic<int> handler_flags{SA_SIGINFO | SA_RESTART | SA_ONSTACK};

bool install_handler(struct sigaction* found) {
  struct sigaction action {};
  action.sa_sigaction = capture::on_sample_signal;
  action.sa_flags = handler_flags.load(std::memory_order_relaxed);
  return real_action(kSampleSignal, &action, found) == 0;
}

}  // namespace

bool sample_signal_blocked() { return (thread_local_state.wanted_mask & kSampleBit) != 0; }
bool has_sample_signal(const sigset_t* set) { return set && (word_of(*set) & kSampleBit); }
bool signals_are_virtual() { return taken.load(std::memory_order_acquire); }

bool install_sample_handler(int (*real_sigaction)(int, const struct sigaction*, struct sigaction*)) {
  capture::sampling.hooks.foreign_signal = forward_to_program;
  real_action = real_sigaction;
  if (!install_handler(&program_action)) return false;
  // The mask inherited over exec: the bit is the program's wish from now on, not the kernel's state.
  std::uint64_t before = 0;
  sys::call(__NR_rt_sigprocmask, SIG_UNBLOCK, sys::arg(&kSampleBit), sys::arg(&before), sizeof before);
  if (before & kSampleBit) thread_local_state.wanted_mask |= kSampleBit;
  owner_pid = sys::getpid();
  taken.store(true, std::memory_order_release);
  return true;
}

void release_signals() {
  if (!taken.exchange(false)) return;
  real_action(kSampleSignal, &program_action, nullptr);
  if (sample_signal_blocked()) block_for_real(SIG_BLOCK);
}

namespace {

// An action of another signal whose mask does not name ours, as nearly all: nothing is to be remembered, and no lock to be taken. False:
// there is, or another thread has just given the same signal an action of the other kind; then it is done again under the lock.
bool set_plain_action(int signal, const struct sigaction* action, struct sigaction* old, int& error) {
  const bool plain = signal > 0 && signal < kSignals && signal != kSampleSignal && !(action && (word_of(action->sa_mask) & kSampleBit));
  const auto asked = [signal] { return (asked_for_bit.load(std::memory_order_acquire) & bit_of(signal)) != 0; };
  if (!plain || asked()) return false;
  struct sigaction changed, before;
  if (action) {
    changed = *action;
    word_of(changed.sa_mask) |= kSampleBit;
  }
  error = real_action(signal, action ? &changed : nullptr, &before) == 0 ? 0 : errno;
  if (asked()) return false;
  if (old && error == 0) {
    word_of(before.sa_mask) &= ~kSampleBit;
    *old = before;
  }
  return true;
}

}  // namespace

int virtual_sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  if (int error = 0; set_plain_action(signal, action, old, error)) return error;
  const ActionLock lock;
  if (signal == kSampleSignal) {
    const struct sigaction before = program_action;
    if (action && !own_process()) return real_action(signal, action, old) == 0 ? 0 : errno;  // vfork child: its own
    if (action) {
      program_action = *action;
      const bool restarts = !is_function(*action) || (action->sa_flags & SA_RESTART);
      const int flags = handler_flags.load(std::memory_order_relaxed);
      handler_flags.store(restarts ? flags | SA_RESTART : flags & ~SA_RESTART, std::memory_order_relaxed);
      if (handler_flags.load(std::memory_order_relaxed) != flags) install_handler(nullptr);
    }
    if (old) *old = before;
    return 0;
  }
  const bool known = signal > 0 && signal < kSignals;
  struct sigaction changed;
  if (action && known) {
    changed = *action;
    word_of(changed.sa_mask) |= kSampleBit;
  }
  if (real_action(signal, action && known ? &changed : action, old) != 0) return errno;
  const std::uint64_t asked = asked_for_bit.load(std::memory_order_relaxed);
  if (old && known && !(asked & bit_of(signal))) word_of(old->sa_mask) &= ~kSampleBit;
  if (action && known) {
    const bool asks = (word_of(action->sa_mask) & kSampleBit) != 0;
    const std::uint64_t now = asks ? asked | bit_of(signal) : asked & ~bit_of(signal);
    if (now != asked && own_process()) asked_for_bit.store(now, std::memory_order_relaxed);
  }
  return 0;
}

int virtual_sigmask(int how, const sigset_t* set, sigset_t* old) {
  const bool was_blocked = sample_signal_blocked();
  if (set && how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK) return EINVAL;
  // glibc's own two signals are never blocked by the program, exactly as in glibc.
  std::uint64_t mask = set ? word_of(*set) & ~(bit_of(32) | bit_of(33)) : 0;
  const bool named = (mask & kSampleBit) != 0;
  const bool blocked = !set ? was_blocked : how == SIG_SETMASK ? named : named ? how == SIG_BLOCK : was_blocked;
  bool own = true;
  if (blocked != was_blocked) {
    own = own_process();  // a vfork child has the mask to itself, not this memory
    if (own) thread_local_state.wanted_mask = blocked ? kSampleBit : 0;
  }
  const bool meant = own && blocked && !thread_local_state.given_back && how != SIG_UNBLOCK && means_sample_signal(mask);
  if (meant) {
    session.wake_up();
    thread_local_state.given_back = 1;
    rest_timer();
  }
  if (own && how != SIG_UNBLOCK && !thread_local_state.given_back) mask &= ~kSampleBit;
  std::uint64_t before = 0;
  const long result = sys::call(__NR_rt_sigprocmask, how, set ? sys::arg(&mask) : 0, sys::arg(&before), sizeof before);
  if (sys::failed(result)) return static_cast<int>(-result);
  if (old) word_of(*old) = (before & ~kSampleBit) | (was_blocked ? kSampleBit : 0);  // the first word only, as the kernel does
  if (meant) drop_own_pending();
  if (thread_local_state.given_back && !sample_signal_blocked()) take_back();
  return 0;
}

const sigset_t* waiting_set(const sigset_t* set) {
  std::uint64_t& own = thread_local_state.waiting_set;
  own = word_of(*set) & ~kSampleBit;
  asm volatile("" ::: "memory");
  if (thread_local_state.given_back) own |= kSampleBit;  // before, or in this moment
  return reinterpret_cast<const sigset_t*>(&own);         // glibc hands the pointer on, the kernel reads one word
}

bool waiting_set_grew() { return (thread_local_state.waiting_set & kSampleBit) != 0; }

const sigset_t* descriptor_set(const sigset_t* set, sigset_t& copy) {
  if (!has_sample_signal(set) || thread_local_state.given_back || means_sample_signal(word_of(*set))) return set;
  copy = *set;
  word_of(copy) &= ~kSampleBit;
  return &copy;
}

void remember_descriptor(int fd, const sigset_t* set) {
  if (fd < 0 || !has_sample_signal(set) || thread_local_state.given_back || means_sample_signal(word_of(*set))) return;
  const unsigned place = descriptor_count.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < place; ++i)
    if (descriptors[i].fd == fd) return void(descriptors[i].set = word_of(*set));
  if (place == kMostDescriptors) return;
  descriptors[place] = {fd, word_of(*set)};
  descriptor_count.store(place + 1, std::memory_order_release);
}

bool begin_wait_with_mask(const sigset_t* mask) {
  if (!mask || !sample_signal_blocked() || has_sample_signal(mask)) return false;
  thread_local_state.wait_mask = thread_local_state.given_back ? 2 : 1;
  return true;
}

bool end_wait_with_mask(bool interrupted) {
  const bool came = thread_local_state.wait_mask == 1 && thread_local_state.given_back;
  thread_local_state.wait_mask = interrupted && came ? 2 : 0;
  return interrupted && came;
}

void alternate_stack_of(std::size_t bytes) {
  constexpr std::size_t kHandlerBytes = 4096, kOldFrameBytes = 2048;
  const std::size_t frame = getauxval(AT_MINSIGSTKSZ);
  if (!signals_are_virtual() || bytes >= (frame ? frame : kOldFrameBytes) + kHandlerBytes) return;
  if (handler_flags.fetch_and(~SA_ONSTACK) & SA_ONSTACK) {
    const ActionLock lock;
    install_handler(nullptr);
  }
}

void signals_before_exec() {
  if (!signals_are_virtual()) return;
  if (sample_signal_blocked()) block_for_real(SIG_BLOCK);
  if (ignored_by_program()) ignore_for_real();
}

void signals_after_failed_exec() {
  if (!signals_are_virtual()) return;
  if (ignored_by_program()) install_handler(nullptr);
  if (sample_signal_blocked() && !thread_local_state.given_back) block_for_real(SIG_UNBLOCK);
}

void signals_in_new_thread(bool given_back) {
  thread_local_state.given_back = given_back;
  if (given_back) rest_timer();
  else block_for_real(SIG_UNBLOCK);
}

void signals_after_fork() {
  owner_pid = sys::getpid();
  if (!thread_local_state.given_back) return;
  thread_local_state.given_back = 0;  // what was pending stays with the parent
  block_for_real(SIG_UNBLOCK);
}

}  // namespace tailback::engine
