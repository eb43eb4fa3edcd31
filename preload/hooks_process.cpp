// SPDX-License-Identifier: Apache-2.0
// Ends of the process that run no destructors, and exec in place: the dump is closed in order before. A vfork child shares
// this memory but is another process: the session checks, and leaves the parent's recording alone.
#include <alloca.h>
#include <stdarg.h>

#include "agent/engine/session.h"
#include "preload/real.h"

extern "C" char** environ;

using tailback::engine::EndReason;
using tailback::engine::session;

namespace {

template <class Exec>
int replace_image(Exec&& exec) {
  session.before_exec();
  const int result = exec();
  session.after_failed_exec();
  return result;
}

}  // namespace

TAILBACK_HOOK int execve(const char* path, char* const arguments[], char* const environment[]) {
  const auto real_exec = TAILBACK_REAL(execve);
  return replace_image([&] { return real_exec(path, arguments, environment); });
}

TAILBACK_HOOK int execv(const char* path, char* const arguments[]) {
  const auto real_exec = TAILBACK_REAL(execv);
  return replace_image([&] { return real_exec(path, arguments); });
}

TAILBACK_HOOK int execvp(const char* file, char* const arguments[]) {
  const auto real_exec = TAILBACK_REAL(execvp);
  return replace_image([&] { return real_exec(file, arguments); });
}

TAILBACK_HOOK int execvpe(const char* file, char* const arguments[], char* const environment[]) {
  const auto real_exec = TAILBACK_REAL(execvpe);
  return replace_image([&] { return real_exec(file, arguments, environment); });
}

TAILBACK_HOOK int fexecve(int fd, char* const arguments[], char* const environment[]) {
  const auto real_exec = TAILBACK_REAL(fexecve);
  return replace_image([&] { return real_exec(fd, arguments, environment); });
}

// The list forms: their arguments as an array on the stack, then the array form.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
namespace {

std::size_t count_arguments(const char* first, va_list rest) {
  std::size_t count = 1;
  for (const char* next = first; next; next = va_arg(rest, const char*)) ++count;
  return count;
}

void gather(char** into, const char* first, va_list& rest) {
  const char* next = first;
  while ((*into++ = const_cast<char*>(next))) next = va_arg(rest, const char*);
}

}  // namespace

TAILBACK_HOOK int execl(const char* path, const char* argument, ...) {
  va_list rest;
  va_start(rest, argument);
  const std::size_t count = count_arguments(argument, rest);
  va_end(rest);
  auto** arguments = static_cast<char**>(alloca(count * sizeof(char*)));
  va_start(rest, argument);
  gather(arguments, argument, rest);
  va_end(rest);
  return execv(path, arguments);
}

TAILBACK_HOOK int execlp(const char* file, const char* argument, ...) {
  va_list rest;
  va_start(rest, argument);
  const std::size_t count = count_arguments(argument, rest);
  va_end(rest);
  auto** arguments = static_cast<char**>(alloca(count * sizeof(char*)));
  va_start(rest, argument);
  gather(arguments, argument, rest);
  va_end(rest);
  return execvp(file, arguments);
}

TAILBACK_HOOK int execle(const char* path, const char* argument, ...) {
  va_list rest;
  va_start(rest, argument);
  const std::size_t count = count_arguments(argument, rest);
  va_end(rest);
  auto** arguments = static_cast<char**>(alloca(count * sizeof(char*)));
  va_start(rest, argument);
  gather(arguments, argument, rest);
  char* const* environment = va_arg(rest, char* const*);
  va_end(rest);
  return execve(path, arguments, environment);
}
#pragma GCC diagnostic pop

// A sandbox may forbid any system call from now on, strict mode even the clock of the vDSO: the recording ends before it.
TAILBACK_HOOK int prctl(int option, ...) {
  const auto real_prctl = TAILBACK_REAL(prctl);
  va_list rest;
  va_start(rest, option);
  unsigned long argument[4];
  for (auto& value : argument) value = va_arg(rest, unsigned long);
  va_end(rest);
  if (option == PR_SET_SECCOMP) session.end(EndReason::stopped, 0);
  return real_prctl(option, argument[0], argument[1], argument[2], argument[3]);
}

TAILBACK_HOOK void _exit(int status) {
  const auto real_exit = TAILBACK_REAL(_exit);
  session.end(EndReason::quick_exit, static_cast<std::uint64_t>(status));
  real_exit(status);
  __builtin_unreachable();
}

TAILBACK_HOOK void _Exit(int status) {
  const auto real_exit = TAILBACK_REAL(_Exit);
  session.end(EndReason::quick_exit, static_cast<std::uint64_t>(status));
  real_exit(status);
  __builtin_unreachable();
}

TAILBACK_HOOK void quick_exit(int status) {
  // Its handlers still belong to the program's life; the recording ends in the real function's _exit, which is libc's own.
  const auto real_exit = TAILBACK_REAL(quick_exit);
  session.end(EndReason::quick_exit, static_cast<std::uint64_t>(status));
  real_exit(status);
  __builtin_unreachable();
}
