// SPDX-License-Identifier: Apache-2.0
// The part of a stack that a walk may read: registered bounds read directly, or a copy of unknown memory made by
// process_vm_readv, which fails instead of faulting. Never reads the program's memory outside registered bounds itself.
#pragma once
#include <sys/uio.h>

#include <cstdint>

#include "agent/capture/pages.h"

namespace tailback::capture {

inline constexpr std::uint64_t kRedZone = 128;
inline constexpr std::uint64_t kCopyBytes = 16 * 1024;
inline constexpr unsigned kMaxCopies = 16;  // for one walk

// Reads of a stack see frames of all kinds of code: no sanitizer has an opinion on them.
__attribute__((no_sanitize("address"), no_sanitize("thread"))) inline std::uint64_t load_word(std::uint64_t at) {
  std::uint64_t word;
  __builtin_memcpy(&word, reinterpret_cast<const void*>(at), sizeof word);
  return word;
}

struct StackRegion {
  std::uint64_t low = 0, high = 0;  // readable, in the program's addresses; at least 8 bytes when not empty
  std::uint64_t delta = 0;          // where they lie: address + delta
  bool copied = false;

  bool holds(std::uint64_t at) const { return at >= low && at < high && high - at >= 8; }
  std::uint64_t word(std::uint64_t at) const { return load_word(at + delta); }

  // All of a registered stack from sp (and what the ABI lets leaf functions keep below it) upward.
  void set_registered(std::uint64_t bottom, std::uint64_t top, std::uint64_t sp) {
    low = sp - bottom > kRedZone ? sp - kRedZone : bottom;
    high = top;
    delta = 0;
    copied = false;
  }

  // Copies what is readable from `at` upward. False: nothing is.
  __attribute__((noinline)) bool set_copy(std::uint64_t at, unsigned char* buffer) {
    constexpr unsigned kPieces = kCopyBytes / kPageBytes + 1;
    iovec remote[kPieces];  // one for each page: the kernel copies whole pieces up to the first unreadable one
    unsigned pieces = 0;
    for (std::uint64_t done = 0; done < kCopyBytes && pieces < kPieces; ++pieces) {
      const auto from = at + done;
      const auto to_page_end = kPageBytes - from % kPageBytes;
      const auto bytes = to_page_end < kCopyBytes - done ? to_page_end : kCopyBytes - done;
      remote[pieces] = iovec{reinterpret_cast<void*>(from), bytes};
      done += bytes;
    }
    const iovec local{buffer, kCopyBytes};
    const auto got = sys::process_vm_readv(sys::getpid(), &local, 1, remote, pieces);
    if (sys::failed(got) || got < 8) return false;
    low = at;
    high = at + static_cast<std::uint64_t>(got);
    delta = reinterpret_cast<std::uint64_t>(buffer) - at;
    copied = true;
    return true;
  }
};

}  // namespace tailback::capture
