// SPDX-License-Identifier: Apache-2.0
// An index made of records that are freed once indexed: bad allocates each entry between two records, so that the entries hold
// nearly every page of the freed ones; fixed has the entries in slabs of their own.
#include <array>
#include <memory>
#include <vector>

#include "tests/workloads/arrivals.h"
#include "tests/workloads/measure.h"

namespace {

constexpr std::size_t kRecords = 400'000;
constexpr std::size_t kEntriesInSlab = 16'384;
constexpr std::uint64_t kQuestions = 60;

struct Record {
  std::array<std::uint64_t, 56> fields;
};

struct Entry {
  std::uint64_t key, position, length;
};

// As long as the process, like an index that is asked again and again.
struct Index {
  std::vector<Entry*> entries;
  std::vector<std::unique_ptr<Entry[]>> slabs;
};

Index& entry_index() {
  static Index only;
  return only;
}

[[gnu::noinline]] std::unique_ptr<Record> read_record(std::uint64_t number) {
  auto record = std::make_unique<Record>();
  for (std::uint64_t& field : record->fields) field = workload::mix(number++);
  return record;
}

[[gnu::noinline]] Entry* add_entry() { return new Entry; }

[[gnu::noinline]] Entry* add_entry_to_slab() {
  const std::size_t at = entry_index().entries.size() % kEntriesInSlab;
  if (at == 0) entry_index().slabs.push_back(std::make_unique<Entry[]>(kEntriesInSlab));
  return &entry_index().slabs.back()[at];
}

template <class Add>
[[gnu::noinline]] void build_index(Add add) {
  std::vector<std::unique_ptr<Record>> records;
  records.reserve(kRecords);
  entry_index().entries.reserve(kRecords);
  entry_index().slabs.reserve(kRecords / kEntriesInSlab + 1);
  for (std::uint64_t number = 0; number < kRecords; ++number) {
    records.push_back(read_record(number));
    Entry* entry = add();
    *entry = {records.back()->fields[0], number, sizeof(Record)};
    entry_index().entries.push_back(entry);
  }
}

[[gnu::noinline]] std::uint64_t ask_index(std::uint64_t question) {
  for (const Entry* entry : entry_index().entries) question = workload::mix(question ^ (entry->key + entry->position));
  return question;
}

template <class Add>
std::uint64_t build_and_ask(Add add) {
  build_index(add);
  std::uint64_t answer = 0;
  workload::Arrivals arrivals(kQuestions);
  for (std::uint64_t question; arrivals.next(question);) answer = ask_index(answer ^ question);
  return answer;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return build_and_ask(add_entry); }, [](double&) { return build_and_ask(add_entry_to_slab); });
}
