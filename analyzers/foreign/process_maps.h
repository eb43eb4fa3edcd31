// SPDX-License-Identifier: Apache-2.0
// The memory map that gperftools and jemalloc append to their profiles: lines of /proc/self/maps. Gives each module its place, so that
// addresses can be resolved with the file, if it still is there.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "analyzers/foreign/recording_builder.h"

namespace tailback::analyzers::foreign {

class ProcessMaps {
 public:
  // False: not a line of a map.
  bool add(std::string_view line);
  // Makes modules of the mappings, one for each file at one place.
  void finish(RecordingBuilder& build);
  // After finish(): the module that holds the address, 0 none.
  ModuleId find(std::uint64_t address) const;
  bool empty() const { return mappings_.empty(); }
  // The file of the first mapping, which the kernel gives to the program.
  std::string program() const { return mappings_.empty() ? std::string() : mappings_.front().path; }

 private:
  struct Mapping {
    std::uint64_t start = 0, end = 0, offset = 0;
    std::string path;
    ModuleId module = 0;
  };
  std::vector<Mapping> mappings_;
};

}  // namespace tailback::analyzers::foreign
