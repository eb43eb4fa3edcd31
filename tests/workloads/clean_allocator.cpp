// SPDX-License-Identifier: Apache-2.0
// Nothing to fix: a program that allocates as it should. Tables made at the start and kept to the end, a cache that warms up and
// then evicts, containers that reserve, buffers that are reused. Both variants are the same.
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 25'000;
constexpr std::size_t kRows = 20'000, kRowBytes = 1'000;
constexpr std::size_t kCached = 4'000, kAnswerBytes = 2'000;
constexpr std::uint64_t kAddresses = 16'000;

// Never freed, as programs do with what they need to the end.
[[gnu::noinline]] const std::vector<std::string>& rows() {
  static const auto* all = [] {
    auto* made = new std::vector<std::string>;
    made->reserve(kRows);
    for (std::size_t row = 0; row < kRows; ++row) made->emplace_back(kRowBytes, static_cast<char>('a' + row % 26));
    return made;
  }();
  return *all;
}

class AnswerCache {
 public:
  const std::string* find(std::uint64_t address) const {
    const auto found = answers_.find(address);
    return found == answers_.end() ? nullptr : &found->second;
  }
  [[gnu::noinline]] const std::string& add(std::uint64_t address, const std::string& answer) {
    if (oldest_first_.size() == kCached) {
      answers_.erase(oldest_first_.front());
      oldest_first_.pop_front();
    }
    oldest_first_.push_back(address);
    return answers_.emplace(address, answer).first->second;
  }

 private:
  std::unordered_map<std::uint64_t, std::string> answers_;
  std::deque<std::uint64_t> oldest_first_;
};

// Into a buffer of the caller, which has room for it.
[[gnu::noinline]] void compose_answer(std::uint64_t address, std::string& answer) {
  answer.clear();
  std::uint64_t word = address;
  while (answer.size() < kAnswerBytes) {
    const std::string& row = rows()[word % kRows];
    for (int step = 0; step < 8; ++step) word = workload::mix(word + static_cast<unsigned char>(row[static_cast<std::size_t>(step)]));
    answer.push_back(static_cast<char>(word));
  }
}

[[gnu::noinline]] std::uint64_t sum_up(const std::vector<std::uint64_t>& words) {
  std::uint64_t sum = 0;
  for (const std::uint64_t word : words) sum = workload::mix(sum ^ word);
  return sum;
}

std::uint64_t serve() {
  AnswerCache cache;
  std::string answer;
  answer.reserve(kAnswerBytes);
  std::vector<std::uint64_t> words;
  words.reserve(kAnswerBytes);
  std::uint64_t checksum = 0;
  for (std::uint64_t request = 0; request < kRequests; ++request) {
    const std::uint64_t address = workload::mix(request) % kAddresses;
    const std::string* known = cache.find(address);
    if (!known) compose_answer(address, answer), known = &cache.add(address, answer);
    words.assign(known->begin(), known->end());
    checksum ^= sum_up(words);
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return serve(); }, [](double&) { return serve(); });
}
