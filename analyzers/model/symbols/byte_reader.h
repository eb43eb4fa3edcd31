// SPDX-License-Identifier: Apache-2.0
// A cursor over untrusted little-endian bytes (ELF, DWARF, unwind tables). A read beyond the end yields 0 and makes ok()
// false for good; nothing is ever read outside the span.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace tailback::analyzers {

using Bytes = std::span<const std::uint8_t>;

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes, std::size_t position = 0) : bytes_(bytes), position_(position) {
    if (position > bytes.size()) fail();
  }

  bool ok() const { return ok_; }
  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  bool at_end() const { return position_ >= bytes_.size(); }

  template <class T>
  T fixed() {
    T value{};
    if (!need(sizeof(T))) return value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  std::uint8_t u8() { return fixed<std::uint8_t>(); }
  std::uint16_t u16() { return fixed<std::uint16_t>(); }
  std::uint32_t u32() { return fixed<std::uint32_t>(); }
  std::uint64_t u64() { return fixed<std::uint64_t>(); }

  // An unsigned integer of 1 to 8 bytes.
  std::uint64_t sized(unsigned size) {
    std::uint64_t value = 0;
    if (size > 8 || !need(size)) return fail();
    std::memcpy(&value, bytes_.data() + position_, size);
    position_ += size;
    return value;
  }

  std::uint64_t uleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; need(1); shift += 7) {
      const std::uint8_t byte = bytes_[position_++];
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value;
    }
    return 0;
  }

  std::int64_t sleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; need(1);) {
      const std::uint8_t byte = bytes_[position_++];
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if ((byte & 0x40) && shift < 64) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
    return 0;
  }

  void skip(std::uint64_t count) {
    if (need(count)) position_ += static_cast<std::size_t>(count);
  }

  std::string_view text() {  // up to the terminating NUL
    const void* end = at_end() ? nullptr : std::memchr(bytes_.data() + position_, 0, remaining());
    if (!end) {
      fail();
      return {};
    }
    const char* begin = reinterpret_cast<const char*>(bytes_.data() + position_);
    const std::string_view view(begin, static_cast<const char*>(end) - begin);
    position_ += view.size() + 1;
    return view;
  }

 private:
  bool need(std::uint64_t count) {
    if (count <= remaining()) return true;
    fail();
    return false;
  }
  std::uint64_t fail() {
    ok_ = false;
    position_ = bytes_.size();
    return 0;
  }

  Bytes bytes_;
  std::size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace tailback::analyzers
