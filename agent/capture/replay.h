// SPDX-License-Identifier: Apache-2.0
// The previous walk of a thread, kept to be verified and taken over: states (pc, sp, bp) from the root inward, the stack
// words that led from each frame to its caller, and the stack tree's node at each depth. By induction equal words from an
// equal state on mean an equal rest. Reads only addresses inside the bounds that the walk was made in; writes only itself.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/cfi.h"
#include "agent/capture/stack_region.h"
#include "agent/capture/unwind.h"

namespace tailback::capture {

// A frame of the walk under way, innermost first. What the step to its caller read is kept by address.
struct ScratchFrame {
  static constexpr std::uint64_t kSigreturn = 1;  // flag in `special`

  std::uint64_t look;     // address to look up: the pc of an interrupted frame, the return address - 1 of a caller
  std::uint64_t sp, bp;
  std::uint64_t bp_at;    // where the caller's bp was read, 0: nowhere
  std::uint64_t special;  // another word that decided the caller's sp, 0: none
};

struct StackWord {
  std::uint64_t at, value;
};

// 32 frames with their words in 2 KiB, so that shallow stacks touch few pages.
struct ReplayBlock {
  static constexpr unsigned kFrames = 32;
  static constexpr unsigned kWords = 34;

  StackWord return_word[kFrames];  // the return address through which a frame was found (from the frame inside it)
  struct State {
    std::uint64_t look, sp;
  };
  State state[kFrames];
  std::uint64_t bp[kFrames];
  StackId node[kFrames];           // 0: the stack tree was too full for it
  StackWord word[kWords];          // other words, in the order of frames
  std::uint8_t word_end[kFrames];  // behind a frame's last word
};
static_assert(sizeof(ReplayBlock) <= 2048);

struct WalkCache {
  std::uint64_t generation, low, high;  // that the content is for
  std::uint32_t count;                  // frames, the outermost is 0
  std::uint32_t complete;
  std::uint32_t first_guess;            // 1 + the outermost guessed frame, 0: none
  alignas(16) unsigned char walker[256];  // the walk under way: a handler's stack may be small
  CfiWorkspace work;
  std::uint64_t general[17];            // registers of the last interrupted frame that was passed
  alignas(1024) ReplayBlock blocks[kMaxFrames / ReplayBlock::kFrames];
  ScratchFrame scratch[kMaxFrames];
  unsigned char copy[kCopyBytes];

  ReplayBlock& block(std::uint32_t frame) { return blocks[frame / ReplayBlock::kFrames]; }
  std::uint64_t sp(std::uint32_t frame) { return block(frame).state[frame % ReplayBlock::kFrames].sp; }
  std::uint64_t look(std::uint32_t frame) { return block(frame).state[frame % ReplayBlock::kFrames].look; }
  std::uint64_t bp(std::uint32_t frame) { return block(frame).bp[frame % ReplayBlock::kFrames]; }
  StackId node(std::uint32_t frame) { return block(frame).node[frame % ReplayBlock::kFrames]; }

  // Forgets what was kept when it is for another generation or other bounds.
  void prepare(std::uint64_t now, const StackBounds& bounds) {
    if (generation == now && low == bounds.low && high == bounds.high) [[likely]] return;
    count = 0;
    generation = now;
    low = bounds.low;
    high = bounds.high;
  }
};

// Whether `count` words are what they were.
__attribute__((no_sanitize("address"), no_sanitize("thread"))) inline bool unchanged(const StackWord* words, std::uint32_t count) {
  std::uint32_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const auto difference = (load_word(words[i].at) ^ words[i].value) | (load_word(words[i + 1].at) ^ words[i + 1].value) |
                            (load_word(words[i + 2].at) ^ words[i + 2].value) | (load_word(words[i + 3].at) ^ words[i + 3].value);
    if (difference) return false;
  }
  std::uint64_t difference = 0;
  for (; i < count; ++i) difference |= load_word(words[i].at) ^ words[i].value;
  return difference == 0;
}

// Compares all words of the frames outside `frame`. On a change `frame` becomes the innermost one that may still be equal.
inline bool verify_outward(const WalkCache& cache, std::uint32_t& frame) {
  for (std::uint32_t left = frame; left > 0;) {
    const auto& block = cache.blocks[(left - 1) / ReplayBlock::kFrames];
    const auto frames = (left - 1) % ReplayBlock::kFrames + 1;
    if (!unchanged(block.return_word, frames) || !unchanged(block.word, block.word_end[frames - 1])) {
      frame = left - 1;
      return false;
    }
    left -= frames;
  }
  return true;
}

// Appends frames behind `index` kept ones; they count from the end of its life on. After a frame for which there is no room
// nothing more is kept.
class ReplayWriter {
 public:
  ReplayWriter(WalkCache& cache, std::uint32_t index) : cache_(cache), index_(index) {
    const auto i = index % ReplayBlock::kFrames;
    words_ = i && index < kMaxFrames ? cache.block(index).word_end[i - 1] : 0;
    cache.count = index;
    std::atomic_signal_fence(std::memory_order_release);  // a handler may leave the walk for good at any moment
  }
  ~ReplayWriter() {
    std::atomic_signal_fence(std::memory_order_release);
    cache_.count = index_;
  }
  ReplayWriter(const ReplayWriter&) = delete;
  ReplayWriter& operator=(const ReplayWriter&) = delete;

  // A frame's state, and how the frame inside it led to it (`inner`, null for the innermost).
  void put(const ScratchFrame& frame, const ScratchFrame* inner, StackId node) {
    if (full_ || index_ >= kMaxFrames) return;
    auto& block = cache_.block(index_);
    const auto i = index_ % ReplayBlock::kFrames;
    if (i == 0) words_ = 0;
    block.state[i] = ReplayBlock::State{frame.look, frame.sp};
    block.bp[i] = frame.bp;
    block.node[i] = node;
    if (inner) {
      full_ = words_ + 2 > ReplayBlock::kWords;
      if (full_) return;
      block.return_word[i] = StackWord{frame.sp - 8, frame.look + 1};
      if (inner->bp_at) block.word[words_++] = StackWord{inner->bp_at, frame.bp};
      if (inner->special) [[unlikely]] put_special(block, i, frame, *inner);
    }
    block.word_end[i] = static_cast<std::uint8_t>(words_);
    ++index_;
  }

 private:
  void put_special(ReplayBlock& block, unsigned i, const ScratchFrame& frame, const ScratchFrame& inner) {
    const auto at = inner.special & ~ScratchFrame::kSigreturn;
    if (inner.special & ScratchFrame::kSigreturn) block.return_word[i] = StackWord{at + 8, frame.look};
    block.word[words_++] = StackWord{at, load_word(at)};
  }

  WalkCache& cache_;
  std::uint32_t index_;
  unsigned words_;
  bool full_ = false;
};

}  // namespace tailback::capture
