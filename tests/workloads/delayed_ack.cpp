// SPDX-License-Identifier: Apache-2.0
// Requests of head and body over one TCP connection: bad writes the two one after the other, so that the second waits for the
// acknowledgement of the first, which the server delays; fixed hands both to one writev.
#include <sys/uio.h>

#include <array>
#include <thread>

#include "tests/workloads/loopback.h"

namespace {

constexpr std::uint64_t kTurns = 40;
using Head = std::array<std::uint64_t, 2>;
using Body = std::array<std::uint64_t, 256>;  // more than fits a packet of Ethernet, less than a segment of the loopback

[[gnu::noinline]] std::uint64_t answer(const Head& head, const Body& body) {
  std::uint64_t value = head[0];
  for (int i = 0; i < 1'200'000; ++i) value = workload::mix(value + body[static_cast<std::size_t>(i) % body.size()]);
  return value;
}

void serve(const workload::Socket& listener) {
  const workload::Socket connection(accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
  Head head{};
  Body body{};
  while (workload::receive_message(connection, head) && workload::receive_message(connection, body))
    workload::send_message(connection, answer(head, body));
}

std::uint64_t sent = 0;  // messages; counted last, so that no send is a tail call, which would leave its caller off the stack

[[gnu::noinline]] void send_in_two_writes(const workload::Socket& connection, const Head& head, const Body& body) {
  workload::send_message(connection, head);
  workload::send_message(connection, body);
  sent += 2;
}

[[gnu::noinline]] void send_in_one_write(const workload::Socket& connection, Head& head, Body& body) {
  const std::array<iovec, 2> parts{{{head.data(), sizeof head}, {body.data(), sizeof body}}};
  workload::require(writev(connection.descriptor(), parts.data(), parts.size()) == static_cast<ssize_t>(sizeof head + sizeof body),
                    "writev");
  sent += 2;
}

template <class Send>
std::uint64_t converse(Send send, double& latency) {
  const workload::Socket listener = workload::listen_on_loopback();
  std::thread server([&] { serve(listener); });
  std::uint64_t checksum = 0;
  {
    const workload::Socket connection = workload::connect_to(workload::port_of(listener));
    const double start = workload::now();
    for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
      Head head{turn, sizeof(Body)};
      Body body{};
      body.fill(workload::mix(turn));
      send(connection, head, body);
      std::uint64_t reply = 0;
      workload::require(workload::receive_message(connection, reply), "reply");
      checksum ^= reply;
    }
    latency = (workload::now() - start) / static_cast<double>(kTurns);
  }
  server.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return converse(send_in_two_writes, latency); },
      [](double& latency) { return converse(send_in_one_write, latency); });
}
