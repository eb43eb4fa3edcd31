// SPDX-License-Identifier: Apache-2.0
// A server whose thread that answers builds a new table every so often. bad: in memory mapped for it, each page of which is a fault at its first
// use; fixed: in the memory of the table before the last one.
#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <stdexcept>

#include "tests/workloads/requests.h"

namespace {

constexpr std::uint64_t kRequests = 800, kEach = 80;
constexpr std::chrono::microseconds kPause{5'000};
constexpr std::size_t kBytes = std::size_t{256} << 20, kPage = 4096;

class Table {
 public:
  Table() : memory_(static_cast<char*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    if (memory_ == MAP_FAILED) throw std::runtime_error("mmap failed");
    madvise(memory_, kBytes, MADV_NOHUGEPAGE);
  }
  ~Table() { munmap(memory_, kBytes); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  // An entry in each page: sparse, as hash tables are.
  [[gnu::noinline]] void fill(std::uint64_t seed) {
    for (std::size_t at = 0; at < kBytes; at += kPage) memory_[at + seed % kPage] = static_cast<char>(seed + at / kPage);
  }

 private:
  char* memory_;
};

[[gnu::noinline]] void reload_in_new_memory(std::uint64_t seed) {
  Table table;
  table.fill(seed);
}

std::uint64_t serve(bool map, double& latency) {
  std::array<Table, 2> tables;
  if (!map)
    for (Table& table : tables) table.fill(0);
  return workload::serve_requests(kRequests, kPause, [&](std::uint64_t request) {
    if (request % kEach == kEach - 1) map ? reload_in_new_memory(request) : tables[request / kEach % 2].fill(request);
    return workload::usual_answer(request);
  }, latency);
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return serve(true, latency); }, [](double& latency) { return serve(false, latency); });
}
