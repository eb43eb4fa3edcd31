// SPDX-License-Identifier: Apache-2.0
// Nothing to fix: an event loop that answers requests from a socket pair and waits for most of the time. Both variants are
// the same.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 500;

[[gnu::noinline]] std::uint64_t answer(std::uint64_t request) {
  for (int i = 0; i < 20'000; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

void serve(int socket) {
  for (;;) {
    pollfd wanted{socket, POLLIN, 0};
    std::uint64_t request = 0;
    if (poll(&wanted, 1, -1) != 1 || read(socket, &request, sizeof request) != sizeof request) return;
    const std::uint64_t reply = answer(request);
    if (write(socket, &reply, sizeof reply) != sizeof reply) return;
  }
}

std::uint64_t run_clients() {
  int pair[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 0;
  std::thread server(serve, pair[1]);
  std::uint64_t checksum = 0;
  for (std::uint64_t request = 0; request < kRequests; ++request) {
    std::this_thread::sleep_for(std::chrono::milliseconds(4));
    std::uint64_t reply = 0;
    if (write(pair[0], &request, sizeof request) != sizeof request || read(pair[0], &reply, sizeof reply) != sizeof reply) break;
    checksum ^= reply;
  }
  close(pair[0]);
  server.join();
  close(pair[1]);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return run_clients(); }, [](double&) { return run_clients(); });
}
