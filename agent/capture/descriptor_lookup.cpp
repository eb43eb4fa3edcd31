// SPDX-License-Identifier: Apache-2.0
// What a descriptor is, asked of the kernel by raw calls: /proc/self/fd for names, the socket calls for addresses.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/capture/endpoints.h"
#include "agent/capture/syscalls.h"

namespace tailback::capture {

namespace {

struct Writer {
  char* text;
  std::uint32_t size, used = 0;
  void put(char c) {
    if (used < size) text[used++] = c;
  }
  void put(const char* word) {
    while (*word) put(*word++);
  }
  void number(std::uint32_t value, std::uint32_t base = 10) {
    char digits[12];
    int n = 0;
    do digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n) put(digits[--n]);
  }
};

void put_v4(Writer& out, const unsigned char* bytes) {
  for (int i = 0; i < 4; ++i) {
    if (i) out.put('.');
    out.number(bytes[i]);
  }
}

// As RFC 5952 without shortening runs of zeros, which nobody needs to tell peers apart.
void put_v6(Writer& out, const unsigned char* bytes) {
  out.put('[');
  for (int i = 0; i < 16; i += 2) {
    if (i) out.put(':');
    out.number(static_cast<std::uint32_t>(bytes[i]) << 8 | bytes[i + 1], 16);
  }
  out.put(']');
}

bool is_v6_loopback(const unsigned char* bytes) {
  for (int i = 0; i < 15; ++i)
    if (bytes[i]) return false;
  return bytes[15] == 1;
}

bool is_mapped_v4(const unsigned char* bytes) {
  for (int i = 0; i < 10; ++i)
    if (bytes[i]) return false;
  return bytes[10] == 0xff && bytes[11] == 0xff;
}

std::uint32_t port_of(in_port_t port) { return static_cast<std::uint32_t>(port >> 8 | (port & 0xff) << 8); }

void put_path(Writer& out, const sockaddr_un& address, std::uint32_t bytes) {
  constexpr std::uint32_t kBefore = sizeof(sa_family_t);
  if (bytes <= kBefore) return;
  const bool abstract = address.sun_path[0] == 0;
  if (abstract) out.put('@');
  for (std::uint32_t i = abstract; i < bytes - kBefore && i < sizeof address.sun_path && (abstract || address.sun_path[i]); ++i) out.put(address.sun_path[i]);
}

int socket_option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return sys::failed(sys::call(__NR_getsockopt, fd, level, name, sys::arg(&value), sys::arg(&size))) ? 0 : value;
}

__attribute__((noinline)) EndpointId look_up_socket(Endpoints& endpoints, int fd) {
  const int domain = socket_option(fd, SOL_SOCKET, SO_DOMAIN), type = socket_option(fd, SOL_SOCKET, SO_TYPE);
  const bool listening = socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0;
  sockaddr_storage own{}, peer{};
  socklen_t own_bytes = sizeof own, peer_bytes = sizeof peer;
  if (sys::failed(sys::call(__NR_getsockname, fd, sys::arg(&own), sys::arg(&own_bytes)))) own_bytes = 0;
  if (sys::failed(sys::call(__NR_getpeername, fd, sys::arg(&peer), sys::arg(&peer_bytes)))) peer_bytes = 0;
  EndpointKind kind = EndpointKind::other_socket;
  if (domain == AF_UNIX) kind = EndpointKind::unix_socket;
  else if ((domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM) kind = listening ? EndpointKind::tcp_listening : EndpointKind::tcp_peer;
  else if (domain == AF_INET || domain == AF_INET6) kind = EndpointKind::udp;
  // A connection whose making no hook saw: whose port is the lower one is taken for the server.
  if (kind == EndpointKind::tcp_peer && peer_bytes == 0) return 0;  // not connected yet
  if (kind == EndpointKind::tcp_peer) {
    const auto port = [](const sockaddr_storage& address) { return port_of(reinterpret_cast<const sockaddr_in&>(address).sin_port); };
    if (port(own) < port(peer)) kind = EndpointKind::tcp_accepted;
  }
  const bool by_peer = kind == EndpointKind::tcp_peer || (kind == EndpointKind::unix_socket && peer_bytes > sizeof(sa_family_t)) || kind == EndpointKind::udp;
  const SocketName name = by_peer && peer_bytes ? name_of_address(&peer, peer_bytes) : name_of_address(&own, own_bytes);
  std::uint32_t flags = name.loopback ? trace::kLoopback : 0;
  if (kind == EndpointKind::tcp_peer && socket_option(fd, IPPROTO_TCP, TCP_NODELAY)) flags |= trace::kNoDelay;
  return endpoints.intern(kind, name.text, name.bytes, flags);
}

bool starts_with(const char* text, std::uint32_t bytes, const char* prefix) {
  std::uint32_t i = 0;
  for (; prefix[i]; ++i)
    if (i >= bytes || text[i] != prefix[i]) return false;
  return true;
}

EndpointKind kind_of_anonymous(const char* link, std::uint32_t bytes) {
  if (starts_with(link, bytes, "anon_inode:[eventfd")) return EndpointKind::eventfd;
  if (starts_with(link, bytes, "anon_inode:[timerfd")) return EndpointKind::timerfd;
  if (starts_with(link, bytes, "anon_inode:[eventpoll")) return EndpointKind::epoll;
  return EndpointKind::other;
}

EndpointKind kind_of_mode(std::uint32_t mode, std::uint64_t device) {
  if (S_ISREG(mode)) return EndpointKind::file;
  if (S_ISDIR(mode)) return EndpointKind::directory;
  if (S_ISFIFO(mode)) return EndpointKind::pipe;
  if (S_ISCHR(mode)) return device >> 8 == 4 || device >> 8 == 5 || (device >> 8 >= 136 && device >> 8 <= 143) ? EndpointKind::terminal : EndpointKind::device;
  return S_ISBLK(mode) ? EndpointKind::device : EndpointKind::other;
}

}  // namespace

__attribute__((noinline)) SocketName name_of_address(const void* address, std::uint32_t bytes) {
  SocketName name;
  name.loopback = false;
  Writer out{name.text, sizeof name.text};
  const auto family = bytes >= sizeof(sa_family_t) ? static_cast<const sockaddr*>(address)->sa_family : AF_UNSPEC;
  if (family == AF_INET && bytes >= sizeof(sockaddr_in)) {
    const auto& v4 = *static_cast<const sockaddr_in*>(address);
    const auto* octets = reinterpret_cast<const unsigned char*>(&v4.sin_addr);
    put_v4(out, octets);
    out.put(':');
    out.number(port_of(v4.sin_port));
    name.loopback = octets[0] == 127;
  } else if (family == AF_INET6 && bytes >= sizeof(sockaddr_in6)) {
    const auto& v6 = *static_cast<const sockaddr_in6*>(address);
    const auto* octets = reinterpret_cast<const unsigned char*>(&v6.sin6_addr);
    if (is_mapped_v4(octets)) put_v4(out, octets + 12);
    else put_v6(out, octets);
    out.put(':');
    out.number(port_of(v6.sin6_port));
    name.loopback = is_v6_loopback(octets) || (is_mapped_v4(octets) && octets[12] == 127);
  } else if (family == AF_UNIX) {
    put_path(out, *static_cast<const sockaddr_un*>(address), bytes);
    name.loopback = true;
  }
  name.bytes = out.used;
  return name;
}

EndpointId look_up_descriptor(Endpoints& endpoints, int fd) {
  struct stat status {};
  if (sys::failed(sys::call(__NR_fstat, fd, sys::arg(&status)))) return 0;
  if (S_ISSOCK(status.st_mode)) return look_up_socket(endpoints, fd);
  char path[32], link[512];
  Writer out{path, sizeof path};
  out.put("/proc/self/fd/");
  out.number(static_cast<std::uint32_t>(fd));
  out.put('\0');
  const long got = sys::call(__NR_readlink, sys::arg(path), sys::arg(link), sizeof link);
  const std::uint32_t bytes = sys::failed(got) ? 0 : static_cast<std::uint32_t>(got);
  const bool anonymous = starts_with(link, bytes, "anon_inode:");
  const EndpointKind kind = anonymous ? kind_of_anonymous(link, bytes) : kind_of_mode(status.st_mode, status.st_rdev);
  const long open_flags = sys::call(__NR_fcntl, fd, F_GETFL);
  std::uint32_t flags = !sys::failed(open_flags) && (open_flags & O_DSYNC) ? trace::kSynchronous : 0;
  if (!sys::failed(open_flags) && (open_flags & O_NONBLOCK)) flags |= trace::kNonBlocking;
  const EndpointId id = endpoints.intern(kind, link, bytes, flags);
  if (Endpoint* endpoint = endpoints.at(id); endpoint && kind == EndpointKind::file) endpoint->size_bytes.store(static_cast<std::uint64_t>(status.st_size), std::memory_order_relaxed);
  return id;
}

EndpointId look_up_opened(Endpoints& endpoints, int fd, const char* path, std::uint32_t bytes, std::uint32_t flags) {
  const EndpointId known = endpoints.find(EndpointKind::file, path, bytes);
  if (const Endpoint* file = endpoints.at(known); file && file->size_bytes.load(std::memory_order_relaxed) && !flags) return known;
  struct stat status {};
  if (sys::failed(sys::call(__NR_fstat, fd, sys::arg(&status)))) return 0;
  const EndpointKind kind = kind_of_mode(status.st_mode, status.st_rdev);
  const EndpointId id = endpoints.intern(kind, path, bytes, flags);
  if (Endpoint* endpoint = endpoints.at(id); endpoint && kind == EndpointKind::file) endpoint->size_bytes.store(static_cast<std::uint64_t>(status.st_size), std::memory_order_relaxed);
  return id;
}

}  // namespace tailback::capture
