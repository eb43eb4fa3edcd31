// SPDX-License-Identifier: Apache-2.0
// Adds records to the dump of a process that has ended. Crash-safe: a block is written and sealed before the header covers
// it, so the dump is readable at any moment. Never touches what the process wrote, except for cutting off the unused tail.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "agent/trace/encode.h"

namespace tailback::tools {

class DumpAppender {
 public:
  // Opens the dump and cuts it to its used length; it will not grow beyond `most_bytes`. error() says why it is not open().
  DumpAppender(const std::string& path, std::uint64_t most_bytes);
  ~DumpAppender();
  DumpAppender(const DumpAppender&) = delete;
  DumpAppender& operator=(const DumpAppender&) = delete;

  bool open() const { return file_ >= 0; }
  const std::string& error() const { return error_; }

  // False when the record could not be added (disk full, limit reached, not open).
  template <class Event>
  bool append(const Event& event) {
    const std::size_t size = trace::encoded_size(event);
    if (size > room_for_records() || !open()) return false;
    if (records_.size() + size > room_for_records() && !flush()) return false;
    if (next_block_ + sizeof(trace::BlockHeader) + records_.size() + size > most_bytes_) return false;
    const std::size_t at = records_.size();
    records_.resize(at + size);
    trace::encode(event, records_.data() + at, size);
    added_bytes_ += size;
    return true;
  }
  bool flush();  // seals the block begun; also done at destruction
  std::uint64_t added_bytes() const { return added_bytes_; }

 private:
  static constexpr std::size_t room_for_records() { return trace::kBlockBytes - sizeof(trace::BlockHeader); }
  bool check_header();
  void find_end();
  bool set_used(std::uint64_t used);

  int file_ = -1;
  std::uint64_t most_bytes_;
  std::string error_;
  trace::FileHeader header_{};
  std::uint64_t next_block_ = 0;  // offset
  std::uint64_t sequence_ = 0;
  std::uint64_t added_bytes_ = 0;
  std::vector<std::uint8_t> records_;
};

}  // namespace tailback::tools
