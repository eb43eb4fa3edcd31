// SPDX-License-Identifier: Apache-2.0
// Symbols of JIT code as runtimes write them to /tmp/perf-PID.map: lines "START SIZE name", hexadecimal without 0x. The folder
// is writable for everyone, so a file counts only when it is no link, belongs to the reader or to root, and was written since
// the process began. Format: Linux tools/perf/Documentation/jit-interface.txt.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "analyzers/model/symbols/intervals.h"

namespace tailback::analyzers {

class PerfMap {
 public:
  // Reads the file if it may be believed; else stays empty. `not_before`: seconds since 1970.
  static PerfMap read(const std::string& path, std::uint64_t not_before);
  // Later lines replace earlier ones where they overlap: runtimes reuse memory.
  static PerfMap parse(std::string_view text);

  // Name at an address; empty when none.
  const std::string& name(std::uint64_t address) const;
  std::size_t size() const { return names_.size(); }

 private:
  FlatIntervals intervals_;
  std::vector<std::string> names_;
};

}  // namespace tailback::analyzers
