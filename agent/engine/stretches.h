// SPDX-License-Identifier: Apache-2.0
// How long threads stay inside one call: consecutive samples of a thread that waited for no work in between, and the part of the stack
// that they have in common. A call that kept its thread for 20 ms or more is written as one record (busy_stretch), at most twenty a
// second, so that the lengths of collections and other pauses are known over the whole run, not only in detail windows. Under the
// drain lock; signal-safe; fixed memory; a walk up two stacks for each sample.
#pragma once
#include "agent/capture/ring.h"
#include "agent/capture/stacks.h"
#include "agent/engine/dump_file.h"
#include "agent/engine/stack_writer.h"

namespace tailback::engine {

class Stretches {
 public:
  bool init(const capture::StackTable& stacks, StackWriter& writer, DumpFile& dump);
  void begin();  // of a recording
  // The next sample of the thread that uses `slot`; in the order of time.
  void sample(std::uint32_t slot, std::uint64_t thread, const capture::Sample& sample);
  // The thread of the slot has ended.
  void end(std::uint32_t slot, std::uint64_t thread);
  // The recording ends: what threads are in the middle of.
  void end_all();

 private:
  static constexpr std::uint32_t kSlots = 512;   // threads beyond are not followed
  static constexpr std::uint32_t kLevels = 16;   // calls inside one another that lasted differently long

  struct Level {
    std::uint32_t depth;        // of the innermost frame that lasts since then
    std::uint32_t samples;      // of the thread before it began
    std::uint64_t begin;
    std::uint64_t weight_ns;    // likewise
  };
  struct Thread {
    std::uint64_t id;
    capture::StackId last_stack;
    std::uint32_t last_depth, count, samples;
    std::uint64_t last_t, last_weight_ns, weight_ns;
    Level levels[kLevels];
  };

  std::uint32_t depth_of(capture::StackId stack) const;
  capture::StackId ancestor(capture::StackId stack, std::uint32_t depth, std::uint32_t wanted) const;
  std::uint32_t common_depth(const Thread& thread, capture::StackId stack, std::uint32_t depth) const;
  void close_below(Thread& thread, std::uint32_t depth, bool waited);
  void write(const Thread& thread, const Level& level, std::uint32_t outermost, bool waited);
  bool may_write(std::uint64_t now_ns);

  const capture::StackTable* stacks_ = nullptr;
  StackWriter* writer_ = nullptr;
  DumpFile* dump_ = nullptr;
  Thread* threads_ = nullptr;
  std::uint32_t used_ = 0;         // slots that were
  std::uint64_t written_ = 0;
};

}  // namespace tailback::engine
