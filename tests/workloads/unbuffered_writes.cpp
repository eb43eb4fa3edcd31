// SPDX-License-Identifier: Apache-2.0
// Writing a table field by field: bad calls write(2) for each field, fixed collects 64 KiB.
#include <charconv>
#include <string>
#include <string_view>

#include "tests/workloads/measure.h"
#include "tests/workloads/scratch_file.h"

namespace {

constexpr std::uint64_t kRows = 600'000, kColumns = 5;

[[gnu::noinline]] std::string_view format_field(std::uint64_t value, char (&text)[24]) {
  for (int i = 0; i < 60; ++i) value = workload::mix(value);
  char* const end = std::to_chars(text, text + 20, value >> 30).ptr;
  *end = ';';
  return {text, static_cast<std::size_t>(end - text) + 1};
}

[[gnu::noinline]] void write_piece(int file, std::string_view piece) {
  workload::require(write(file, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "write");
}

class BufferedFile {
 public:
  explicit BufferedFile(int file) : file_(file) {}
  void add(std::string_view piece) {
    if (waiting_.size() + piece.size() > kBufferBytes) flush();
    waiting_ += piece;
  }
  void flush() {
    write_piece(file_, waiting_);
    waiting_.clear();
  }

 private:
  static constexpr std::size_t kBufferBytes = 64 * 1024;
  int file_;
  std::string waiting_;
};

template <class Write>
void write_table(Write write) {
  char text[24];
  for (std::uint64_t field = 0; field < kRows * kColumns; ++field) write(format_field(field, text));
}

std::uint64_t write_by_piece() {
  const workload::ScratchFile file;
  write_table([&](std::string_view piece) { write_piece(file.descriptor(), piece); });
  return workload::checksum_of_file(file.path());
}

std::uint64_t write_by_block() {
  const workload::ScratchFile file;
  BufferedFile buffered(file.descriptor());
  write_table([&](std::string_view piece) { buffered.add(piece); });
  buffered.flush();
  return workload::checksum_of_file(file.path());
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return write_by_piece(); }, [](double&) { return write_by_block(); });
}
