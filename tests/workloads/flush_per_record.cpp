// SPDX-License-Identifier: Apache-2.0
// A log that must survive a crash: bad brings each record to the disk by itself, fixed a group of records at once.
#include <array>

#include "tests/workloads/measure.h"
#include "tests/workloads/scratch_file.h"

namespace {

constexpr std::uint64_t kRecords = 4'096, kGroup = 64;
using Record = std::array<std::uint64_t, 32>;

[[gnu::noinline]] Record make_record(std::uint64_t number) {
  Record record{};
  for (int i = 0; i < 4'000; ++i) number = workload::mix(number + static_cast<std::uint64_t>(i));
  for (std::uint64_t& word : record) word = number = workload::mix(number);
  return record;
}

[[gnu::noinline]] void append_record(int file, const Record& record) {
  workload::require(write(file, record.data(), sizeof record) == static_cast<ssize_t>(sizeof record), "write");
}

[[gnu::noinline]] void make_durable(int file) { workload::require(fdatasync(file) == 0, "fdatasync"); }

std::uint64_t keep_log(std::uint64_t group) {
  const workload::ScratchFile file;
  for (std::uint64_t number = 0; number < kRecords; ++number) {
    append_record(file.descriptor(), make_record(number));
    if ((number + 1) % group == 0) make_durable(file.descriptor());
  }
  return workload::checksum_of_file(file.path());
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return keep_log(1); }, [](double&) { return keep_log(kGroup); });
}
