// SPDX-License-Identifier: Apache-2.0
// Fields of log lines: bad makes strings of each of them only to look at them, fixed looks at views.
#include <string>
#include <string_view>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kRounds = 100'000;

std::vector<std::string> log_lines() {
  std::vector<std::string> lines;
  for (int i = 0; i < 300; ++i)
    lines.push_back("host=frontend-of-the-region-" + std::to_string(i) + ";path=/a/path/of/some/length/" + std::to_string(i * 7) + ";agent=a browser with a long name;");
  return lines;
}

std::uint64_t weight_of(std::string_view key, std::string_view value) {
  return key.size() * 31 + value.size() + static_cast<unsigned char>(value.back());
}

[[gnu::noinline]] std::uint64_t parse_into_strings(const std::string& line) {
  std::uint64_t weight = 0;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = line.find(';', at);
    const std::string field = line.substr(at, end - at);
    const std::string key = field.substr(0, field.find('='));
    const std::string value = field.substr(key.size() + 1);
    weight = weight * 131 + weight_of(key, value);
    at = end + 1;
  }
  return weight;
}

[[gnu::noinline]] std::uint64_t parse_into_views(std::string_view line) {
  std::uint64_t weight = 0;
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = line.find(';', at);
    const std::string_view field = line.substr(at, end - at);
    const std::string_view key = field.substr(0, field.find('='));
    weight = weight * 131 + weight_of(key, field.substr(key.size() + 1));
    at = end + 1;
  }
  return weight;
}

template <class Parse>
std::uint64_t parse_all(Parse parse) {
  const std::vector<std::string> lines = log_lines();
  std::uint64_t checksum = 0;
  for (int round = 0; round < kRounds; ++round)
    for (const std::string& line : lines) checksum = checksum * 31 + parse(line);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return parse_all(parse_into_strings); }, [](double&) { return parse_all(parse_into_views); });
}
