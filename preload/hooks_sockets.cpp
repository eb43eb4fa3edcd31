// SPDX-License-Identifier: Apache-2.0
// Connections: who is at the other end of a descriptor from now on.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "preload/call_timer.h"
#include "preload/real.h"

using tailback::capture::EndpointId;
using tailback::engine::session;
using tailback::preload::CallTimer;
using tailback::preload::DescriptorTimer;
using tailback::trace::Call;
using tailback::trace::EndpointKind;
namespace preload = tailback::preload;
namespace trace = tailback::trace;
namespace sys = tailback::capture::sys;

namespace {

int socket_option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return sys::failed(sys::call(__NR_getsockopt, fd, level, name, sys::arg(&value), sys::arg(&size))) ? 0 : value;
}

EndpointKind kind_of(const sockaddr* address, int fd) {
  if (address->sa_family == AF_UNIX) return EndpointKind::unix_socket;
  if (address->sa_family != AF_INET && address->sa_family != AF_INET6) return EndpointKind::other_socket;
  return socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM ? EndpointKind::tcp_peer : EndpointKind::udp;
}

// The peer that a socket is connected to, or was to be; 0 where nothing is noted.
EndpointId peer_of(int fd, const sockaddr* address, socklen_t size) {
  if (!preload::noticing() || !address || size < sizeof(sa_family_t)) return 0;
  const auto name = tailback::capture::name_of_address(address, size);
  const EndpointKind kind = kind_of(address, fd);
  std::uint32_t flags = name.loopback ? trace::kLoopback : 0;
  if (kind == EndpointKind::tcp_peer && socket_option(fd, IPPROTO_TCP, TCP_NODELAY)) flags |= trace::kNoDelay;
  return session.endpoints.intern(kind, name.text, name.bytes, flags);
}

// A connection accepted on `listener`, under the listener's name.
void note_accepted(int fd, int listener) {
  if (fd < 0 || !preload::noticing()) return;
  session.descriptors.forget(fd);
  auto* on = session.endpoints.at(preload::endpoint_of(listener));
  if (!on) return;
  const EndpointKind kind = on->kind == EndpointKind::tcp_listening ? EndpointKind::tcp_accepted : on->kind;
  preload::opened(fd, session.endpoints.intern(kind, session.endpoints.name(*on), on->name_bytes, on->flags.load(std::memory_order_relaxed)));
}

}  // namespace

// libc closes descriptors by itself now and then, unseen: a new socket is not what its number was.
TAILBACK_HOOK int socket(int domain, int type, int protocol) {
  const int fd = TAILBACK_REAL(socket)(domain, type, protocol);
  if (fd >= 0 && preload::noticing()) session.descriptors.forget(fd);
  return fd;
}

TAILBACK_HOOK int connect(int fd, const sockaddr* address, socklen_t size) {
  const auto real_connect = TAILBACK_REAL(connect);
  CallTimer timer(Call::connect);
  const int result = real_connect(fd, address, size);
  timer.stop();
  // An address that the kernel could not read must not be read here.
  const bool readable = result == 0 || (errno != EFAULT && errno != EINVAL && errno != EBADF);
  const EndpointId peer = readable ? peer_of(fd, address, size) : 0;
  timer.done_on(peer, result);
  if (peer && (result == 0 || errno == EINPROGRESS)) preload::opened(fd, peer);
  return result;
}

TAILBACK_HOOK int accept(int fd, sockaddr* address, socklen_t* size) {
  const auto real_accept = TAILBACK_REAL(accept);
  const DescriptorTimer timer(Call::accept, fd);
  const int connection = real_accept(fd, address, size);
  timer.done(connection);
  note_accepted(connection, fd);
  return connection;
}

TAILBACK_HOOK int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  const auto real_accept = TAILBACK_REAL(accept4);
  const DescriptorTimer timer(Call::accept, fd);
  const int connection = real_accept(fd, address, size, flags);
  timer.done(connection);
  note_accepted(connection, fd);
  return connection;
}

TAILBACK_HOOK int setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
  const int result = TAILBACK_REAL(setsockopt)(fd, level, name, value, size);
  if (result == 0 && level == IPPROTO_TCP && name == TCP_NODELAY && size >= sizeof(int) && *static_cast<const int*>(value) && preload::noticing()) {
    if (const auto* known = session.descriptors.at(fd))
      if (auto* endpoint = session.endpoints.at(known->endpoint.load(std::memory_order_acquire))) endpoint->flags.fetch_or(trace::kNoDelay, std::memory_order_relaxed);
  }
  return result;
}
