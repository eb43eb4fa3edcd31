// SPDX-License-Identifier: Apache-2.0
// Each request asks three backends at once and needs all replies: in bad one of them is slow, in fixed all are fast. The
// backends are processes of their own: what makes one slow is nothing the client's recording could show.
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <thread>

#include "tests/workloads/loopback.h"

namespace {

constexpr std::uint64_t kRequests = 80;
constexpr int kBackends = 3, kSlowBackend = 1;
constexpr std::chrono::milliseconds kSlow{20}, kFast{2};

class Backend {
 public:
  explicit Backend(std::chrono::milliseconds delay) : listener_(workload::listen_on_loopback()), process_(fork()) {
    workload::require(process_ >= 0, "fork");
    if (process_ == 0) serve(delay);
    connection_ = workload::connect_to(workload::port_of(listener_));
  }
  ~Backend() {
    connection_ = workload::Socket();
    waitpid(process_, nullptr, 0);
  }
  const workload::Socket& connection() const { return connection_; }

 private:
  // Until the client hangs up. Earlier backends' connections came along with fork and are of no use here: _exit closes them.
  [[noreturn]] void serve(std::chrono::milliseconds delay) {
    const workload::Socket peer(accept4(listener_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    std::uint64_t request = 0;
    while (workload::receive_message(peer, request)) {
      std::this_thread::sleep_for(delay);
      workload::send_message(peer, workload::mix(request));
    }
    _exit(0);
  }

  workload::Socket listener_;
  pid_t process_;
  workload::Socket connection_;
};

[[gnu::noinline]] std::uint64_t await_reply(const workload::Socket& connection) {
  std::uint64_t reply = 0;
  workload::require(workload::receive_message(connection, reply), "reply");
  return reply;
}

[[gnu::noinline]] std::uint64_t combine(std::uint64_t replies) {
  for (int i = 0; i < 400'000; ++i) replies = workload::mix(replies + static_cast<std::uint64_t>(i));
  return replies;
}

std::uint64_t ask_all(const std::array<Backend, kBackends>& backends, std::uint64_t request) {
  std::uint64_t replies = 0;
  for (const Backend& backend : backends) workload::send_message(backend.connection(), request);
  for (const Backend& backend : backends) replies = replies * 31 + await_reply(backend.connection());
  return combine(replies);
}

std::uint64_t serve_requests(std::chrono::milliseconds delay_of_one, double& latency) {
  std::array<std::chrono::milliseconds, kBackends> delays{kFast, kFast, kFast};
  delays[kSlowBackend] = delay_of_one;
  const std::array<Backend, kBackends> backends{Backend(delays[0]), Backend(delays[1]), Backend(delays[2])};
  std::uint64_t checksum = 0;
  const double start = workload::now();
  for (std::uint64_t request = 0; request < kRequests; ++request) checksum ^= ask_all(backends, request);
  latency = (workload::now() - start) / static_cast<double>(kRequests);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return serve_requests(kSlow, latency); },
      [](double& latency) { return serve_requests(kFast, latency); });
}
