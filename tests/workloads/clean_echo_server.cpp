// SPDX-License-Identifier: Apache-2.0
// Nothing to fix: an event loop on epoll that returns what its clients send, one message a turn, on connections they keep; all
// threads wait for most of the time, as they should. Both variants are the same.
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/workloads/loopback.h"

namespace {

constexpr std::uint64_t kClients = 3, kTurns = 250;
constexpr std::chrono::milliseconds kPause{6};
using Message = std::array<std::uint64_t, 32>;

class EchoServer {
 public:
  EchoServer() : listener_(workload::listen_on_loopback()), events_(epoll_create1(EPOLL_CLOEXEC)) { watch(listener_.descriptor()); }
  std::uint16_t port() const { return workload::port_of(listener_); }

  // Until all clients have come and gone.
  void run() {
    std::array<epoll_event, 8> ready{};
    for (std::uint64_t gone = 0; gone < kClients;) {
      const int count = epoll_wait(events_.descriptor(), ready.data(), static_cast<int>(ready.size()), -1);
      workload::require(count > 0, "epoll_wait");
      for (int i = 0; i < count; ++i)
        if (ready[static_cast<std::size_t>(i)].data.fd == listener_.descriptor()) take_client();
        else if (!echo(ready[static_cast<std::size_t>(i)].data.fd)) ++gone;
    }
  }

 private:
  void watch(int descriptor) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
    workload::require(epoll_ctl(events_.descriptor(), EPOLL_CTL_ADD, descriptor, &event) == 0, "epoll_ctl");
  }
  void take_client() {
    clients_.emplace_back(accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    workload::send_at_once(clients_.back());
    watch(clients_.back().descriptor());
  }
  bool echo(int client) {
    Message message{};
    const ssize_t got = recv(client, &message, sizeof message, 0);
    if (got > 0) {
      workload::require(send(client, &message, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got, "send");
      return true;
    }
    epoll_ctl(events_.descriptor(), EPOLL_CTL_DEL, client, nullptr);
    return false;
  }

  workload::Socket listener_, events_;
  std::vector<workload::Socket> clients_;
};

std::uint64_t talk(std::uint16_t port, std::uint64_t client) {
  const workload::Socket connection = workload::connect_to(port);
  workload::send_at_once(connection);
  std::uint64_t checksum = 0;
  for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
    Message message{}, reply{};
    message.fill(workload::mix(client * kTurns + turn));
    workload::send_message(connection, message);
    workload::require(workload::receive_message(connection, reply) && reply == message, "reply");
    checksum ^= workload::mix(reply[0]);
    std::this_thread::sleep_for(kPause);
  }
  return checksum;
}

std::uint64_t run_clients() {
  EchoServer server;
  std::atomic<std::uint64_t> checksum{0};
  std::thread loop([&] { server.run(); });
  std::vector<std::thread> clients;
  for (std::uint64_t client = 0; client < kClients; ++client)
    clients.emplace_back([&, client] { checksum.fetch_xor(talk(server.port(), client)); });
  for (std::thread& client : clients) client.join();
  loop.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return run_clients(); }, [](double&) { return run_clients(); });
}
