// SPDX-License-Identifier: Apache-2.0
// Changes of what the process may do: rights, namespaces, sandboxes, locked memory. The agent does beforehand what it could not do
// afterwards, and takes its own thread out of the way where the kernel asks for a process with one thread.
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "agent/engine/session.h"
#include "preload/real.h"

using tailback::engine::session;

namespace {

// The dump is opened while it still can be: workers of servers give up root and their view of the files soon after their start.
template <class Call>
int with_dump_open(Call&& call) {
  session.open_dump_early();
  return call();
}

// Several of these fail in a process with more than one thread, and a thread of ours would stay behind in the old namespaces.
template <class Call>
int without_helper(Call&& call) {
  session.open_dump_early();
  const bool helped = session.pause_helper();
  const int result = call();
  const int error = errno;
  if (helped) session.resume_helper();
  errno = error;
  return result;
}

}  // namespace

#define RIGHTS(name, declared, given) \
  TAILBACK_HOOK int name declared { return with_dump_open([&, real_call = TAILBACK_REAL(name)] { return real_call given; }); }
#include "preload/hooks_rights.def"
#undef RIGHTS

TAILBACK_HOOK int unshare(int flags) {
  return without_helper([&, real_call = TAILBACK_REAL(unshare)] { return real_call(flags); });
}

TAILBACK_HOOK int setns(int fd, int type) {
  return without_helper([&, real_call = TAILBACK_REAL(setns)] { return real_call(fd, type); });
}

TAILBACK_HOOK int mlockall(int flags) {
  const auto real_call = TAILBACK_REAL(mlockall);
  session.before_locking_memory();
  const int result = real_call(flags);
  session.after_locking_memory();
  return result;
}

// A sandbox may forbid any system call from now on, strict mode even the clock of the vDSO: the recording ends before it.
TAILBACK_HOOK int prctl(int option, ...) {
  const auto real_prctl = TAILBACK_REAL(prctl);
  va_list rest;
  va_start(rest, option);
  unsigned long argument[4];
  for (auto& value : argument) value = va_arg(rest, unsigned long);
  va_end(rest);
  if (option == PR_SET_SECCOMP) session.end_before_sandbox();
  return real_prctl(option, argument[0], argument[1], argument[2], argument[3]);
}

// The calls above as some programs make them (hooks_syscall.c).
extern "C" {

using SystemCall = long (*)(long number, long a, long b, long c, long d, long e, long f);

static long first_syscall(long number, long a, long b, long c, long d, long e, long f);
constinit SystemCall tailback_real_syscall = first_syscall;

static long first_syscall(long number, long a, long b, long c, long d, long e, long f) {  // before any constructor has run
  const auto real_call = TAILBACK_REAL(syscall);
  tailback_real_syscall = reinterpret_cast<SystemCall>(reinterpret_cast<void (*)()>(real_call));
  return tailback_real_syscall(number, a, b, c, d, e, f);
}

long tailback_special_syscall(long number, long a, long b, long c, long d, long e, long f) {
  const auto real_call = [=] { return static_cast<int>(TAILBACK_REAL(syscall)(number, a, b, c, d, e, f)); };
  switch (number) {
    case SYS_seccomp:
      if (a == 0 || a == 1) session.end_before_sandbox();  // SECCOMP_SET_MODE_STRICT, SECCOMP_SET_MODE_FILTER
      return real_call();
    case SYS_unshare:
    case SYS_setns: return without_helper(real_call);
    default: return with_dump_open(real_call);
  }
}

}  // extern "C"
