// SPDX-License-Identifier: Apache-2.0
// Text records of many devices that end in one table: bad parses each with the table's lock held, fixed before it takes the lock.
#include <array>
#include <charconv>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 44'000;
constexpr int kThreads = 4, kFields = 4'000;
constexpr std::size_t kTexts = 16, kDevices = 1'000;

struct Readings {
  std::uint64_t count = 0, sum = 0, largest = 0;
};

// "sensor_12=48213;" for each field.
std::string text_of_device(std::uint64_t number) {
  std::string text;
  for (int field = 0; field < kFields; ++field) {
    number = workload::mix(number + 1);
    text += "sensor_" + std::to_string(field) + "=" + std::to_string(number % 1'000'000) + ";";
  }
  return text;
}

[[gnu::noinline]] Readings parse_record(const std::string& text) {
  Readings readings;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t equals = text.find('=', at), end = text.find(';', equals);
    std::uint64_t value = 0;
    std::from_chars(text.data() + equals + 1, text.data() + end, value);
    readings.count += 1, readings.sum += value;
    if (value > readings.largest) readings.largest = value;
    at = end + 1;
  }
  return readings;
}

// What a request costs besides: no other thread takes part in it.
[[gnu::noinline]] std::uint64_t check_signature(std::uint64_t request) {
  for (int i = 0; i < 800; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

class DeviceTable {
 public:
  [[gnu::noinline]] void add_text(std::size_t device, const std::string& text, std::uint64_t signature) {
    const std::lock_guard lock(mutex_);
    add(device, parse_record(text), signature);
  }
  [[gnu::noinline]] void add_readings(std::size_t device, const Readings& readings, std::uint64_t signature) {
    const std::lock_guard lock(mutex_);
    add(device, readings, signature);
  }
  std::uint64_t checksum() const {
    std::uint64_t sum = 0;
    for (const Row& row : rows_) sum = workload::mix(sum ^ row.readings.count ^ row.readings.sum ^ row.readings.largest ^ row.signatures);
    return sum;
  }

 private:
  struct Row {
    Readings readings;
    std::uint64_t signatures = 0;
  };
  void add(std::size_t device, const Readings& readings, std::uint64_t signature) {
    Row& row = rows_[device];
    row.readings.count += readings.count, row.readings.sum += readings.sum;
    if (readings.largest > row.readings.largest) row.readings.largest = readings.largest;
    row.signatures ^= signature;
  }

  std::mutex mutex_;
  std::array<Row, kDevices> rows_{};
};

template <class Store>
std::uint64_t collect(Store store) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < kTexts; ++i) texts.push_back(text_of_device(i * 1'000'003));
  DeviceTable table;
  std::vector<std::thread> threads;
  for (std::uint64_t first = 0; first < kThreads; ++first)
    threads.emplace_back([&, first] {
      for (std::uint64_t request = first; request < kRequests; request += kThreads)
        store(table, request % kDevices, texts[request % kTexts], check_signature(request));
    });
  for (std::thread& thread : threads) thread.join();
  return table.checksum();
}

std::uint64_t parse_inside() {
  return collect([](DeviceTable& table, std::size_t device, const std::string& text, std::uint64_t signature) { table.add_text(device, text, signature); });
}

std::uint64_t parse_outside() {
  return collect(
      [](DeviceTable& table, std::size_t device, const std::string& text, std::uint64_t signature) { table.add_readings(device, parse_record(text), signature); });
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return parse_inside(); }, [](double&) { return parse_outside(); });
}
