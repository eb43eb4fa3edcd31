// SPDX-License-Identifier: Apache-2.0
// Reads DWARF encodings from mapped memory without ever leaving [low, end): a read that would leave makes the cursor fail
// for good and gives 0. Signal-safe; no allocation. Encodings: DWARF 5 section 7.6 (LEB128), LSB 5.0 core section 10.5
// (pointer encodings of .eh_frame).
#pragma once
#include <cstdint>

namespace tailback::capture {

inline constexpr std::uint8_t kPointerOmitted = 0xff;
inline constexpr std::uint8_t kPointerIndirect = 0x80;

class DwarfCursor {
 public:
  DwarfCursor() = default;
  DwarfCursor(std::uint64_t at, std::uint64_t low, std::uint64_t end) : at_(at), end_(end), ok_(low <= at && at <= end) {
    if (!ok_) at_ = end_;
  }

  bool ok() const { return ok_; }
  bool more() const { return ok_ && at_ < end_; }
  std::uint64_t at() const { return at_; }
  std::uint64_t end() const { return end_; }
  std::uint64_t left() const { return end_ - at_; }

  void skip(std::uint64_t bytes) {
    if (bytes > left()) return fail();
    at_ += bytes;
  }

  // From here on only the next `bytes` exist.
  void narrow(std::uint64_t bytes) {
    if (bytes > left()) return fail();
    end_ = at_ + bytes;
  }

  template <class T>
  T fixed() {
    T value = 0;
    if (left() < sizeof(T)) {
      fail();
      return 0;
    }
    __builtin_memcpy(&value, reinterpret_cast<const void*>(at_), sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  std::uint64_t uleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = fixed<std::uint8_t>();
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value;
    }
  }

  std::int64_t sleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;;) {
      const auto byte = fixed<std::uint8_t>();
      if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      shift += 7;
      if (byte & 0x80) continue;
      if (shift < 64 && (byte & 0x40)) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
  }

  // A pointer in one of the encodings of .eh_frame. An indirect pointer is not followed: the caller gets its address.
  std::uint64_t pointer(std::uint8_t encoding, std::uint64_t data_base) {
    if (encoding == kPointerOmitted) return 0;
    const std::uint64_t here = at_;
    std::uint64_t value = offset(encoding & 0x0f);
    switch (encoding & 0x70) {
      case 0x00: break;
      case 0x10: value += here; break;
      case 0x30: value += data_base; break;
      default: fail(); return 0;
    }
    return ok_ ? value : 0;
  }

  // The number alone, for lengths, which are never relative to anything.
  std::uint64_t offset(std::uint8_t format) {
    switch (format & 0x0f) {
      case 0x00: case 0x04: case 0x0c: return fixed<std::uint64_t>();
      case 0x01: return uleb();
      case 0x02: return fixed<std::uint16_t>();
      case 0x03: return fixed<std::uint32_t>();
      case 0x09: return static_cast<std::uint64_t>(sleb());
      case 0x0a: return static_cast<std::uint64_t>(static_cast<std::int64_t>(fixed<std::int16_t>()));
      case 0x0b: return static_cast<std::uint64_t>(static_cast<std::int64_t>(fixed<std::int32_t>()));
      default: fail(); return 0;
    }
  }

  void fail() {
    ok_ = false;
    at_ = end_;
  }

 private:
  std::uint64_t at_ = 0, end_ = 0;
  bool ok_ = false;
};

}  // namespace tailback::capture
