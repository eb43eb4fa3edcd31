// SPDX-License-Identifier: Apache-2.0
// Bytes of a dump to records, bounds-checked: any input gives records, counts of what was unreadable, or an error; never a
// read outside the input. Not for the target process. Threading: a Decoder is used by one thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <utility>

#include "agent/trace/events.h"
#include "agent/trace/layout.h"

namespace tailback::trace {

struct DecodeResult {
  std::string error;              // not empty: this is no dump (or of a newer major version); nothing was delivered
  bool ended = false;             // the writer closed the file in order
  std::uint64_t blocks = 0;
  std::uint64_t damaged_blocks = 0;   // CRC wrong or framing broken; skipped
  std::uint64_t records = 0;
  std::uint64_t damaged_records = 0;  // record whose length or fields do not fit; the rest of its block is skipped
  std::uint64_t unknown_records = 0;  // kinds of a newer writer; skipped
  std::uint64_t trailing_bytes = 0;   // behind the last block that could be read
};

// One record of a block: kind and the bytes of its fields.
struct RawRecord {
  Kind kind{};
  std::span<const std::uint8_t> fields;
};

// Reads the fields of one record. Fields that an older writer did not know keep their default; further bytes are ignored.
class FieldReader {
 public:
  explicit FieldReader(std::span<const std::uint8_t> bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}
  void operator()(const char*, u64& value);
  void operator()(const char*, i64& value);
  void operator()(const char*, str& value);
  bool ok() const { return ok_; }

 private:
  bool read_varint(u64& value);
  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool ok_ = true;
};

// The blocks and records of a file image. Sink: called as sink(RawRecord) in file order.
class Decoder {
 public:
  explicit Decoder(std::span<const std::uint8_t> file) : file_(file) {}

  template <class Sink>
  DecodeResult for_each_record(Sink&& sink) {
    DecodeResult result;
    if (!open(result)) return result;
    std::span<const std::uint8_t> block;
    while (next_block(block, result)) {
      RawRecord record;
      while (next_record(block, record, result)) sink(record);
    }
    return result;
  }

  // Delivers each record as its struct: visitor(const Session&), visitor(const CpuSample&), ...
  template <class Visitor>
  DecodeResult for_each_event(Visitor&& visitor) {
    std::uint64_t unknown = 0, damaged = 0;
    DecodeResult result = for_each_record([&](const RawRecord& record) {
      const bool known = with_event_of(record.kind, [&](auto event) {
        FieldReader reader(record.fields);
        for_each_field(event, reader);
        if (reader.ok()) visitor(std::as_const(event));
        else ++damaged;
      });
      if (!known) ++unknown;
    });
    result.unknown_records += unknown;
    result.damaged_records += damaged;
    return result;
  }

 private:
  bool open(DecodeResult& result);
  bool next_block(std::span<const std::uint8_t>& records, DecodeResult& result);
  static bool next_record(std::span<const std::uint8_t>& block, RawRecord& record, DecodeResult& result);

  std::span<const std::uint8_t> file_;
  std::size_t offset_ = 0;
  std::size_t block_bytes_ = kBlockBytes;
};

}  // namespace tailback::trace
