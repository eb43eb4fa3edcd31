// SPDX-License-Identifier: Apache-2.0
// Unwind ranges of the recording, bytes of the module's file, checked against the recorded build id before one is used.
#include "analyzers/model/program_code.h"

#include <elf.h>

#include <algorithm>

#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {
namespace {

constexpr std::uint64_t kLargestFunction = 1 << 20;

const ModuleRow* find_module(const Recording& recording, ModuleId id) {
  const auto row = std::find_if(recording.modules.begin(), recording.modules.end(), [&](const ModuleRow& m) { return m.id == id; });
  return row == recording.modules.end() ? nullptr : &*row;
}

const CodeRangeRow* find_range(const Recording& recording, const NodeRow& node) {
  const auto& ranges = recording.code_ranges;
  auto range = std::upper_bound(ranges.begin(), ranges.end(), node, [](const NodeRow& n, const CodeRangeRow& r) {
    return n.module != r.module ? n.module < r.module : n.address < r.start;
  });
  if (range == ranges.begin()) return nullptr;
  --range;
  const bool inside = range->module == node.module && node.address - range->start < range->size && range->size <= kLargestFunction;
  return inside ? &*range : nullptr;
}

}  // namespace

ProgramCode::ProgramCode(const Recording& recording) : recording_(recording) {}
ProgramCode::~ProgramCode() = default;

const ElfFile* ProgramCode::file_of(const ModuleRow& module) {
  auto [entry, fresh] = files_.try_emplace(module.id);
  if (!fresh) return entry->second.get();
  auto file = ElfFile::open(module.path);
  if (file && file->build_id() == module.build_id && file->machine() == EM_X86_64) entry->second = std::move(file);
  return entry->second.get();
}

const ProgramCode::Function* ProgramCode::function_at(StackId node) {
  if (node >= recording_.nodes.size() || recording_.nodes[node].module == 0) return nullptr;
  const CodeRangeRow* range = find_range(recording_, recording_.nodes[node]);
  const ModuleRow* module = range ? find_module(recording_, range->module) : nullptr;
  if (!module) return nullptr;
  auto [entry, fresh] = functions_.try_emplace({module->id, range->start});
  Function& function = entry->second;
  if (fresh) {
    function.start = range->start;
    const ElfFile* file = file_of(*module);
    if (file) function.bytes = file->bytes_at(range->start - module->bias, range->size);
  }
  return function.bytes.empty() ? nullptr : &function;
}

}  // namespace tailback::analyzers
