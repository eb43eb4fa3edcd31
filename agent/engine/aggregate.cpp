// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/aggregate.h"

#include "agent/capture/pages.h"

namespace tailback::engine {

bool CpuAggregate::init() {
  entries_ = static_cast<Entry*>(capture::map_own_pages(kEntries * sizeof(Entry)));
  order_ = static_cast<std::uint32_t*>(capture::map_own_pages(kEntries * sizeof(std::uint32_t)));
  return entries_ && order_;
}

bool CpuAggregate::add(std::uint64_t thread, std::uint32_t stack, std::uint64_t lock, std::uint64_t weight_ns) {
  const std::uint64_t key = thread << 32 | stack;
  std::uint32_t slot = static_cast<std::uint32_t>((key ^ lock << 1) * 0x9e3779b97f4a7c15u >> 40) % kEntries;
  while (entries_[slot].key != 0 && (entries_[slot].key != key || entries_[slot].lock != lock)) slot = (slot + 1) % kEntries;
  Entry& entry = entries_[slot];
  if (entry.key == 0) {
    if (used_ >= kEntries / 4 * 3) return false;
    entry = {key, lock, 0, 0, 0};
    order_[used_++] = slot;
  }
  entry.weight_ns += weight_ns;
  ++entry.samples;
  return true;
}

void CpuAggregate::flush(DumpFile& dump, std::uint64_t begin_ns, std::uint64_t end_ns) {
  for (std::uint32_t i = 0; i < used_; ++i) {
    Entry& entry = entries_[order_[i]];
    trace::CpuAggregate record;
    record.end_ms = end_ns / 1'000'000;
    record.span_ms = (end_ns - begin_ns) / 1'000'000;
    record.thread = entry.key >> 32;
    record.stack = entry.key & 0xffffffffu;
    record.samples = entry.samples;
    record.weight_ns = entry.weight_ns;
    record.lock = entry.lock;
    dump.append(record);
    entry.key = 0;
  }
  used_ = 0;
}

}  // namespace tailback::engine
