// SPDX-License-Identifier: Apache-2.0
// A table in memory, exported once: bad builds the whole document first, which for that moment doubles what the process needs;
// fixed hands it on in pieces.
#include <string>
#include <string_view>
#include <vector>

#include "tests/workloads/arrivals.h"
#include "tests/workloads/measure.h"

namespace {

constexpr std::size_t kRows = 60'000;
constexpr std::size_t kRowBytes = 1'200;
constexpr std::size_t kPieceBytes = 64 * 1024;
constexpr std::uint64_t kQuestions = 100'000;

// As long as the process, like a table that is asked again and again.
std::vector<std::string>& table() {
  static std::vector<std::string> rows;
  return rows;
}

[[gnu::noinline]] void load_table() {
  table().reserve(kRows);
  for (std::size_t row = 0; row < kRows; ++row) {
    table().emplace_back(kRowBytes, static_cast<char>('a' + row % 26));
    table().back().replace(0, 8, std::to_string(10'000'000 + row));
  }
}

[[gnu::noinline]] std::uint64_t ask_table(std::uint64_t question) {
  for (int step = 0; step < 20; ++step) {
    const std::string& row = table()[question % kRows];
    for (std::size_t at = 0; at < 40; ++at) question = workload::mix(question + static_cast<unsigned char>(row[at]));
  }
  return question;
}

// Where the export goes: only its bytes count.
class Receiver {
 public:
  [[gnu::noinline]] void take(std::string_view bytes) {
    for (const char byte : bytes) sum_ = (sum_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3ull;
  }
  std::uint64_t sum() const { return sum_; }

 private:
  std::uint64_t sum_ = 0xcbf29ce484222325ull;
};

[[gnu::noinline]] std::uint64_t export_whole_document() {
  Receiver receiver;
  std::string document;
  document.reserve(kRows * (kRowBytes + 1));
  for (const std::string& row : table()) document.append(row).push_back('\n');
  receiver.take(document);
  return receiver.sum();
}

[[gnu::noinline]] std::uint64_t export_in_pieces() {
  Receiver receiver;
  std::string piece;
  piece.reserve(kPieceBytes + kRowBytes + 1);
  for (const std::string& row : table()) {
    piece.append(row).push_back('\n');
    if (piece.size() < kPieceBytes) continue;
    receiver.take(piece);
    piece.clear();
  }
  receiver.take(piece);
  return receiver.sum();
}

template <class Export>
std::uint64_t live_and_export(Export export_table) {
  load_table();
  std::uint64_t checksum = 1;
  workload::Arrivals arrivals(kQuestions);
  for (std::uint64_t question; arrivals.next(question);) {
    checksum = ask_table(checksum ^ question);
    if (question == kQuestions / 2) checksum ^= export_table();
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return live_and_export(export_whole_document); }, [](double&) { return live_and_export(export_in_pieces); });
}
