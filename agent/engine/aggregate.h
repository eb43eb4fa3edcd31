// SPDX-License-Identifier: Apache-2.0
// Tier 1: CPU time of each (thread, stack, lock held) in the current interval, handed to the dump when the interval ends or the table
// fills. Fixed memory. Under the drain lock; signal-safe.
#pragma once
#include <cstdint>

#include "agent/engine/dump_file.h"

namespace tailback::engine {

class CpuAggregate {
 public:
  bool init();
  void after_fork() { used_ = 0; }
  // False: the table is full, flush first.
  bool add(std::uint64_t thread, std::uint32_t stack, std::uint64_t lock, std::uint64_t weight_ns);
  // Writes and empties; the interval is [begin_ns, end_ns) since the start.
  void flush(DumpFile& dump, std::uint64_t begin_ns, std::uint64_t end_ns);
  bool empty() const { return used_ == 0; }

 private:
  struct Entry {
    std::uint64_t key;  // thread << 32 | stack; 0 free
    std::uint64_t lock;
    std::uint64_t weight_ns;
    std::uint32_t samples;
    std::uint32_t reserved;
  };
  static constexpr std::uint32_t kEntries = 1 << 13;

  Entry* entries_ = nullptr;
  std::uint32_t* order_ = nullptr;  // used slots, so that flushing touches no others
  std::uint32_t used_ = 0;
};

}  // namespace tailback::engine
