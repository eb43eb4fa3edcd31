// SPDX-License-Identifier: Apache-2.0
// The dump: a sparse file mapped shared, written by plain stores, its descriptor closed at once (a program may close or reuse
// any descriptor). Blocks are populated ahead of the writer, so that a full disk is an error code and never a SIGBUS.
// One writer at a time (the caller holds the drain lock). Signal-safe: raw system calls and stores only.
#pragma once
#include <cstdint>

#include "agent/trace/encode.h"

namespace tailback::engine {

enum class DumpState { closed, open, full };

class DumpFile {
 public:
  // Creates the file (mode 0600, never following a link, never replacing a file: the next free suffix .1, .2, ... is taken)
  // and reserves `max_bytes` of address space for it. Returns 0 or a negative errno.
  long create(const char* path, std::uint64_t max_bytes, std::uint32_t pid, std::uint64_t started_realtime_ns);

  // Appends one record; false when the dump is closed or full (the caller counts the loss).
  template <class Event>
  bool append(const Event& event) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (state_ != DumpState::open) return false;
      const std::size_t size = trace::encode(event, block_ + sizeof(trace::BlockHeader) + committed_, room());
      if (size) {
        commit(size);
        return true;
      }
      next_block();
    }
    return false;
  }

  // The last records of a recording find room even when the dump is full: a part of the size limit is kept for them.
  void open_reserve();

  // Into the header: one deadlock more is among the records.
  void count_deadlock();

  // What somebody asks of the agent: the number to answer with, once it is done; 0 nothing.
  std::uint32_t requested(trace::RequestKind kind) const;
  void answer(trace::RequestKind kind, std::uint32_t number);

  // Marks the end of the recording in order, seals, and cuts the file to its used length (through the path, checked to be
  // the same file). The mapping stays: nothing that still runs may fault.
  void finish();
  // Takes the file away again: it was not worth keeping. The mapping stays.
  void discard();
  // Around mlockall: makes the window beyond what is populated inaccessible, and, at the end, accessible again and not locked.
  void hide_unused();
  void show_unused();
  // Forgets the file without touching it, as a child does with its parent's after fork.
  void abandon();

  DumpState state() const { return state_; }
  const char* path() const { return path_; }
  std::uint64_t used_bytes() const { return block_offset_ + sizeof(trace::BlockHeader) + committed_; }
  std::uint64_t max_bytes() const { return mapped_bytes_; }
  const void* mapped_at() const { return file_; }

 private:
  std::size_t room() const { return trace::kBlockBytes - sizeof(trace::BlockHeader) - committed_; }
  void commit(std::size_t size);
  void seal();
  bool begin_block(std::uint64_t offset);
  void next_block();
  bool populate(std::uint64_t offset, std::uint64_t size);
  template <class Take>
  long take_free_name(const char* path, Take take);
  long open_named(const char* path);
  long open_unnamed(const char* path);
  long give_name(int unnamed, const char* path);
  long open_new(const char* path, const trace::FileHeader& header);
  long map(int fd, std::uint64_t max_bytes);

  DumpState state_ = DumpState::closed;
  std::uint8_t* file_ = nullptr;
  std::uint64_t mapped_bytes_ = 0;
  std::uint64_t limit_bytes_ = 0;  // less than mapped by the reserve
  std::uint64_t populated_bytes_ = 0;
  std::uint8_t* block_ = nullptr;
  std::uint64_t block_offset_ = 0;
  std::uint32_t committed_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t device_ = 0, inode_ = 0;
  char path_[4096] = {};
};

}  // namespace tailback::engine
