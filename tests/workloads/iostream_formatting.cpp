// SPDX-License-Identifier: Apache-2.0
// Writing rows of numbers: bad builds each row in a new string stream, fixed converts into one buffer.
#include <charconv>
#include <sstream>
#include <string>

#include "tests/workloads/measure.h"

namespace {

constexpr int kRows = 6'000'000;

std::uint64_t sum_of(std::string_view text) {
  std::uint64_t sum = text.size();
  for (const char c : text) sum = sum * 131 + static_cast<unsigned char>(c);
  return sum;
}

[[gnu::noinline]] std::string format_row(int row) {
  std::ostringstream out;
  out << row << ',' << row * 7 << ',' << row % 1000 << '\n';
  return out.str();
}

[[gnu::noinline]] std::string_view append_row(char* buffer, std::size_t size, int row) {
  char* at = buffer;
  for (const int value : {row, row * 7, row % 1000}) {
    at = std::to_chars(at, buffer + size, value).ptr;
    *at++ = ',';
  }
  at[-1] = '\n';
  return {buffer, static_cast<std::size_t>(at - buffer)};
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv,
      [](double&) {
        std::uint64_t checksum = 0;
        for (int row = 0; row < kRows; ++row) checksum ^= sum_of(format_row(row));
        return checksum;
      },
      [](double&) {
        std::uint64_t checksum = 0;
        char buffer[64];
        for (int row = 0; row < kRows; ++row) checksum ^= sum_of(append_row(buffer, sizeof buffer, row));
        return checksum;
      });
}
