// SPDX-License-Identifier: Apache-2.0
// An input file mapped for reading, front to back. Pages read may be let go (madvise) by whoever reads.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace tailback::analyzers {

class MappedInput {
 public:
  // Throws InputError naming file, cause and remedy.
  explicit MappedInput(const std::string& path);
  ~MappedInput();
  MappedInput(const MappedInput&) = delete;
  MappedInput& operator=(const MappedInput&) = delete;

  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tailback::analyzers
