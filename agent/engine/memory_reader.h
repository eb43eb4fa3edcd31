// SPDX-License-Identifier: Apache-2.0
// Reads the process's own memory where another thread may unmap it at any moment: through process_vm_readv, which fails instead of
// faulting, in windows that are kept, so that neighbours come from the same copy. What cannot be read is left out. One thread at a time.
#pragma once
#include <sys/uio.h>

#include <cstdint>

#include "agent/capture/pages.h"
#include "agent/capture/stack_region.h"

namespace tailback::engine {

class MemoryReader {
 public:
  static constexpr std::uint64_t kWindowBytes = capture::kPageBytes, kWindows = 1024, kPieceBytes = 64 * 1024;

  bool init() {
    memory_ = static_cast<Memory*>(capture::map_own_pages(sizeof(Memory)));
    pid_ = capture::sys::getpid();
    return memory_ != nullptr;
  }
  void release() {
    capture::unmap_pages(memory_, sizeof(Memory));
    memory_ = nullptr;
    direct_ = false;
  }
  // Words are read where they lie: while nobody can take pages away. For addresses in memory that can be read.
  void read_directly() { direct_ = true; }
  // What was read before is out of date.
  void forget() {
    for (auto& window : memory_->window_at) window = 0;
  }

  // Up to kPieceBytes from `at` on: the bytes before the first that cannot be read, and where they lie until the next call of piece().
  std::uint64_t piece(std::uint64_t at, std::uint64_t bytes, const unsigned char*& where) {
    where = memory_->piece;
    return copy(at, bytes < kPieceBytes ? bytes : kPieceBytes, memory_->piece);
  }

  // Of the page around `at`: its content, until other pages take the window's place; nullptr: it cannot be read.
  const unsigned char* page(std::uint64_t at) {
    const std::uint64_t page = at / kWindowBytes * kWindowBytes, slot = page / kWindowBytes % kWindows;
    unsigned char* window = memory_->windows[slot];
    if (memory_->window_at[slot] == page) return window;
    memory_->window_at[slot] = 0;
    if (copy(page, kWindowBytes, window) != kWindowBytes) return nullptr;
    memory_->window_at[slot] = page;
    return window;
  }

  // A word whose address is a multiple of 8.
  bool word(std::uint64_t at, std::uint64_t& value) {
    if (direct_) return value = capture::load_word(at), true;
    const unsigned char* window = page(at);
    if (window) __builtin_memcpy(&value, window + at % kWindowBytes, sizeof value);
    return window != nullptr;
  }

 private:
  std::uint64_t copy(std::uint64_t at, std::uint64_t bytes, unsigned char* into) const {
    const iovec local{into, bytes};
    iovec remote[kPieceBytes / capture::kPageBytes + 1];  // one for each page: the kernel copies whole pieces up to the first unreadable one
    unsigned pieces = 0;
    for (std::uint64_t done = 0; done < bytes; ++pieces) {
      const std::uint64_t to_page_end = capture::kPageBytes - (at + done) % capture::kPageBytes;
      const std::uint64_t size = to_page_end < bytes - done ? to_page_end : bytes - done;
      remote[pieces] = iovec{reinterpret_cast<void*>(at + done), size};
      done += size;
    }
    const long got = capture::sys::process_vm_readv(pid_, &local, 1, remote, pieces);
    return got > 0 ? static_cast<std::uint64_t>(got) : 0;
  }

  struct Memory {
    std::uint64_t window_at[kWindows];
    alignas(64) unsigned char windows[kWindows][kWindowBytes];
    alignas(64) unsigned char piece[kPieceBytes];
  };
  Memory* memory_ = nullptr;
  long pid_ = 0;
  bool direct_ = false;
};

}  // namespace tailback::engine
