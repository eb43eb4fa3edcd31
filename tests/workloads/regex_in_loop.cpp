// SPDX-License-Identifier: Apache-2.0
// Checking lines of a log: bad compiles the pattern for every line, fixed once.
#include <regex>
#include <string>

#include "tests/workloads/measure.h"

namespace {

constexpr int kLines = 30'000;
constexpr const char* kPattern = "^([a-z]+)=([0-9]{1,4});";

std::string line_of(int number) { return (number % 3 ? "width=" : "Width=") + std::to_string(number % 5000) + ";rest"; }

[[gnu::noinline]] bool is_setting(const std::string& line) {
  const std::regex pattern(kPattern);
  return std::regex_search(line, pattern);
}

[[gnu::noinline]] bool matches_setting(const std::regex& pattern, const std::string& line) { return std::regex_search(line, pattern); }

template <class Check>
std::uint64_t check_all(Check check) {
  std::uint64_t checksum = 0;
  for (int number = 0; number < kLines; ++number) checksum = workload::mix(checksum * 2 + (check(line_of(number)) ? 1 : 0));
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return check_all(is_setting); },
      [](double&) {
        const std::regex pattern(kPattern);
        return check_all([&](const std::string& line) { return matches_setting(pattern, line); });
      });
}
