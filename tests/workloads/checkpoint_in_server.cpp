// SPDX-License-Identifier: Apache-2.0
// A server that saves its state every so often. bad: the thread that answers writes and flushes it; fixed: another thread does.
#include <fcntl.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/workloads/requests.h"

namespace {

constexpr std::uint64_t kRequests = 800, kEach = 80;
constexpr std::chrono::microseconds kPause{5'000};
constexpr std::size_t kBytes = std::size_t{48} << 20;

[[gnu::noinline]] void save_state(std::uint64_t version) {
  std::string path = "/var/tmp/checkpoint.XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) throw std::runtime_error("mkstemp failed");
  const std::string state(kBytes, static_cast<char>(version));
  for (std::size_t at = 0; at < kBytes;) {
    const ssize_t written = write(file, state.data() + at, kBytes - at);
    if (written <= 0) throw std::runtime_error("write failed");
    at += static_cast<std::size_t>(written);
  }
  fdatasync(file);
  close(file);
  unlink(path.c_str());
}

std::uint64_t serve(bool here, double& latency) {
  std::vector<std::thread> savers;
  const std::uint64_t checksum = workload::serve_requests(kRequests, kPause, [&](std::uint64_t request) {
    if (request % kEach == kEach - 1) {
      if (here) save_state(request);
      else savers.emplace_back(save_state, request);
    }
    return workload::usual_answer(request);
  }, latency);
  for (std::thread& saver : savers) saver.join();
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(true, latency); }, [](double& latency) { return serve(false, latency); });
}
