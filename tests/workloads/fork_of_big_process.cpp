// SPDX-License-Identifier: Apache-2.0
// A server that starts a small program now and then: bad by fork, which copies the page tables of all its data; fixed by posix_spawn, which
// copies none. The children do nothing.
#include <spawn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>

#include "tests/workloads/requests.h"

namespace {

constexpr std::size_t kDataBytes = std::size_t{1} << 30;
constexpr std::uint64_t kRequests = 600, kEach = 60;  // requests in all; for each program started
constexpr std::chrono::microseconds kPause{5'000};

extern "C" char** environ;

class Data {
 public:
  Data() : bytes_(mmap(nullptr, kDataBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    workload::require(bytes_ != MAP_FAILED, "mmap");
    madvise(bytes_, kDataBytes, MADV_NOHUGEPAGE);  // as where a program grew page by page
    workload::require(madvise(bytes_, kDataBytes, MADV_POPULATE_WRITE) == 0, "MADV_POPULATE_WRITE");
  }
  ~Data() { munmap(bytes_, kDataBytes); }
  Data(const Data&) = delete;
  Data& operator=(const Data&) = delete;

 private:
  void* bytes_;
};

[[gnu::noinline]] void run_by_fork() {
  const pid_t child = fork();
  workload::require(child >= 0, "fork");
  if (child == 0) {
    execl("/bin/true", "true", static_cast<char*>(nullptr));
    _exit(127);
  }
}

[[gnu::noinline]] void run_by_spawn() {
  pid_t child = 0;
  char name[] = "true";
  char* arguments[] = {name, nullptr};
  workload::require(posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environ) == 0, "posix_spawn");
}

template <class Run>
std::uint64_t serve(Run run, double& latency) {
  signal(SIGCHLD, SIG_IGN);  // nobody waits for the children
  const Data data;
  return workload::serve_requests(kRequests, kPause, [&](std::uint64_t request) {
    if (request % kEach == kEach - 1) run();
    return workload::usual_answer(request);
  }, latency);
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(run_by_fork, latency); }, [](double& latency) { return serve(run_by_spawn, latency); });
}
