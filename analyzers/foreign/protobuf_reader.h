// SPDX-License-Identifier: Apache-2.0
// Walks the fields of a protocol buffer message (protobuf.dev/programming-guides/encoding), bounds-checked; unknown fields are stepped
// over. No schema, no dependency, no copy.
#pragma once
#include <cstdint>
#include <string_view>

namespace tailback::analyzers::foreign {

class ProtobufReader {
 public:
  enum WireType : unsigned { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

  explicit ProtobufReader(std::string_view message) : rest_(message) {}

  // Steps to the next field; false at the end, and at what does not decode.
  bool next();
  unsigned field() const { return field_; }
  WireType type() const { return type_; }
  std::uint64_t number() const { return type_ == bytes ? 0 : number_; }
  std::string_view content() const { return type_ == bytes ? content_ : std::string_view(); }
  bool damaged() const { return damaged_; }

  // Calls each(number) for a repeated number, packed or not.
  template <class Each>
  void numbers(Each&& each) const {
    if (type_ != bytes) return each(number_);
    std::uint64_t value = 0;
    for (std::string_view rest = content_; !rest.empty() && take_varint(rest, value);) each(value);
  }

 private:
  static bool take_varint(std::string_view& from, std::uint64_t& value);
  bool take(std::size_t size);
  bool decode();

  std::string_view rest_, content_;
  std::uint64_t number_ = 0;
  unsigned field_ = 0;
  WireType type_ = varint;
  bool damaged_ = false;
};

}  // namespace tailback::analyzers::foreign
