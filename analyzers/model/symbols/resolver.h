// SPDX-License-Identifier: Apache-2.0
// The order of sources for one address of a recording, as symbols.h states it. Turns addresses into frames; caching and
// threads are symbols.cpp's. Threading: all members may be called from several threads.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "analyzers/model/symbols/module_symbols.h"
#include "analyzers/model/symbols/perf_map.h"

namespace tailback::analyzers {

class Resolver {
 public:
  Resolver(const Recording& recording, const SymbolOptions& options);

  // Never empty. `module` 0: JIT code.
  std::vector<SymbolFrame> resolve(ModuleId module, std::uint64_t address);
  // The module that holds an address; one still loaded before one that is gone; 0 none.
  ModuleId module_at(std::uint64_t address) const;
  std::string data_symbol(std::uint64_t address);
  // Frames for nodes that are no code.
  SymbolFrame marker(std::uint8_t kind);

  NameTable& names() { return names_; }
  // The module under which a module's functions are known: the first of those loaded from the same file.
  ModuleId canonical(ModuleId module) const;
  const std::string& module_name(ModuleId module) const;
  // Base names of modules whose file was used without a build id to compare.
  std::vector<std::string> unchecked_modules();
  ModuleSymbols* symbols_of(ModuleId module);
  // Whether addresses of the module can be found in its file.
  bool placed(ModuleId module) const;

 private:
  struct Loaded {
    const ModuleRow* row;
    std::string name;  // base name
    std::shared_ptr<ModuleSymbols> symbols;  // shared by all rows of the same file
  };
  using Key = std::pair<ModuleId, std::uint64_t>;
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return std::hash<std::uint64_t>()(key.second * 0x9e3779b97f4a7c15u + key.first); }
  };

  void index_records(const Recording& recording);
  std::vector<SymbolFrame> recorded_frames(ModuleId module, std::uint64_t address);
  FunctionId recorded_symbol(ModuleId module, std::uint64_t address);
  FunctionId placeholder(ModuleId module, std::uint64_t address);
  const PerfMap& perf_map();

  const Recording& recording_;
  DebugSearch search_;
  std::string perf_map_path_;
  std::uint64_t perf_map_not_before_ = 0;
  NameTable names_;
  std::unordered_map<ModuleId, Loaded> modules_;
  std::unordered_map<Key, std::vector<const FrameInfoRow*>, KeyHash> frame_infos_;  // by depth
  std::unordered_map<ModuleId, std::pair<FlatIntervals, std::vector<const SymbolRow*>>> symbol_rows_;
  std::unordered_map<ModuleId, FlatIntervals> code_ranges_;
  std::once_flag perf_map_read_;
  PerfMap perf_map_;
};

}  // namespace tailback::analyzers
