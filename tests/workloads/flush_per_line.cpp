// SPDX-License-Identifier: Apache-2.0
// A report of many lines through a stream: bad ends each line with std::endl, which flushes; fixed with '\n'. Both look at the stream
// after each line, as careful programs do; it also keeps the flush from being a tail call, which would leave the function that
// asks for it off the stack.
#include <fstream>

#include "tests/workloads/measure.h"
#include "tests/workloads/scratch_file.h"

namespace {

constexpr std::uint64_t kLines = 2'000'000;

[[gnu::noinline]] void print_line_and_flush(std::ostream& out, std::uint64_t line) {
  out << "line " << line << " value " << (workload::mix(line) >> 40) << std::endl;
  workload::require(out.good(), "print");
}

[[gnu::noinline]] void print_line(std::ostream& out, std::uint64_t line) {
  out << "line " << line << " value " << (workload::mix(line) >> 40) << '\n';
  workload::require(out.good(), "print");
}

template <class Print>
std::uint64_t print_report(Print print) {
  const workload::ScratchFile file;
  {
    std::ofstream out(file.path());
    for (std::uint64_t line = 0; line < kLines; ++line) print(out, line);
  }
  return workload::checksum_of_file(file.path());
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return print_report(print_line_and_flush); }, [](double&) { return print_report(print_line); });
}
