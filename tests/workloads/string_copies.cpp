// SPDX-License-Identifier: Apache-2.0
// Looking at the fields of records: bad passes and returns strings by value, fixed looks through views.
#include <string>
#include <string_view>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kRounds = 100'000;

std::vector<std::string> records() {
  std::vector<std::string> all;
  for (int i = 0; i < 500; ++i) all.push_back("customer-" + std::to_string(i) + ";a longer address that does not fit into the string itself;" + std::to_string(i * 31));
  return all;
}

[[gnu::noinline]] std::string field_copied(std::string record, char separator) {
  const std::string head = record.substr(0, record.find(separator));
  return record.substr(head.size());
}

[[gnu::noinline]] std::string_view field_viewed(std::string_view record, char separator) { return record.substr(record.find(separator)); }

template <class Field>
std::uint64_t scan(Field field) {
  const std::vector<std::string> all = records();
  std::uint64_t checksum = 0;
  for (int round = 0; round < kRounds; ++round)
    for (const std::string& record : all) {
      const auto part = field(record);
      checksum = checksum * 31 + part.size() + static_cast<unsigned char>(part[1]);
    }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return scan([](const std::string& record) { return field_copied(record, ';'); }); },
      [](double&) { return scan([](const std::string& record) { return field_viewed(record, ';'); }); });
}
