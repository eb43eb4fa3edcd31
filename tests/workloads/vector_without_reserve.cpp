// SPDX-License-Identifier: Apache-2.0
// Containers whose size is known beforehand: bad lets a vector grow element by element and a buffer by a fixed step of realloc,
// fixed asks once for what both need.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kRows = 20'000'000;
constexpr std::size_t kCells = 60;
constexpr int kTexts = 40'000;
constexpr std::size_t kPieces = 400, kPieceBytes = 96;

struct Cell {
  std::uint64_t value, column;
};

template <bool reserves>
[[gnu::noinline]] std::vector<Cell> split_row(std::uint64_t row) {
  std::vector<Cell> cells;
  if (reserves) cells.reserve(kCells);
  for (std::size_t column = 0; column < kCells; ++column) cells.push_back({row * column, column});
  return cells;
}

struct Text {
  char* bytes = nullptr;
  std::size_t used = 0, room = 0;
};

[[gnu::noinline]] void make_room(Text& text, std::size_t room) {
  if (room <= text.room) return;
  text.bytes = static_cast<char*>(std::realloc(text.bytes, room));
  workload::require(text.bytes != nullptr, "realloc");
  text.room = room;
}

[[gnu::noinline]] void append_piece(Text& text, char filling) {
  make_room(text, text.used + kPieceBytes);
  std::memset(text.bytes + text.used, filling, kPieceBytes);
  text.used += kPieceBytes;
}

// Two at once, as a head and a body: neither can grow where it is.
template <bool reserves>
std::uint64_t write_texts(std::uint64_t number) {
  Text head, body;
  if (reserves) make_room(head, kPieces * kPieceBytes), make_room(body, kPieces * kPieceBytes);
  for (std::size_t piece = 0; piece < kPieces; ++piece) {
    append_piece(head, static_cast<char>(number));
    append_piece(body, static_cast<char>(piece));
  }
  const auto weight = static_cast<unsigned char>(head.bytes[number % head.used]) + static_cast<unsigned char>(body.bytes[body.used - 1]);
  std::free(head.bytes), std::free(body.bytes);
  return static_cast<std::uint64_t>(weight);
}

template <bool reserves>
std::uint64_t convert() {
  std::uint64_t checksum = 0;
  for (int row = 0; row < kRows; ++row) checksum = workload::mix(checksum ^ split_row<reserves>(static_cast<std::uint64_t>(row)).back().value);
  for (int text = 0; text < kTexts; ++text) checksum = workload::mix(checksum ^ write_texts<reserves>(static_cast<std::uint64_t>(text)));
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return convert<false>(); }, [](double&) { return convert<true>(); });
}
