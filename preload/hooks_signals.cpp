// SPDX-License-Identifier: Apache-2.0
// Signals: the program sees the sampling signal exactly as without the agent; its kernel state is the agent's.
#include <errno.h>

#include "agent/capture/scope.h"
#include "agent/engine/signals.h"
#include "preload/real.h"

namespace engine = tailback::engine;
using tailback::capture::recording;

namespace {

int fail_with(int error) {
  if (error == 0) return 0;
  errno = error;
  return -1;
}

// signal(), in its BSD (restart, keep handler) and System V (one shot, no mask) forms.
sighandler_t install(int signal, sighandler_t handler, int flags) {
  struct sigaction action {}, old {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  if (!(flags & SA_NODEFER)) sigaddset(&action.sa_mask, signal);
  const int error = handler == SIG_ERR || signal < 1 || signal >= NSIG ? EINVAL : engine::virtual_sigaction(signal, &action, &old);
  return fail_with(error) == 0 ? old.sa_handler : SIG_ERR;
}

constexpr int kSystemV = static_cast<int>(SA_RESETHAND | SA_NODEFER);

}  // namespace

TAILBACK_HOOK int sigaction(int signal, const struct sigaction* action, struct sigaction* old) {
  if (!recording()) return TAILBACK_REAL(sigaction)(signal, action, old);
  return fail_with(engine::virtual_sigaction(signal, action, old));
}

TAILBACK_HOOK sighandler_t signal(int signal, sighandler_t handler) {
  if (!recording()) return TAILBACK_REAL(signal)(signal, handler);
  return install(signal, handler, SA_RESTART);
}

TAILBACK_HOOK sighandler_t bsd_signal(int signal, sighandler_t handler) {
  if (!recording()) return TAILBACK_REAL(bsd_signal)(signal, handler);
  return install(signal, handler, SA_RESTART);
}

TAILBACK_HOOK sighandler_t sysv_signal(int signal, sighandler_t handler) {
  if (!recording()) return TAILBACK_REAL(sysv_signal)(signal, handler);
  return install(signal, handler, kSystemV);
}

TAILBACK_HOOK sighandler_t __sysv_signal(int signal, sighandler_t handler) {
  if (!recording()) return TAILBACK_REAL(__sysv_signal)(signal, handler);
  return install(signal, handler, kSystemV);
}

TAILBACK_HOOK int sigprocmask(int how, const sigset_t* set, sigset_t* old) {
  if (!recording()) return TAILBACK_REAL(sigprocmask)(how, set, old);
  return fail_with(engine::virtual_sigmask(how, set, old));
}

TAILBACK_HOOK int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  if (!recording()) return TAILBACK_REAL(pthread_sigmask)(how, set, old);
  return engine::virtual_sigmask(how, set, old);
}

TAILBACK_HOOK int sigpending(sigset_t* set) {
  if (!recording()) return TAILBACK_REAL(sigpending)(set);
  return fail_with(engine::virtual_sigpending(set));
}

// Waiting for signals: the sampling signal, never blocked, must not be waited for in the kernel. These are cancellation
// points: no object with a destructor lives across the call.
TAILBACK_HOOK int sigwait(const sigset_t* set, int* signal) {
  const auto real_wait = TAILBACK_REAL(sigwait);
  if (!recording()) return real_wait(set, signal);
  sigset_t own;
  return real_wait(engine::without_sample_signal(set, own), signal);
}

TAILBACK_HOOK int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  const auto real_wait = TAILBACK_REAL(sigwaitinfo);
  if (!recording()) return real_wait(set, info);
  sigset_t own;
  return real_wait(engine::without_sample_signal(set, own), info);
}

TAILBACK_HOOK int sigtimedwait(const sigset_t* set, siginfo_t* info, const struct timespec* timeout) {
  const auto real_wait = TAILBACK_REAL(sigtimedwait);
  if (!recording()) return real_wait(set, info, timeout);
  sigset_t own;
  return real_wait(engine::without_sample_signal(set, own), info, timeout);
}

TAILBACK_HOOK int signalfd(int fd, const sigset_t* set, int flags) {
  const auto real_signalfd = TAILBACK_REAL(signalfd);
  if (!recording()) return real_signalfd(fd, set, flags);
  sigset_t own;
  return real_signalfd(fd, engine::without_sample_signal(set, own), flags);
}
