// SPDX-License-Identifier: Apache-2.0
// Functions and files of a recording as small ids with their texts. Ids are never taken back; references to texts stay
// valid as long as the table. Threading: all members may be called from several threads.
#pragma once
#include <deque>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

struct FunctionNames {
  std::string simple, full, linkage;
  ModuleId module = 0;
  bool resolved = true;
};

class NameTable {
 public:
  NameTable();

  // By its name in the symbol table or debug data; demangled and simplified here. Linkage names that demangle to the same
  // text (constructor variants) are one function.
  FunctionId function(ModuleId module, const std::string& linkage);
  // By a name that is final: placeholders, JIT code, frames resolved at recording time.
  FunctionId literal(ModuleId module, const std::string& name, const std::string& simple, bool resolved);
  std::uint32_t file(const std::string& path);

  const FunctionNames& function_names(FunctionId id) const;
  const std::string& file_name(std::uint32_t id) const;
  std::size_t function_count() const;

 private:
  FunctionId insert(FunctionNames names);

  mutable std::shared_mutex mutex_;
  std::deque<FunctionNames> functions_;  // [0]: unknown
  std::deque<std::string> files_;        // [0]: none
  std::unordered_map<std::string, FunctionId> by_linkage_, by_name_;  // keys carry the module id
  std::unordered_map<std::string_view, std::uint32_t> by_file_;
};

}  // namespace tailback::analyzers
