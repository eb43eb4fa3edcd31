// SPDX-License-Identifier: Apache-2.0
// A histogram as the schema keeps it: counts as varints, trailing zeros left out. Signal-safe.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tailback::engine {

class Counts {
 public:
  Counts& clear() {
    used_ = zeros_ = 0;
    return *this;
  }
  void add(std::uint64_t count) {
    if (count == 0) return void(++zeros_);
    for (; zeros_; --zeros_) put(0);
    put(count);
  }
  std::string_view view() const { return {bytes_, used_}; }

 private:
  void put(std::uint64_t value) {
    for (; value >= 0x80 && used_ + 1 < sizeof bytes_; value >>= 7) bytes_[used_++] = static_cast<char>(value | 0x80);
    if (used_ < sizeof bytes_) bytes_[used_++] = static_cast<char>(value & 0x7f);
  }
  char bytes_[256] = {};
  std::size_t used_ = 0, zeros_ = 0;
};

}  // namespace tailback::engine
