// SPDX-License-Identifier: Apache-2.0
// Encodes protocol buffer messages by field number (protobuf.dev/programming-guides/encoding): varints, packed lists,
// strings and nested messages. Zero values are left out, as proto3 does. No schema, no dependency.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tailback::tools {

class ProtobufWriter {
 public:
  void varint_field(unsigned field, std::uint64_t value) {
    if (value == 0) return;
    tag(field, kVarint);
    varint(value);
  }
  void bool_field(unsigned field, bool value) { varint_field(field, value); }
  void bytes_field(unsigned field, std::string_view value) {  // also for strings; an empty one is written
    tag(field, kLengthDelimited);
    varint(value.size());
    bytes_ += value;
  }
  void message_field(unsigned field, const ProtobufWriter& message) { bytes_field(field, message.bytes_); }
  void packed_field(unsigned field, std::span<const std::uint64_t> values) {
    if (values.empty()) return;
    ProtobufWriter packed;
    for (const std::uint64_t value : values) packed.varint(value);
    message_field(field, packed);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  enum WireType : unsigned { kVarint = 0, kLengthDelimited = 2 };

  void tag(unsigned field, WireType type) { varint(field << 3 | type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace tailback::tools
