// SPDX-License-Identifier: Apache-2.0
// Looking at the fields of records: bad passes and returns strings by value, fixed looks through views. Where a field begins is found
// once, beforehand: a search in a copy just made waits for the copy's stores, and a profile cannot tell that from searching.
#include <string>
#include <string_view>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kRounds = 100'000;

struct Record {
  std::string text;
  std::size_t start;  // of the field
};

std::vector<Record> records() {
  std::vector<Record> all;
  for (int i = 0; i < 500; ++i) {
    const std::string name = "customer-" + std::to_string(i);
    all.push_back({name + ";a longer address that does not fit into the string itself;" + std::to_string(i * 31), name.size()});
  }
  return all;
}

[[gnu::noinline]] std::string field_copied(std::string record, std::size_t start) {
  const std::string head = record.substr(0, start);
  return record.substr(head.size());
}

[[gnu::noinline]] std::string_view field_viewed(std::string_view record, std::size_t start) { return record.substr(start); }

template <class Field>
std::uint64_t scan(Field field) {
  const std::vector<Record> all = records();
  std::uint64_t checksum = 0;
  for (int round = 0; round < kRounds; ++round)
    for (const Record& record : all) {
      const auto part = field(record.text, record.start);
      checksum = checksum * 31 + part.size() + static_cast<unsigned char>(part[1]);
    }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double&) { return scan([](const std::string& record, std::size_t start) { return field_copied(record, start); }); },
      [](double&) { return scan([](const std::string& record, std::size_t start) { return field_viewed(record, start); }); });
}
