// SPDX-License-Identifier: Apache-2.0
// Parsing fields of which most are no numbers: bad reports that by throwing, fixed by an empty value.
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kFields = 2'200'000;

std::string field_of(std::uint64_t number) { return workload::mix(number) % 4 ? "n/a" : std::to_string(number % 1000); }

[[gnu::noinline]] std::optional<std::uint64_t> try_parse(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

[[gnu::noinline]] std::uint64_t parse_or_throw(std::string_view text) {
  const auto value = try_parse(text);
  if (!value) throw std::invalid_argument("not a number");
  return *value;
}

[[gnu::noinline]] std::uint64_t sum_with_exceptions() {
  std::uint64_t sum = 0;
  for (std::uint64_t number = 0; number < kFields; ++number) {
    try {
      sum += parse_or_throw(field_of(number));
    } catch (const std::invalid_argument&) {
      ++sum;
    }
  }
  return sum;
}

[[gnu::noinline]] std::uint64_t sum_with_values() {
  std::uint64_t sum = 0;
  for (std::uint64_t number = 0; number < kFields; ++number) sum += try_parse(field_of(number)).value_or(1);
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return sum_with_exceptions(); }, [](double&) { return sum_with_values(); });
}
