// SPDX-License-Identifier: Apache-2.0
// Making and closing connections: a client that comes late, a listener with a full queue, a peer that does not read.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

struct Listener {
  Listener() : descriptor(socket(AF_INET, SOCK_STREAM, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && listen(descriptor, 4) == 0, "listen");
    socklen_t size = sizeof address;
    getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  }
  ~Listener() { close(descriptor); }
  int client() const {
    const int one = socket(AF_INET, SOCK_STREAM, 0);
    require(connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
    return one;
  }

  int descriptor;
  sockaddr_in address{};
};

void accepts(Stage& stage) {
  const Listener listener;
  int client = -1, accepted = -1;
  const auto come = [&](pthread_t) { client = listener.client(); };
  stage.block("accept", "accept", [&] { return (accepted = accept(listener.descriptor, nullptr, nullptr)) >= 0; }, come);
  close(client);
  close(accepted);
  stage.block("accept4", "accept", [&] { return (accepted = accept4(listener.descriptor, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; }, come);
  close(client);
  close(accepted);
}

// A queue of one: the second client waits until the first is taken.
void connects(Stage& stage) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const int length =
      std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "blocking-%d", getpid());  // no file: an abstract name
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(length));
  const auto* const at = reinterpret_cast<const sockaddr*>(&address);
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
  require(bind(listener, at, size) == 0 && listen(listener, 0) == 0 && connect(first, at, size) == 0, "unix listener");
  int taken = -1;
  stage.block(
      "connect", "connect", [&] { return connect(second, at, size) == 0; }, [&](pthread_t) { taken = accept(listener, nullptr, nullptr); });
  for (const int one : {listener, first, second, taken}) close(one);
}

// Lingers until the peer has read what was sent.
void closes(Stage& stage) {
  const Listener listener;
  const int client = listener.client(), peer = accept(listener.descriptor, nullptr, nullptr);
  static char block[65536];
  while (send(client, block, sizeof block, MSG_DONTWAIT) > 0) {
  }
  const linger wait{1, 5};
  require(setsockopt(client, SOL_SOCKET, SO_LINGER, &wait, sizeof wait) == 0, "SO_LINGER");
  stage.block("close", "close", [&] { return close(client) == 0; }, [&](pthread_t) {
    while (recv(peer, block, sizeof block, 0) > 0) {
    }
    close(peer);
  });
}

}  // namespace

void block_on_connections(Stage& stage) {
  accepts(stage);
  connects(stage);
  closes(stage);
}

}  // namespace blocking
