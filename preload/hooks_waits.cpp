// SPDX-License-Identifier: Apache-2.0
// Calls that wait for time, any of several descriptors, children, names or file systems. Those with a mask of signals: hooks_signals.cpp.
#include "preload/call_timer.h"
#include "preload/loop_wait.h"
#include "preload/real.h"

using tailback::preload::CallTimer;
using tailback::preload::LoopTimer;
using tailback::trace::Call;

#define WAIT_CALL(result_type, name, call, parameters, arguments) \
  TAILBACK_HOOK result_type name parameters {                     \
    const auto real_call = TAILBACK_REAL(name);                   \
    const CallTimer timer(Call::call);                            \
    const result_type result = real_call arguments;               \
    timer.done(result);                                           \
    return result;                                                \
  }
#include "preload/hooks_waits.def"
#undef WAIT_CALL

TAILBACK_HOOK int poll(pollfd* descriptors, nfds_t count, int timeout) {
  const auto real_poll = TAILBACK_REAL(poll);
  const LoopTimer timer(Call::poll);
  const int result = real_poll(descriptors, count, timeout);
  timer.done(tailback::preload::poll_wait(count, timeout, __builtin_return_address(0)), result);
  return result;
}

TAILBACK_HOOK int __poll_chk(pollfd* descriptors, nfds_t count, int timeout, std::size_t room) {
  const auto real_poll = TAILBACK_REAL(__poll_chk);
  const LoopTimer timer(Call::poll);
  const int result = real_poll(descriptors, count, timeout, room);
  timer.done(tailback::preload::poll_wait(count, timeout, __builtin_return_address(0)), result);
  return result;
}

TAILBACK_HOOK int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* timeout) {
  const auto real_select = TAILBACK_REAL(select);
  const LoopTimer timer(Call::select);
  const int result = real_select(count, readable, writable, exceptional, timeout);
  timer.done(tailback::preload::select_wait(__builtin_return_address(0)), result);
  return result;
}

TAILBACK_HOOK int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  const auto real_wait = TAILBACK_REAL(epoll_wait);
  const LoopTimer timer(Call::epoll_wait);
  const int result = real_wait(epoll, events, most, timeout);
  timer.done(tailback::preload::epoll_wait_of(epoll, timeout), result);
  return result;
}

TAILBACK_HOOK void sync() {
  const auto real_sync = TAILBACK_REAL(sync);
  const CallTimer timer(Call::sync);
  real_sync();
  timer.done_with(0);
}

TAILBACK_HOOK int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
  const auto real_lookup = TAILBACK_REAL(getaddrinfo);
  const CallTimer timer(Call::name_lookup);
  const int error = real_lookup(node, service, hints, found);
  timer.done_with(error);
  return error;
}

TAILBACK_HOOK int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service, socklen_t service_size, int flags) {
  const auto real_lookup = TAILBACK_REAL(getnameinfo);
  const CallTimer timer(Call::name_lookup);
  const int error = real_lookup(address, size, host, host_size, service, service_size, flags);
  timer.done_with(error);
  return error;
}

// LOOKUP(result, name, parameters, arguments): the older look-ups, whose failures are told in ways of their own.
#define LOOKUP(result_type, name, parameters, arguments) \
  TAILBACK_HOOK result_type name parameters {            \
    const auto real_lookup = TAILBACK_REAL(name);        \
    const CallTimer timer(Call::name_lookup);            \
    result_type result = real_lookup arguments;          \
    timer.done_with(0);                                  \
    return result;                                       \
  }
LOOKUP(hostent*, gethostbyname, (const char* host), (host))
LOOKUP(hostent*, gethostbyname2, (const char* host, int family), (host, family))
LOOKUP(hostent*, gethostbyaddr, (const void* address, socklen_t size, int family), (address, size, family))
LOOKUP(int, gethostbyname_r, (const char* host, hostent* entry, char* buffer, std::size_t size, hostent** found, int* error),
       (host, entry, buffer, size, found, error))
LOOKUP(int, gethostbyname2_r, (const char* host, int family, hostent* entry, char* buffer, std::size_t size, hostent** found, int* error),
       (host, family, entry, buffer, size, found, error))
LOOKUP(int, gethostbyaddr_r, (const void* address, socklen_t bytes, int family, hostent* entry, char* buffer, std::size_t size, hostent** found, int* error),
       (address, bytes, family, entry, buffer, size, found, error))
#undef LOOKUP

TAILBACK_HOOK dirent* readdir(DIR* directory) {
  const auto real_read = TAILBACK_REAL(readdir);
  const CallTimer timer(Call::readdir);
  dirent* entry = real_read(directory);
  timer.done_with(0);
  return entry;
}

TAILBACK_HOOK dirent64* readdir64(DIR* directory) {
  const auto real_read = TAILBACK_REAL(readdir64);
  const CallTimer timer(Call::readdir);
  dirent64* entry = real_read(directory);
  timer.done_with(0);
  return entry;
}
