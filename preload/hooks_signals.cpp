// SPDX-License-Identifier: Apache-2.0
// Signals: the program sees the sampling signal exactly as without the agent; its kernel state is the agent's.
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "agent/capture/sampling.h"
#include "agent/engine/signals.h"
#include "preload/call_timer.h"
#include "preload/loop_wait.h"
#include "preload/real.h"

namespace engine = tailback::engine;
using tailback::capture::kSampleSignal;
using engine::signals_are_virtual;
using tailback::capture::LoopWait;
using tailback::preload::CallTimer;
using tailback::preload::LoopTimer;
using tailback::trace::Call;

namespace {

int fail_with(int error) {
  if (error == 0) return 0;
  errno = error;
  return -1;
}

sigset_t only(int signal) {
  sigset_t set{};
  set.__val[0] = 1ul << (signal - 1);
  return set;
}

// signal(), in its BSD (restart, keep handler) and System V (one shot, no mask) forms.
sighandler_t install(int signal, sighandler_t handler, int flags, struct sigaction* found = nullptr) {
  struct sigaction action {}, old {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  if (!(flags & SA_NODEFER) && signal > 0 && signal < NSIG) action.sa_mask = only(signal);
  const int error = handler == SIG_ERR || signal < 1 || signal >= NSIG ? EINVAL : engine::virtual_sigaction(signal, &action, &old);
  if (found) *found = old;
  return fail_with(error) == 0 ? old.sa_handler : SIG_ERR;
}

// sigblock and sigsetmask: a word of the first 32 signals.
int old_mask(int (*real_call)(int), int how, int mask) {
  if (!signals_are_virtual()) return real_call(mask);
  sigset_t set{}, before;
  set.__val[0] = static_cast<unsigned>(mask);
  const int error = engine::virtual_sigmask(how, &set, &before);
  return fail_with(error) == 0 ? static_cast<int>(before.__val[0]) : -1;
}

// Waits again when the sampling signal was given back meanwhile. A cancellation point, as the next one: nothing with a
// destructor lives across the call.
template <class Wait>
int wait_for(const sigset_t* set, Wait&& wait) {
  for (;;) {
    const sigset_t* own = engine::waiting_set(set);
    const bool complete = engine::has_sample_signal(own);
    const int result = timed(Call::sigwait, [&] { return wait(own); });
    if (result >= 0 || errno != EINTR || complete || !engine::waiting_set_grew()) return result;
  }
}

template <class Wait>
int timed(Call call, Wait&& wait) {
  const CallTimer timer(call);
  const int result = wait();
  timer.done(result);
  return result;
}

// `timeout`: where it is no number of milliseconds.
template <class Wait>
int timed(LoopWait loop, const timespec* timeout, Wait&& wait) {
  const LoopTimer timer(loop.call);
  const int result = wait();
  if (timeout && result >= 0) loop.timeout_ms = tailback::preload::milliseconds(timeout);
  timer.done(loop, result);
  return result;
}

// One call for both rounds, so that the hook has one frame.
template <class Timed>
int wait_with(const sigset_t* mask, Timed&& wait) {
  const bool masked = signals_are_virtual() && engine::begin_wait_with_mask(mask);
  for (bool first = true;; first = false) {
    const int result = wait();
    if (!masked || !engine::end_wait_with_mask(first && result < 0 && errno == EINTR) || !first) return result;
  }
}

constexpr int kSystemV = static_cast<int>(SA_RESETHAND | SA_NODEFER);

}  // namespace

TAILBACK_HOOK int sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  if (!signals_are_virtual()) return TAILBACK_REAL(sigaction)(signal, action, old);
  return fail_with(engine::virtual_sigaction(signal, action, old));
}

TAILBACK_HOOK sighandler_t signal(int signal, sighandler_t handler) {
  if (!signals_are_virtual()) return TAILBACK_REAL(signal)(signal, handler);
  return install(signal, handler, SA_RESTART);
}

TAILBACK_HOOK sighandler_t bsd_signal(int signal, sighandler_t handler) {
  if (!signals_are_virtual()) return TAILBACK_REAL(bsd_signal)(signal, handler);
  return install(signal, handler, SA_RESTART);
}

TAILBACK_HOOK sighandler_t sysv_signal(int signal, sighandler_t handler) {
  if (!signals_are_virtual()) return TAILBACK_REAL(sysv_signal)(signal, handler);
  return install(signal, handler, kSystemV);
}

TAILBACK_HOOK sighandler_t __sysv_signal(int signal, sighandler_t handler) {
  if (!signals_are_virtual()) return TAILBACK_REAL(__sysv_signal)(signal, handler);
  return install(signal, handler, kSystemV);
}

TAILBACK_HOOK int sigprocmask(int how, const sigset_t* set, sigset_t* old) {
  if (!signals_are_virtual()) return TAILBACK_REAL(sigprocmask)(how, set, old);
  return fail_with(engine::virtual_sigmask(how, set, old));
}

TAILBACK_HOOK int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  if (!signals_are_virtual()) return TAILBACK_REAL(pthread_sigmask)(how, set, old);
  return engine::virtual_sigmask(how, set, old);
}

// The old forms, where they touch the sampling signal.
TAILBACK_HOOK sighandler_t sigset(int signal, sighandler_t handler) {
  if (!signals_are_virtual() || signal != kSampleSignal) return TAILBACK_REAL(sigset)(signal, handler);
  const sigset_t one = only(signal);
  sigset_t mask;
  struct sigaction old {};
  engine::virtual_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &one, &mask);
  if (handler == SIG_HOLD) engine::virtual_sigaction(signal, nullptr, &old);
  else if (install(signal, handler, 0, &old) == SIG_ERR) return SIG_ERR;
  return mask.__val[0] & one.__val[0] ? SIG_HOLD : old.sa_handler;
}

TAILBACK_HOOK int sighold(int signal) {
  if (!signals_are_virtual() || signal != kSampleSignal) return TAILBACK_REAL(sighold)(signal);
  const sigset_t one = only(signal);
  return fail_with(engine::virtual_sigmask(SIG_BLOCK, &one, nullptr));
}

TAILBACK_HOOK int sigrelse(int signal) {
  if (!signals_are_virtual() || signal != kSampleSignal) return TAILBACK_REAL(sigrelse)(signal);
  const sigset_t one = only(signal);
  return fail_with(engine::virtual_sigmask(SIG_UNBLOCK, &one, nullptr));
}

TAILBACK_HOOK int sigignore(int signal) {
  if (!signals_are_virtual() || signal != kSampleSignal) return TAILBACK_REAL(sigignore)(signal);
  return install(signal, SIG_IGN, 0) == SIG_ERR ? -1 : 0;
}

TAILBACK_HOOK int siginterrupt(int signal, int interrupt) {
  if (!signals_are_virtual() || signal != kSampleSignal) return TAILBACK_REAL(siginterrupt)(signal, interrupt);
  struct sigaction action {};
  engine::virtual_sigaction(signal, nullptr, &action);
  action.sa_flags = interrupt ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  return fail_with(engine::virtual_sigaction(signal, &action, nullptr));
}

TAILBACK_HOOK int sigblock(int mask) { return old_mask(TAILBACK_REAL(sigblock), SIG_BLOCK, mask); }
TAILBACK_HOOK int sigsetmask(int mask) { return old_mask(TAILBACK_REAL(sigsetmask), SIG_SETMASK, mask); }

// Waiting for signals: the sampling signal, not blocked, must not be waited for in the kernel unless it was given back. These are
// cancellation points: no object with a destructor lives across the call.
TAILBACK_HOOK int sigwait(const sigset_t* set, int* signal) {
  if (!signals_are_virtual() || !engine::has_sample_signal(set)) {
    const auto real_sigwait = TAILBACK_REAL(sigwait);
    const CallTimer timer(Call::sigwait);
    const int error = real_sigwait(set, signal);
    timer.done_with(error);
    return error;
  }
  const auto real_wait = TAILBACK_REAL(sigwaitinfo);
  const int error = errno;  // sigwait returns its errors
  int result;
  do result = real_wait(engine::waiting_set(set), nullptr);
  while (result < 0 && errno == EINTR);
  const int failed = errno;
  errno = error;
  if (result < 0) return failed;
  *signal = result;
  return 0;
}

TAILBACK_HOOK int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  const auto real_wait = TAILBACK_REAL(sigwaitinfo);
  if (!signals_are_virtual() || !engine::has_sample_signal(set)) return timed(Call::sigwait, [&] { return real_wait(set, info); });
  return wait_for(set, [&](const sigset_t* own) { return real_wait(own, info); });
}

TAILBACK_HOOK int sigtimedwait(const sigset_t* set, siginfo_t* info, const struct timespec* timeout) {
  const auto real_wait = TAILBACK_REAL(sigtimedwait);
  if (!signals_are_virtual() || !engine::has_sample_signal(set)) return timed(Call::sigwait, [&] { return real_wait(set, info, timeout); });
  return wait_for(set, [&](const sigset_t* own) { return real_wait(own, info, timeout); });
}

TAILBACK_HOOK int signalfd(int fd, const sigset_t* set, int flags) {
  const auto real_signalfd = TAILBACK_REAL(signalfd);
  if (!signals_are_virtual()) return real_signalfd(fd, set, flags);
  sigset_t own;
  const int result = real_signalfd(fd, engine::descriptor_set(set, own), flags);
  engine::remember_descriptor(result, set);
  return result;
}

// Waiting with another mask, in which the program unblocks the sampling signal.
TAILBACK_HOOK int sigsuspend(const sigset_t* mask) {
  return wait_with(mask, [&, real_wait = TAILBACK_REAL(sigsuspend)] { return timed(Call::sigwait, [&] { return real_wait(mask); }); });
}

TAILBACK_HOOK int ppoll(struct pollfd* descriptors, nfds_t count, const struct timespec* timeout, const sigset_t* mask) {
  const LoopWait loop = tailback::preload::poll_wait(count, -1, __builtin_return_address(0));
  return wait_with(mask, [&, real_wait = TAILBACK_REAL(ppoll)] { return timed(loop, timeout, [&] { return real_wait(descriptors, count, timeout, mask); }); });
}

TAILBACK_HOOK int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, const struct timespec* timeout, const sigset_t* mask) {
  const LoopWait loop = tailback::preload::select_wait(__builtin_return_address(0));
  return wait_with(mask, [&, real_wait = TAILBACK_REAL(pselect)] {
    return timed(loop, timeout, [&] { return real_wait(count, readable, writable, exceptional, timeout, mask); });
  });
}

TAILBACK_HOOK int epoll_pwait(int epoll, struct epoll_event* events, int most, int timeout, const sigset_t* mask) {
  const LoopWait loop = tailback::preload::epoll_wait_of(epoll, timeout);
  return wait_with(mask, [&, real_wait = TAILBACK_REAL(epoll_pwait)] { return timed(loop, nullptr, [&] { return real_wait(epoll, events, most, timeout, mask); }); });
}

TAILBACK_HOOK int epoll_pwait2(int epoll, struct epoll_event* events, int most, const struct timespec* timeout, const sigset_t* mask) {
  const LoopWait loop = tailback::preload::epoll_wait_of(epoll, -1);
  return wait_with(mask, [&, real_wait = TAILBACK_REAL(epoll_pwait2)] { return timed(loop, timeout, [&] { return real_wait(epoll, events, most, timeout, mask); }); });
}

// The kernel's signal frame must fit onto whatever stack the sampling signal uses.
TAILBACK_HOOK int sigaltstack(const stack_t* stack, stack_t* old) {
  const int result = TAILBACK_REAL(sigaltstack)(stack, old);
  if (result == 0 && stack && !(stack->ss_flags & SS_DISABLE)) engine::alternate_stack_of(stack->ss_size);
  return result;
}
