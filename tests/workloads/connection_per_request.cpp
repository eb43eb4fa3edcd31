// SPDX-License-Identifier: Apache-2.0
// Requests to a server on loopback: bad makes a connection for each, fixed keeps one open.
#include <thread>

#include "tests/workloads/loopback.h"

namespace {

constexpr std::uint64_t kRequests = 22'000, kLast = ~0ull;

[[gnu::noinline]] std::uint64_t answer(std::uint64_t request) {
  for (int i = 0; i < 4'000; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

// One connection after the other, each as long as its client keeps it.
void serve(const workload::Socket& listener) {
  for (bool open = true; open;) {
    const workload::Socket connection(accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    workload::require(connection.descriptor() >= 0, "accept");
    std::uint64_t request = 0;
    while (workload::receive_message(connection, request)) {
      open = open && request != kLast;
      workload::send_message(connection, answer(request));
    }
  }
}

[[gnu::noinline]] std::uint64_t ask(const workload::Socket& connection, std::uint64_t request) {
  std::uint64_t reply = 0;
  workload::send_message(connection, request);
  workload::require(workload::receive_message(connection, reply), "reply");
  return reply;
}

[[gnu::noinline]] std::uint64_t ask_over_new_connection(std::uint16_t port, std::uint64_t request) {
  return ask(workload::connect_to(port), request);
}

std::uint64_t number_of(std::uint64_t turn) { return turn + 1 < kRequests ? turn : kLast; }

std::uint64_t connect_each_time(std::uint16_t port) {
  std::uint64_t checksum = 0;
  for (std::uint64_t turn = 0; turn < kRequests; ++turn) checksum ^= ask_over_new_connection(port, number_of(turn));
  return checksum;
}

std::uint64_t connect_once(std::uint16_t port) {
  const workload::Socket connection = workload::connect_to(port);
  std::uint64_t checksum = 0;
  for (std::uint64_t turn = 0; turn < kRequests; ++turn) checksum ^= ask(connection, number_of(turn));
  return checksum;
}

std::uint64_t with_server(std::uint64_t (*client)(std::uint16_t), double& latency) {
  const workload::Socket listener = workload::listen_on_loopback();
  std::thread server([&] { serve(listener); });
  const double start = workload::now();
  const std::uint64_t checksum = client(workload::port_of(listener));
  latency = (workload::now() - start) / static_cast<double>(kRequests);
  server.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return with_server(connect_each_time, latency); },
      [](double& latency) { return with_server(connect_once, latency); });
}
