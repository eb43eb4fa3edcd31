// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/stretches.h"

#include "agent/capture/pages.h"

namespace tailback::engine {

using capture::Sample;
using capture::StackId;

namespace {
constexpr std::uint64_t kWorthTellingNs = 20'000'000;
constexpr std::uint32_t kFewestSamples = 3;
constexpr std::uint64_t kLongestGapNs = 60'000'000;  // beyond the CPU time of a sample: the thread was not in the middle of it, or is not known to be
constexpr std::uint64_t kRecordsAtOnce = 400, kRecordsEachSecond = 20;
}  // namespace

bool Stretches::init(const capture::StackTable& stacks, StackWriter& writer, DumpFile& dump) {
  stacks_ = &stacks;
  writer_ = &writer;
  dump_ = &dump;
  threads_ = static_cast<Thread*>(capture::map_own_pages(kSlots * sizeof(Thread)));
  return threads_ != nullptr;
}

void Stretches::begin() {
  for (std::uint32_t slot = 0; slot < used_; ++slot) threads_[slot] = {};
  used_ = 0;
  written_ = 0;
}

std::uint32_t Stretches::depth_of(StackId stack) const {
  std::uint32_t depth = 0;
  for (const capture::StackNode* node; stack && (node = stacks_->node(stack)); stack = node->parent) ++depth;
  return depth;
}

StackId Stretches::ancestor(StackId stack, std::uint32_t depth, std::uint32_t wanted) const {
  for (const capture::StackNode* node; depth > wanted && (node = stacks_->node(stack)); --depth) stack = node->parent;
  return stack;
}

std::uint32_t Stretches::common_depth(const Thread& thread, StackId stack, std::uint32_t depth) const {
  std::uint32_t common = depth < thread.last_depth ? depth : thread.last_depth;
  StackId a = ancestor(thread.last_stack, thread.last_depth, common), b = ancestor(stack, depth, common);
  for (; a != b && common; --common) a = ancestor(a, common, common - 1), b = ancestor(b, common, common - 1);
  return common;
}

void Stretches::sample(std::uint32_t slot, std::uint64_t thread, const Sample& sample) {
  if (slot >= kSlots || sample.stack == 0) return;
  if (slot >= used_) used_ = slot + 1;
  Thread& own = threads_[slot];
  if (own.id != thread) own = {}, own.id = thread;
  const std::uint32_t depth = depth_of(sample.stack);
  const bool waited = sample.flags & capture::kSampleAfterWait;
  const bool goes_on = !waited && sample.t - own.last_t <= sample.weight_ns + kLongestGapNs;
  close_below(own, own.count && goes_on ? common_depth(own, sample.stack, depth) : 0, waited);
  const std::uint32_t known = own.count ? own.levels[own.count - 1].depth : 0;
  // When within the time of a sample something began or ended nobody knows: half of it each.
  if (depth > known && own.count < kLevels)
    own.levels[own.count++] = {depth, own.samples, sample.t > sample.weight_ns / 2 ? sample.t - sample.weight_ns / 2 : 0, own.weight_ns};
  own.last_stack = sample.stack;
  own.last_depth = depth;
  own.last_t = sample.t;
  own.last_weight_ns = sample.weight_ns;
  own.weight_ns += sample.weight_ns;
  ++own.samples;
}

void Stretches::end(std::uint32_t slot, std::uint64_t thread) {
  if (slot >= used_ || threads_[slot].id != thread) return;
  close_below(threads_[slot], 0, false);
  threads_[slot] = {};
}

void Stretches::end_all() {
  for (std::uint32_t slot = 0; slot < used_; ++slot) close_below(threads_[slot], 0, false);
}

// What lies deeper is over with the last sample.
void Stretches::close_below(Thread& thread, std::uint32_t depth, bool waited) {
  while (thread.count && thread.levels[thread.count - 1].depth > depth) {
    Level& level = thread.levels[thread.count - 1];
    const std::uint32_t before = thread.count > 1 ? thread.levels[thread.count - 2].depth : 0;
    write(thread, level, (before > depth ? before : depth) + 1, waited);
    level.depth = depth;
    if (before >= depth) --thread.count;
  }
}

void Stretches::write(const Thread& thread, const Level& level, std::uint32_t outermost, bool waited) {
  const std::uint64_t end = thread.last_t + thread.last_weight_ns / 2;
  if (thread.samples - level.samples < kFewestSamples || end < level.begin + kWorthTellingNs || !may_write(end)) return;
  trace::BusyStretch record;
  record.thread = thread.id;
  record.begin = level.begin;
  record.end = end;
  const StackId stack = ancestor(thread.last_stack, thread.last_depth, level.depth);
  record.stack = stack;
  record.outermost = ancestor(stack, level.depth, outermost);
  record.last_stack = thread.last_stack;
  record.samples = thread.samples - level.samples;
  record.weight_ns = thread.weight_ns - level.weight_ns;
  record.then_waited = waited;
  writer_->write(thread.last_stack);  // and with it all that it is called from
  if (dump_->append(record)) ++written_;
}

bool Stretches::may_write(std::uint64_t now_ns) { return written_ < kRecordsAtOnce + now_ns / 1'000'000'000 * kRecordsEachSecond; }

}  // namespace tailback::engine
