// SPDX-License-Identifier: Apache-2.0
// What hooks of allocation functions do before and after the original. The agent is not "inside" while the original runs: whatever that
// calls, and whatever handler interrupts it, is the program's.
//
//   AllocationCall call(bytes, TAILBACK_CALLER);                   FreeCall call(block);
//   return call.done(TAILBACK_REAL(malloc)(bytes));                TAILBACK_REAL(free)(block);
//                                                                  call.done();
#pragma once
#include <cstddef>

#include "agent/capture/allocations.h"

// Registers of whoever called this function, as they are when it returns: walks begin there and not in frames of ours. The function
// has a frame pointer then: its frame holds the caller's, and the return address above it.
#define TAILBACK_CALLER ::tailback::preload::caller_of(__builtin_frame_address(0))

namespace tailback::preload {

inline capture::Registers caller_of(void* frame) {
  const auto* words = static_cast<const std::uint64_t*>(frame);
  return {words[1], reinterpret_cast<std::uint64_t>(words + 2), words[0], nullptr};
}

class AllocationCall {
 public:
  // Of a call that did not pass unseen, or was never asked (rare functions): it is asked then.
  AllocationCall(std::uint64_t bytes, const capture::Registers& caller);
  void* done(void* block);

 private:
  friend class ReallocationCall;
  void* done(void* block, bool reallocated, std::uint64_t moved_bytes);

  std::uint64_t bytes_;
  capture::Registers caller_;
  std::uint64_t begin_ = 0;                 // of a sample
  capture::ThreadBlock* thread_ = nullptr;  // nullptr: not looked at
};

class FreeCall {
 public:
  explicit FreeCall(void* block);
  void done();

 private:
  capture::Allocations::Freed known_{};
  std::uint64_t begin_ = 0;
};

class ReallocationCall {
 public:
  ReallocationCall(void* block, std::uint64_t bytes, const capture::Registers& caller);
  void* done(void* block);

 private:
  void* old_;
  std::uint64_t old_bytes_ = 0;  // 0: not asked
  capture::Allocations::Freed known_{};
  AllocationCall call_;
};

}  // namespace tailback::preload
