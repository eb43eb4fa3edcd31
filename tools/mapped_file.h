// SPDX-License-Identifier: Apache-2.0
// A regular file mapped for reading. Not for files that another process may still cut.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace tailback::tools {

class MappedFile {
 public:
  // Throws InputError naming the file and the cause.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace tailback::tools
