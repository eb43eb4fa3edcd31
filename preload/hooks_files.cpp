// SPDX-License-Identifier: Apache-2.0
// Opening and closing: which descriptor stands for what from now on.
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>

#include "preload/call_timer.h"
#include "preload/real.h"

using tailback::preload::CallTimer;
using tailback::preload::DescriptorTimer;
using tailback::preload::EndpointId;
using tailback::trace::Call;
namespace preload = tailback::preload;
namespace trace = tailback::trace;

namespace {

bool takes_mode(int flags) { return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE; }

// A new descriptor. Absolute names are taken as they are, others looked up.
EndpointId note_opened(int fd, const char* path, int flags) {
  if (fd < 0 || !preload::noticing()) return 0;
  auto& session = tailback::engine::session;
  session.descriptors.forget(fd);
  // Names of devices and of /proc mean something else each time.
  const bool plain = path && path[0] == '/' && strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0;
  if (!plain) return preload::endpoint_of(fd);
  const std::uint32_t synchronous = flags & O_DSYNC ? trace::kSynchronous : 0;
  const EndpointId endpoint = look_up_opened(session.endpoints, fd, path, static_cast<std::uint32_t>(strlen(path)), synchronous);
  preload::opened(fd, endpoint);
  return endpoint;
}

EndpointId known_file(const char* path) {
  const auto& session = tailback::engine::session;
  const bool named = path && path[0] == '/' && preload::noticing();
  return named ? session.endpoints.find(trace::EndpointKind::file, path, static_cast<std::uint32_t>(strlen(path))) : 0;
}

template <class Open>
int open_file(const char* path, int flags, Open&& open) {
  CallTimer timer(Call::open);
  const int fd = open();
  timer.stop();
  timer.done_on(note_opened(fd, path, flags), fd);
  return fd;
}

}  // namespace

// The mode is read where one was given, which the flags say.
#define OPEN_WITH_MODE(name, parameters, arguments)                                          \
  TAILBACK_HOOK int name parameters {                                                        \
    const auto real_open = TAILBACK_REAL(name);                                              \
    mode_t mode = 0;                                                                         \
    if (takes_mode(flags)) {                                                                 \
      va_list rest;                                                                          \
      va_start(rest, flags);                                                                 \
      mode = va_arg(rest, mode_t);                                                           \
      va_end(rest);                                                                          \
    }                                                                                        \
    return open_file(path, flags, [&] { return real_open arguments; });                      \
  }
OPEN_WITH_MODE(open, (const char* path, int flags, ...), (path, flags, mode))
OPEN_WITH_MODE(open64, (const char* path, int flags, ...), (path, flags, mode))
OPEN_WITH_MODE(openat, (int dir, const char* path, int flags, ...), (dir, path, flags, mode))
OPEN_WITH_MODE(openat64, (int dir, const char* path, int flags, ...), (dir, path, flags, mode))
#undef OPEN_WITH_MODE

TAILBACK_HOOK int __open_2(const char* path, int flags) {
  return open_file(path, flags, [&, real_open = TAILBACK_REAL(__open_2)] { return real_open(path, flags); });
}
TAILBACK_HOOK int __open64_2(const char* path, int flags) {
  return open_file(path, flags, [&, real_open = TAILBACK_REAL(__open64_2)] { return real_open(path, flags); });
}
TAILBACK_HOOK int __openat_2(int dir, const char* path, int flags) {
  return open_file(path, flags, [&, real_open = TAILBACK_REAL(__openat_2)] { return real_open(dir, path, flags); });
}
TAILBACK_HOOK int __openat64_2(int dir, const char* path, int flags) {
  return open_file(path, flags, [&, real_open = TAILBACK_REAL(__openat64_2)] { return real_open(dir, path, flags); });
}
TAILBACK_HOOK int creat(const char* path, mode_t mode) {
  return open_file(path, O_CREAT, [&, real_open = TAILBACK_REAL(creat)] { return real_open(path, mode); });
}
TAILBACK_HOOK int creat64(const char* path, mode_t mode) {
  return open_file(path, O_CREAT, [&, real_open = TAILBACK_REAL(creat64)] { return real_open(path, mode); });
}

// Of a file by its name, where it was opened by that name.
#define UNLINK(name)                                                              \
  TAILBACK_HOOK int name(const char* path) {                                      \
    const auto real_unlink = TAILBACK_REAL(name);                                 \
    CallTimer timer(Call::unlink);                                                \
    const int result = real_unlink(path);                                         \
    timer.stop();                                                                 \
    timer.done_on(result == 0 ? known_file(path) : 0, result);                    \
    return result;                                                                \
  }
UNLINK(unlink)
UNLINK(remove)
#undef UNLINK

// Forgotten before it is closed: right after, the number may mean something else in another thread.
TAILBACK_HOOK int close(int fd) {
  const auto real_close = TAILBACK_REAL(close);
  const DescriptorTimer timer(Call::close, fd);
  preload::closing(fd);
  const int result = real_close(fd);
  timer.done(result < 0 ? result : 1);
  return result;
}

TAILBACK_HOOK int close_range(unsigned first, unsigned last, int flags) {
  constexpr int kOnlyCloseOnExec = 1 << 2;  // CLOSE_RANGE_CLOEXEC
  if (preload::noticing() && !(flags & kOnlyCloseOnExec)) tailback::engine::session.descriptors.forget_range(first, last);
  return TAILBACK_REAL(close_range)(first, last, flags);
}

TAILBACK_HOOK void closefrom(int first) {
  if (preload::noticing() && first >= 0) tailback::engine::session.descriptors.forget_range(static_cast<unsigned>(first), ~0u);
  TAILBACK_REAL(closefrom)(first);
}

TAILBACK_HOOK int closedir(DIR* directory) {
  asm volatile("" : "+r"(directory));  // declared as never null, which callers do not keep to: that is EINVAL, not a crash
  if (directory) preload::closing(TAILBACK_REAL_OF(dirfd)(directory));
  return TAILBACK_REAL(closedir)(directory);
}

TAILBACK_HOOK int dup2(int fd, int copy) {
  if (fd != copy) preload::closing(copy);
  return TAILBACK_REAL(dup2)(fd, copy);
}

TAILBACK_HOOK int dup3(int fd, int copy, int flags) {
  if (fd != copy) preload::closing(copy);
  return TAILBACK_REAL(dup3)(fd, copy, flags);
}

// Whose other end is in this process, or in a child that it gave it to.
static int note_own(int result, const int ends[2]) {
  if (result != 0 || !preload::noticing()) return result;
  for (int i = 0; i < 2; ++i) {
    tailback::engine::session.descriptors.forget(ends[i]);
    if (auto* endpoint = tailback::engine::session.endpoints.at(preload::endpoint_of(ends[i]))) endpoint->flags.fetch_or(trace::kOwnPipe, std::memory_order_relaxed);
  }
  return result;
}

TAILBACK_HOOK int pipe(int ends[2]) { return note_own(TAILBACK_REAL(pipe)(ends), ends); }
TAILBACK_HOOK int pipe2(int ends[2], int flags) { return note_own(TAILBACK_REAL(pipe2)(ends, flags), ends); }
TAILBACK_HOOK int socketpair(int domain, int type, int protocol, int ends[2]) { return note_own(TAILBACK_REAL(socketpair)(domain, type, protocol, ends), ends); }

#define ALLOCATE(name, offset)                                    \
  TAILBACK_HOOK int name(int fd, offset at, offset size) {        \
    const auto real_allocate = TAILBACK_REAL(name);               \
    const CallTimer timer(Call::truncate);                        \
    const int error = real_allocate(fd, at, size);                \
    timer.done_with(error);                                       \
    return error;                                                 \
  }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)
#undef ALLOCATE

namespace {

// Who waits for a file's lock while he has another one may be in a deadlock, which a process with one thread has nobody to see.
template <class Flock>
int lock_file(Flock real_flock, int fd, int operation) {
  const bool may_wait = preload::noticing() && !(operation & (LOCK_NB | LOCK_UN));
  if (!may_wait || !tailback::capture::file_locks.any_but(fd)) return real_flock(fd, operation);
  const int error = errno;
  if (const int result = real_flock(fd, operation | LOCK_NB); result == 0 || errno != EWOULDBLOCK) return result;
  errno = error;
  tailback::engine::session.watch_deadlock();
  return real_flock(fd, operation);
}

void note_file_lock(int fd, int operation, EndpointId file) {
  using tailback::capture::file_locks;
  if (operation & LOCK_UN) return file_locks.gave(fd);
  const tailback::capture::Scope scope;
  if (scope.on() && scope.thread()) file_locks.took(fd, file, scope.thread()->id, tailback::capture::stack_of_call(*scope.thread()));
}

}  // namespace

TAILBACK_HOOK int flock(int fd, int operation) {
  const auto real_flock = TAILBACK_REAL(flock);
  const EndpointId file = preload::noticing() ? preload::endpoint_of(fd) : 0;
  const DescriptorTimer timer(Call::flock, fd);
  const int result = lock_file(real_flock, fd, operation);
  timer.done(result);
  if (result == 0 && file) note_file_lock(fd, operation, file);
  return result;
}

// The third argument, whatever it is, goes on as the word that it is; only waiting for a lock is timed.
#define FCNTL(name)                                                                           \
  TAILBACK_HOOK int name(int fd, int command, ...) {                                          \
    const auto real_fcntl = TAILBACK_REAL(name);                                              \
    va_list rest;                                                                             \
    va_start(rest, command);                                                                  \
    void* const argument = va_arg(rest, void*);                                               \
    va_end(rest);                                                                             \
    if (command != F_SETLKW && command != F_OFD_SETLKW) return real_fcntl(fd, command, argument); \
    const DescriptorTimer timer(Call::fcntl_lock, fd);                                        \
    const int result = real_fcntl(fd, command, argument);                                     \
    timer.done(result);                                                                       \
    return result;                                                                            \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
#undef FCNTL
