// SPDX-License-Identifier: Apache-2.0
// Rendered pages kept by an address that holds a number of the session, so that no page is asked for twice: bad keeps them all,
// fixed forgets the oldest.
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tests/workloads/arrivals.h"
#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 150'000;
constexpr std::size_t kPageBytes = 1000;
constexpr std::size_t kKept = 2'000;

struct PageCache {
  std::unordered_map<std::uint64_t, std::string> pages;
  std::deque<std::uint64_t> oldest_first;
};

// As long as the process, like a server's.
PageCache& cache() {
  static PageCache only;
  return only;
}

[[gnu::noinline]] std::uint64_t render_page(std::uint64_t address, char* page) {
  std::uint64_t word = address;
  for (std::size_t at = 0; at < kPageBytes; ++at) {
    for (int step = 0; step < 2; ++step) word = workload::mix(word + at);
    page[at] = static_cast<char>(word);
  }
  return word;
}

[[gnu::noinline]] void remember_page(std::uint64_t address, std::string_view page) { cache().pages.emplace(address, page); }

[[gnu::noinline]] void forget_oldest_page(std::uint64_t newest) {
  cache().oldest_first.push_back(newest);
  if (cache().oldest_first.size() <= kKept) return;
  cache().pages.erase(cache().oldest_first.front());
  cache().oldest_first.pop_front();
}

template <class Limit>
std::uint64_t serve(Limit limit) {
  std::uint64_t checksum = 0;
  char page[kPageBytes];
  workload::Arrivals arrivals(kRequests);
  for (std::uint64_t request; arrivals.next(request);) {
    const std::uint64_t address = workload::mix(request);
    if (cache().pages.contains(address)) continue;
    checksum ^= render_page(address, page);
    remember_page(address, std::string_view(page, kPageBytes));
    limit(address);
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return serve([](std::uint64_t) {}); }, [](double&) { return serve(forget_oldest_page); });
}
