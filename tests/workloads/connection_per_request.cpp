// SPDX-License-Identifier: Apache-2.0
// Requests to a server on loopback: bad makes a connection for each, fixed keeps one open. The server is a process of its own that
// is always awake, as a server under load is, and client and server keep to a CPU each where there are two: else where the
// kernel puts the two, and how long an idle CPU takes to wake, would decide what a connection costs.
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include <cerrno>

#include "tests/workloads/loopback.h"

namespace {

constexpr std::uint64_t kRequests = 22'000, kLast = ~0ull;

[[gnu::noinline]] std::uint64_t answer(std::uint64_t request) {
  for (int i = 0; i < 4'000; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

cpu_set_t allowed_cpus() {
  cpu_set_t allowed;
  workload::require(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
  return allowed;
}

// The calling process stays on the `place`-th of the CPUs that it may use.
void keep_to_cpu(int place) {
  const cpu_set_t allowed = allowed_cpus();
  cpu_set_t chosen;
  place %= CPU_COUNT(&allowed);
  CPU_ZERO(&chosen);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed) && place-- == 0) CPU_SET(cpu, &chosen);
  workload::require(sched_setaffinity(0, sizeof chosen, &chosen) == 0, "sched_setaffinity");
}

// Tries a call that does not wait until it has something to say; with a client on the same CPU, it lets that go on meanwhile.
template <class Call>
auto insist(bool alone, Call call) {
  auto result = call();
  for (; result < 0 && errno == EAGAIN; result = call())
    if (!alone) sched_yield();
  return result;
}

// One connection after the other, each as long as its client keeps it.
void serve(const workload::Socket& listener, bool alone) {
  workload::require(fcntl(listener.descriptor(), F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
  for (bool open = true; open;) {
    const workload::Socket connection(insist(alone, [&] { return accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC); }));
    workload::require(connection.descriptor() >= 0, "accept");
    std::uint64_t request = 0;
    while (insist(alone, [&] { return recv(connection.descriptor(), &request, sizeof request, MSG_DONTWAIT); }) == static_cast<ssize_t>(sizeof request)) {
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
  const pid_t server = fork();
  workload::require(server >= 0, "fork");
  if (server == 0) {
    const cpu_set_t allowed = allowed_cpus();
    keep_to_cpu(1);
    serve(listener, CPU_COUNT(&allowed) > 1);
    _exit(0);
  }
  keep_to_cpu(0);
  const double start = workload::now();
  const std::uint64_t checksum = client(workload::port_of(listener));
  latency = (workload::now() - start) / static_cast<double>(kRequests);
  waitpid(server, nullptr, 0);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return with_server(connect_each_time, latency); },
      [](double& latency) { return with_server(connect_once, latency); });
}
