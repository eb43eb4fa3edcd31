// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/protobuf_reader.h"

namespace tailback::analyzers::foreign {

bool ProtobufReader::take_varint(std::string_view& from, std::uint64_t& value) {
  constexpr std::size_t kLongest = 10;
  value = 0;
  for (std::size_t i = 0; i < from.size() && i < kLongest; ++i) {
    const auto byte = static_cast<unsigned char>(from[i]);
    value |= std::uint64_t{byte & 0x7fu} << (7 * i);
    if (byte & 0x80) continue;
    from.remove_prefix(i + 1);
    return true;
  }
  return false;
}

bool ProtobufReader::take(std::size_t size) {
  if (rest_.size() < size) return false;
  content_ = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

bool ProtobufReader::next() {
  if (rest_.empty() || damaged_) return false;
  damaged_ = !decode();
  return !damaged_;
}

bool ProtobufReader::decode() {
  std::uint64_t tag = 0, size = 0;
  if (!take_varint(rest_, tag) || tag >> 3 == 0 || tag >> 32) return false;
  field_ = static_cast<unsigned>(tag >> 3);
  type_ = static_cast<WireType>(tag & 7);
  number_ = 0;
  switch (type_) {
    case varint: return take_varint(rest_, number_);
    case fixed64: return take(8);
    case fixed32: return take(4);
    case bytes: return take_varint(rest_, size) && take(size);
    default: return false;
  }
}

}  // namespace tailback::analyzers::foreign
