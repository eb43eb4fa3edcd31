// SPDX-License-Identifier: Apache-2.0
// Ends of the process that run no destructors, and exec in place: the dump is closed in order before. A vfork child shares
// this memory but is another process: the session checks, and leaves the parent's recording alone.
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

#include "agent/capture/pages.h"
#include "agent/engine/exec_image.h"
#include "agent/engine/session.h"
#include "agent/engine/signals.h"
#include "preload/real.h"

extern "C" char** environ;

using tailback::engine::EndReason;
using tailback::engine::ExecEnvironment;
using tailback::engine::image_kind;
using tailback::engine::image_kind_in_path;
using tailback::engine::image_kind_of;
using tailback::engine::ImageKind;
using tailback::engine::session;

namespace {

// The environment that an image can take; on the caller's stack, or, when there are hundreds of variables, on pages of its own.
class OwnEnvironment {
 public:
  OwnEnvironment(ImageKind kind, char* const environment[]) : chosen_(environment) {
    ExecEnvironment plan(environment);
    bytes_ = plan.plan(kind, session.root_pid());
    if (bytes_ > sizeof memory_) pages_ = tailback::capture::map_pages(bytes_);
    if (bytes_ && (bytes_ <= sizeof memory_ || pages_)) chosen_ = plan.build(pages_ ? pages_ : memory_);
  }
  ~OwnEnvironment() { tailback::capture::unmap_pages(pages_, bytes_); }
  OwnEnvironment(const OwnEnvironment&) = delete;
  OwnEnvironment& operator=(const OwnEnvironment&) = delete;
  char* const* get() const { return chosen_; }

 private:
  char* const* chosen_;
  std::size_t bytes_ = 0;
  void* pages_ = nullptr;
  alignas(char*) char memory_[2048];
};

// exec(environment) replaces the image.
template <class Exec>
int replace_image(ImageKind kind, char* const environment[], Exec&& exec) {
  const OwnEnvironment own(kind, environment);
  session.before_exec();
  const int result = exec(own.get());
  const int error = errno;
  session.after_failed_exec();
  errno = error;
  return result;
}

// Of another program that posix_spawn starts: this one goes on meanwhile.
template <class Spawn>
int start_image(ImageKind kind, char* const environment[], Spawn&& spawn) {
  const OwnEnvironment own(kind, environment);
  const bool blocked = tailback::engine::signals_are_virtual() && tailback::engine::sample_signal_blocked();
  if (blocked) tailback::engine::signals_before_exec();
  const int result = spawn(own.get());
  if (blocked) tailback::engine::signals_after_failed_exec();
  return result;
}

}  // namespace

TAILBACK_HOOK int execve(const char* path, char* const arguments[], char* const environment[]) {
  const auto real_exec = TAILBACK_REAL(execve);
  return replace_image(image_kind(AT_FDCWD, path), environment, [&](char* const own[]) { return real_exec(path, arguments, own); });
}

TAILBACK_HOOK int execv(const char* path, char* const arguments[]) { return execve(path, arguments, environ); }

TAILBACK_HOOK int execvpe(const char* file, char* const arguments[], char* const environment[]) {
  const auto real_exec = TAILBACK_REAL(execvpe);
  return replace_image(image_kind_in_path(file, environ), environment, [&](char* const own[]) { return real_exec(file, arguments, own); });
}

TAILBACK_HOOK int execvp(const char* file, char* const arguments[]) { return execvpe(file, arguments, environ); }

TAILBACK_HOOK int execveat(int dir, const char* path, char* const arguments[], char* const environment[], int flags) {
  const auto real_exec = TAILBACK_REAL(execveat);
  const ImageKind kind = *path ? image_kind(dir, path) : image_kind_of(dir);
  return replace_image(kind, environment, [&](char* const own[]) { return real_exec(dir, path, arguments, own, flags); });
}

TAILBACK_HOOK int fexecve(int fd, char* const arguments[], char* const environment[]) {
  const auto real_exec = TAILBACK_REAL(fexecve);
  return replace_image(image_kind_of(fd), environment, [&](char* const own[]) { return real_exec(fd, arguments, own); });
}

TAILBACK_HOOK int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
                              char* const arguments[], char* const environment[]) {
  const auto real_spawn = TAILBACK_REAL(posix_spawn);
  return start_image(image_kind(AT_FDCWD, path), environment,
                     [&](char* const own[]) { return real_spawn(pid, path, actions, attributes, arguments, own); });
}

TAILBACK_HOOK int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
                               char* const arguments[], char* const environment[]) {
  const auto real_spawn = TAILBACK_REAL(posix_spawnp);
  return start_image(image_kind_in_path(file, environ), environment,
                     [&](char* const own[]) { return real_spawn(pid, file, actions, attributes, arguments, own); });
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
