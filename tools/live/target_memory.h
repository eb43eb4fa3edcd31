// SPDX-License-Identifier: Apache-2.0
// The memory of another process: what was copied while it stood still (stacks, words of locks), and what does not change
// (code, unwind tables), read when asked for and kept by the page. Never writes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tailback::tools {

class TargetMemory {
 public:
  explicit TargetMemory(const std::string& task_folder);  // reads nothing yet; is_open() says whether it may
  ~TargetMemory();
  TargetMemory(const TargetMemory&) = delete;
  TargetMemory& operator=(const TargetMemory&) = delete;
  bool is_open() const { return file_ >= 0; }

  void copy_stack(std::uint64_t address, std::size_t size);  // as much of it as can be read
  void copy_words(std::uint64_t address, std::size_t size);

  void put(std::uint64_t address, std::vector<std::uint8_t> bytes) {
    words_[address] = std::move(bytes);
  }  // read as if it had been copied

  bool read(std::uint64_t address, void* to, std::size_t size);
  template <class T>
  std::optional<T> value(std::uint64_t address) {
    T result;
    return read(address, &result, sizeof result) ? std::optional(result) : std::nullopt;
  }

 private:
  using Copies = std::map<std::uint64_t, std::vector<std::uint8_t>>;
  void copy(Copies& copies, std::uint64_t address, std::size_t size);
  static bool read_copy(const Copies& copies, std::uint64_t address, void* to, std::size_t size);
  const std::vector<std::uint8_t>& page(std::uint64_t start);

  int file_ = -1;
  Copies stacks_, words_;
  std::unordered_map<std::uint64_t, std::vector<std::uint8_t>> pages_;  // by address; empty: not readable
};

}  // namespace tailback::tools
