// SPDX-License-Identifier: Apache-2.0
// An epoll server of small requests and the clients that ask it. What a request means is the workload's business; the loop reads it, hands it
// over and sends the answers it is given. Requests are quick, or of a second kind that takes long; clients measure what the quick ones take.
#pragma once
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/workloads/loopback.h"

namespace workload {

struct Request {
  std::uint64_t slow, number;
};
using Answer = std::array<std::uint64_t, 8>;

class RequestLoop {
 public:
  RequestLoop() : listener_(listen_on_loopback()), events_(epoll_create1(EPOLL_CLOEXEC)), woken_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    watch(listener_.descriptor());
    watch(woken_.descriptor());
  }
  std::uint16_t port() const { return port_of(listener_); }

  // Until `clients` have come and gone. handle(client, request) may answer at once or later; woken() follows a wake().
  template <class Handle, class Woken>
  void run(std::size_t clients, Handle&& handle, Woken&& woken) {
    std::array<epoll_event, 16> ready{};
    for (std::size_t gone = 0; gone < clients;) {
      const int count = epoll_wait(events_.descriptor(), ready.data(), static_cast<int>(ready.size()), -1);
      require(count > 0, "epoll_wait");
      for (int i = 0; i < count; ++i) {
        const int from = ready[static_cast<std::size_t>(i)].data.fd;
        Request request{};
        if (from == listener_.descriptor()) take_client();
        else if (from == woken_.descriptor()) forget_wake(), woken();
        else if (receive(from, request)) handle(from, request);
        else ++gone;
      }
    }
  }

  static void answer(int client, std::uint64_t value) {
    Answer reply;
    reply.fill(value);
    require(send(client, &reply, sizeof reply, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof reply), "send");
  }
  // From another thread.
  void wake() const {
    const std::uint64_t one = 1;
    require(write(woken_.descriptor(), &one, sizeof one) == sizeof one, "write");
  }

 private:
  void watch(int descriptor) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
    require(epoll_ctl(events_.descriptor(), EPOLL_CTL_ADD, descriptor, &event) == 0, "epoll_ctl");
  }
  void take_client() {
    clients_.emplace_back(accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    send_at_once(clients_.back());
    watch(clients_.back().descriptor());
  }
  bool receive(int client, Request& request) {
    const ssize_t got = recv(client, &request, sizeof request, 0);
    if (got == static_cast<ssize_t>(sizeof request)) return true;
    epoll_ctl(events_.descriptor(), EPOLL_CTL_DEL, client, nullptr);
    return false;
  }
  void forget_wake() const {
    std::uint64_t count = 0;
    require(read(woken_.descriptor(), &count, sizeof count) == sizeof count, "read");
  }

  Socket listener_, events_, woken_;
  std::vector<Socket> clients_;
};

struct Asking {
  std::uint64_t clients, requests;  // of each
  std::chrono::microseconds pause;  // between an answer and the next request
  bool slow;
};

// Threads that ask as said, one after the other; the mean time to an answer of those that ask for quick ones goes to `latency`.
class Clients {
 public:
  void start(std::uint16_t port, const Asking& asking) {
    for (std::uint64_t client = 0; client < asking.clients; ++client)
      threads_.emplace_back([this, port, asking, client] { ask(port, asking, client); });
  }
  std::uint64_t finish(double& latency) {
    for (std::thread& thread : threads_) thread.join();
    latency = waited_ / static_cast<double>(answers_);
    return checksum_;
  }

 private:
  void ask(std::uint16_t port, const Asking& asking, std::uint64_t client) {
    const Socket connection = connect_to(port);
    send_at_once(connection);
    for (std::uint64_t number = 0; number < asking.requests; ++number) {
      const Request request{asking.slow, client * asking.requests + number};
      Answer reply{};
      const double asked = now();
      send_message(connection, request);
      require(receive_message(connection, reply), "answer");
      if (!asking.slow) waited_ += now() - asked, ++answers_;
      checksum_ ^= mix(reply[0] + request.number);
      std::this_thread::sleep_for(asking.pause);
    }
  }

  std::vector<std::thread> threads_;
  std::atomic<double> waited_ = 0;
  std::atomic<std::uint64_t> answers_ = 0, checksum_ = 0;
};

// What a quick request takes: some microseconds.
inline std::uint64_t quick_answer(std::uint64_t number) {
  for (int i = 0; i < 2'000; ++i) number = mix(number + static_cast<std::uint64_t>(i));
  return number;
}

}  // namespace workload
