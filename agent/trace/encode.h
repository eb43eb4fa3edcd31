// SPDX-License-Identifier: Apache-2.0
// Records to bytes. Signal-safe: no allocation, no locks, no library calls but memcpy. Threading: the caller owns the buffer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "agent/trace/events.h"
#include "agent/trace/layout.h"

namespace tailback::trace {

inline constexpr std::size_t kMaxVarintBytes = 10;

inline std::uint8_t* put_varint(std::uint8_t* out, std::uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<std::uint8_t>(value) | 0x80;
    value >>= 7;
  }
  *out++ = static_cast<std::uint8_t>(value);
  return out;
}

constexpr std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}

namespace internal {
constexpr std::size_t varint_size(std::uint64_t value) {
  std::size_t n = 1;
  for (; value >= 0x80; value >>= 7) ++n;
  return n;
}
inline str cut(str text) { return text.substr(0, kMaxStringBytes); }

struct SizeOf {
  std::size_t bytes = 0;
  void operator()(const char*, const u64& v) { bytes += varint_size(v); }
  void operator()(const char*, const i64& v) { bytes += varint_size(zigzag(v)); }
  void operator()(const char*, const str& v) { bytes += varint_size(cut(v).size()) + cut(v).size(); }
};

struct Put {
  std::uint8_t* out;
  void operator()(const char*, const u64& v) { out = put_varint(out, v); }
  void operator()(const char*, const i64& v) { out = put_varint(out, zigzag(v)); }
  void operator()(const char*, const str& v) {
    const str text = cut(v);
    out = put_varint(out, text.size());
    if (!text.empty()) std::memcpy(out, text.data(), text.size());
    out += text.size();
  }
};
}  // namespace internal

// Bytes that encode() needs for the event.
template <class Event>
std::size_t encoded_size(const Event& event) {
  internal::SizeOf size;
  for_each_field(event, [&](const char* name, const auto& value) { size(name, value); });
  return internal::varint_size(static_cast<std::uint64_t>(Event::kKind)) + internal::varint_size(size.bytes) + size.bytes;
}

// Writes one record; returns its length, or 0 when it does not fit into `room` bytes (nothing is written then).
template <class Event>
std::size_t encode(const Event& event, std::uint8_t* out, std::size_t room) {
  internal::SizeOf size;
  for_each_field(event, [&](const char* name, const auto& value) { size(name, value); });
  std::uint8_t head[2 * kMaxVarintBytes];
  std::uint8_t* end = put_varint(put_varint(head, static_cast<std::uint64_t>(Event::kKind)), size.bytes);
  const auto head_bytes = static_cast<std::size_t>(end - head);
  if (head_bytes + size.bytes > room) return 0;
  std::memcpy(out, head, head_bytes);
  internal::Put put{out + head_bytes};
  for_each_field(event, [&](const char* name, const auto& value) { put(name, value); });
  return head_bytes + size.bytes;
}

}  // namespace tailback::trace
