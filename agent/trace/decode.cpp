// SPDX-License-Identifier: Apache-2.0
#include "agent/trace/decode.h"

#include <algorithm>
#include <cstring>

#include "agent/trace/crc32c.h"

namespace tailback::trace {

namespace {

bool take_varint(const std::uint8_t*& at, const std::uint8_t* end, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
    const std::uint8_t byte = *at++;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

}  // namespace

bool FieldReader::read_varint(u64& value) {
  if (at_ == end_) return false;  // an older writer: the field keeps its default
  u64 read = 0;
  if (!take_varint(at_, end_, read)) {
    ok_ = false;
    at_ = end_;
    return false;
  }
  value = read;
  return true;
}

void FieldReader::operator()(const char*, u64& value) { read_varint(value); }

void FieldReader::operator()(const char*, i64& value) {
  u64 coded = 0;
  if (read_varint(coded)) value = static_cast<i64>(coded >> 1) ^ -static_cast<i64>(coded & 1);
}

void FieldReader::operator()(const char*, str& value) {
  u64 size = 0;
  if (!read_varint(size)) return;
  if (size > static_cast<u64>(end_ - at_)) {
    ok_ = false;
    at_ = end_;
    return;
  }
  value = str(reinterpret_cast<const char*>(at_), size);
  at_ += size;
}

bool Decoder::open(DecodeResult& result) {
  FileHeader header{};
  if (file_.size() < sizeof header) {
    result.error = file_.empty() ? "empty, so too short to be a tailback dump: its process ended before anything was recorded" : "too short to be a tailback dump";
    return false;
  }
  std::memcpy(&header, file_.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    result.error = "not a tailback dump (magic number missing)";
    return false;
  }
  if (header.version != kVersion) {
    result.error = "dump of format version " + std::to_string(header.version) + ", this tailback reads version " +
                   std::to_string(kVersion);
    return false;
  }
  if (header.header_bytes < sizeof header || header.block_bytes < sizeof(BlockHeader) || header.block_bytes > (64u << 20)) {
    result.error = "header is damaged";
    return false;
  }
  result.ended = header.state == static_cast<std::uint32_t>(FileState::ended);
  offset_ = header.header_bytes;
  block_bytes_ = header.block_bytes;
  if (header.used_bytes >= header.header_bytes && header.used_bytes < file_.size()) file_ = file_.first(header.used_bytes);
  return true;
}

bool Decoder::next_block(std::span<const std::uint8_t>& records, DecodeResult& result) {
  while (offset_ < file_.size() && file_.size() - offset_ >= sizeof(BlockHeader)) {
    const auto block = file_.subspan(offset_, std::min(block_bytes_, file_.size() - offset_));
    offset_ += block.size();
    BlockHeader header{};
    std::memcpy(&header, block.data(), sizeof header);
    const auto room = block.size() - sizeof header;
    const bool framed = header.magic == kBlockMagic && header.committed <= room;
    const auto body = block.subspan(sizeof header, framed ? header.committed : 0);
    if (!framed || (header.sealed && crc32c(body.data(), body.size()) != header.crc32c)) {
      ++result.damaged_blocks;
      continue;
    }
    ++result.blocks;
    records = body;
    return true;
  }
  result.trailing_bytes += offset_ < file_.size() ? file_.size() - offset_ : 0;
  return false;
}

bool Decoder::next_record(std::span<const std::uint8_t>& block, RawRecord& record, DecodeResult& result) {
  if (block.empty()) return false;
  const std::uint8_t* at = block.data();
  const std::uint8_t* end = at + block.size();
  std::uint64_t kind = 0, size = 0;
  if (!take_varint(at, end, kind) || !take_varint(at, end, size) || size > static_cast<std::uint64_t>(end - at) ||
      kind > 0xffffffffu) {
    ++result.damaged_records;
    return false;
  }
  record.kind = static_cast<Kind>(kind);
  record.fields = {at, static_cast<std::size_t>(size)};
  block = block.subspan(static_cast<std::size_t>(at - block.data()) + static_cast<std::size_t>(size));
  ++result.records;
  return true;
}

}  // namespace tailback::trace
