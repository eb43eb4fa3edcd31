// SPDX-License-Identifier: Apache-2.0
// TCP on the loopback interface, ports chosen by the kernel. Whatever fails ends the program: half a conversation measures
// nothing.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

#include "tests/workloads/measure.h"

namespace workload {

class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

inline sockaddr_in loopback_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline Socket listen_on_loopback() {
  Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback_address(0);
  require(bind(listener.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
  require(listen(listener.descriptor(), 64) == 0, "listen");
  return listener;
}

inline std::uint16_t port_of(const Socket& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  require(getsockname(listener.descriptor(), reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  return ntohs(address.sin_port);
}

inline Socket connect_to(std::uint16_t port) {
  Socket connection(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback_address(port);
  require(connect(connection.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
  return connection;
}

inline void send_at_once(const Socket& connection) {
  const int on = 1;
  require(setsockopt(connection.descriptor(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
}

template <class Message>
void send_message(const Socket& connection, const Message& message) {
  require(send(connection.descriptor(), &message, sizeof message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof message), "send");
}

// False at the end of the conversation.
template <class Message>
bool receive_message(const Socket& connection, Message& message) {
  std::size_t got = 0;
  while (got < sizeof message) {
    const ssize_t more = recv(connection.descriptor(), reinterpret_cast<std::byte*>(&message) + got, sizeof message - got, 0);
    require(more >= 0 && (more > 0 || got == 0), "recv");
    if (more == 0) return false;
    got += static_cast<std::size_t>(more);
  }
  return true;
}

}  // namespace workload
