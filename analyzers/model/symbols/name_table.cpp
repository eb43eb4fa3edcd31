// SPDX-License-Identifier: Apache-2.0
// Interning of function and file names.
#include "analyzers/model/symbols/name_table.h"

#include <mutex>

namespace tailback::analyzers {
namespace {

std::string key(ModuleId module, const std::string& name) { return std::to_string(module) + ' ' + name; }

}  // namespace

NameTable::NameTable() : functions_{{"[unknown]", "[unknown]", "[unknown]", 0, false}}, files_{""} { by_file_.emplace("", 0); }

FunctionId NameTable::function(ModuleId module, const std::string& linkage) {
  const std::string linkage_key = key(module, linkage);
  {
    std::shared_lock lock(mutex_);
    if (const auto found = by_linkage_.find(linkage_key); found != by_linkage_.end()) return found->second;
  }
  std::string full = demangle(linkage);
  std::string simple = simplify_name(full);
  std::unique_lock lock(mutex_);
  const FunctionId id = insert({std::move(simple), std::move(full), linkage, module, true});
  by_linkage_.emplace(linkage_key, id);
  return id;
}

FunctionId NameTable::literal(ModuleId module, const std::string& name, const std::string& simple, bool resolved) {
  std::unique_lock lock(mutex_);
  return insert({simple, name, name, module, resolved});
}

FunctionId NameTable::insert(FunctionNames names) {
  const auto [place, added] = by_name_.emplace(key(names.module, names.full), static_cast<FunctionId>(functions_.size()));
  if (added) functions_.push_back(std::move(names));
  return place->second;
}

std::uint32_t NameTable::file(const std::string& path) {
  std::unique_lock lock(mutex_);
  if (const auto found = by_file_.find(path); found != by_file_.end()) return found->second;
  const std::string& stored = files_.emplace_back(path);
  const auto id = static_cast<std::uint32_t>(files_.size() - 1);
  by_file_.emplace(stored, id);
  return id;
}

const FunctionNames& NameTable::function_names(FunctionId id) const {
  std::shared_lock lock(mutex_);
  return functions_[id < functions_.size() ? id : 0];
}

const std::string& NameTable::file_name(std::uint32_t id) const {
  std::shared_lock lock(mutex_);
  return files_[id < files_.size() ? id : 0];
}

std::size_t NameTable::function_count() const {
  std::shared_lock lock(mutex_);
  return functions_.size() - 1;
}

}  // namespace tailback::analyzers
