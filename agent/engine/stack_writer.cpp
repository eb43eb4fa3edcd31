// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/stack_writer.h"

#include "agent/capture/clock.h"
#include "agent/capture/pages.h"

namespace tailback::engine {

using capture::CodeMap;
using capture::ModuleEntry;
using capture::NodeKind;
using capture::StackId;
using capture::StackNode;

namespace {
constexpr std::uint32_t kRangeSlots = 1 << 16;  // beyond 3/4 of it ranges are written again, which readers accept

std::uint64_t* map_words(std::uint64_t count) { return static_cast<std::uint64_t*>(capture::map_own_pages(count * 8)); }
std::uint64_t bitmap_words(std::uint64_t bits) { return (bits + 63) / 64; }
void zero(std::uint64_t* words, std::uint64_t count) {
  if (words) capture::sys::madvise(words, capture::round_to_pages(count * 8), MADV_DONTNEED);
}
}  // namespace

bool StackWriter::init(CodeMap& code, capture::StackTable& stacks, capture::Unwinder& unwinder, DumpFile& dump, std::uint32_t max_nodes) {
  code_ = &code;
  stacks_ = &stacks;
  unwinder_ = &unwinder;
  dump_ = &dump;
  max_nodes_ = max_nodes;
  nodes_written_ = map_words(bitmap_words(max_nodes + 1));
  modules_written_ = map_words(bitmap_words(CodeMap::kMaxModules));
  unloads_written_ = map_words(bitmap_words(CodeMap::kMaxModules));
  ranges_ = map_words(kRangeSlots);
  return nodes_written_ && modules_written_ && unloads_written_ && ranges_;
}

void StackWriter::reset() {
  zero(nodes_written_, bitmap_words(max_nodes_ + 1));
  zero(modules_written_, bitmap_words(CodeMap::kMaxModules));
  zero(unloads_written_, bitmap_words(CodeMap::kMaxModules));
  zero(ranges_, kRangeSlots);
  ranges_used_ = 0;
}

bool StackWriter::first_time(std::uint64_t* bits, std::uint32_t index) {
  std::uint64_t& word = bits[index / 64];
  const std::uint64_t bit = std::uint64_t{1} << (index % 64);
  if (word & bit) return false;
  word |= bit;
  return true;
}

void StackWriter::write(StackId id) {
  std::uint32_t depth = 0;
  for (; id != 0 && id <= max_nodes_ && depth < sizeof path_ / sizeof path_[0]; ++depth) {
    if (nodes_written_[id / 64] >> (id % 64) & 1) break;
    const StackNode* node = stacks_->node(id);
    if (!node) break;
    path_[depth] = id;
    id = node->parent;
  }
  while (depth > 0) {
    const StackId next = path_[--depth];
    if (const StackNode* node = stacks_->node(next); node && first_time(nodes_written_, next)) write_node(next, *node);
  }
}

void StackWriter::write_node(StackId id, const StackNode& node) {
  if (node.kind == static_cast<std::uint32_t>(NodeKind::code)) write_code(node.address);
  dump_->append(trace::StackNode{id, node.parent, node.address, node.kind});
}

void StackWriter::write_code(std::uint64_t address) {
  if (address == 0) return;
  if (const ModuleEntry* module = module_of(address)) write_range(address, module->id);
  else unknown_code_ = true;
}

// The module that holds the address now, written first when it is new. The youngest entry wins: older ones at the same
// place are gone.
const ModuleEntry* StackWriter::module_of(std::uint64_t address) {
  const auto holds = [&](const ModuleEntry& entry) {
    return address >= entry.start && address < entry.end && entry.unloaded.load(std::memory_order_acquire) == 0;
  };
  const std::uint32_t count = code_->count();
  if (last_module_ >= count || !holds(code_->entry(last_module_))) {
    const ModuleEntry* found = code_->find(address);  // also registers it when no frame was seen in it yet
    const std::uint32_t known = code_->count();
    std::uint32_t index = known;
    while (index > 0 && !holds(code_->entry(index - 1))) --index;
    if (!found && index == 0) return nullptr;
    if (index == 0) return nullptr;
    last_module_ = index - 1;
  }
  const ModuleEntry& module = code_->entry(last_module_);
  if (first_time(modules_written_, last_module_)) write_module(module, last_module_);
  return &module;
}

void StackWriter::write_module(const ModuleEntry& module, std::uint32_t) {
  trace::Module record;
  record.id = module.id;
  record.start = module.start;
  record.end = module.end;
  record.bias = module.bias;
  record.path = module.path ? module.path : "";
  record.build_id = {reinterpret_cast<const char*>(module.build_id), module.build_id_bytes};
  dump_->append(record);
  if (record.path == "[vdso]") write_vdso_symbols(module.id);
}

void StackWriter::write_vdso_symbols(std::uint32_t module) {
  struct Context {
    DumpFile* dump;
    std::uint64_t module;
  } context{dump_, module};
  capture::for_each_vdso_symbol(
      [](void* to, std::uint64_t address, std::uint64_t size, const char* name) {
        const auto& target = *static_cast<Context*>(to);
        target.dump->append(trace::Symbol{target.module, address, size, name});
      },
      &context);
}

void StackWriter::write_range(std::uint64_t address, std::uint32_t module) {
  std::uint64_t start = 0, size = 0;
  if (!unwinder_->code_range(address, start, size)) return;
  std::uint32_t slot = static_cast<std::uint32_t>(start * 0x9e3779b97f4a7c15u >> 48) % kRangeSlots;
  for (; ranges_[slot] != 0; slot = (slot + 1) % kRangeSlots)
    if (ranges_[slot] == start) return;
  if (ranges_used_ < kRangeSlots / 4 * 3) {
    ranges_[slot] = start;
    ++ranges_used_;
  }
  dump_->append(trace::CodeRange{module, start, size});
}

void StackWriter::write_unloads(std::uint64_t now_ns) {
  const std::uint32_t count = code_->count();
  for (std::uint32_t i = 0; i < count; ++i) {
    const ModuleEntry& module = code_->entry(i);
    if (module.unloaded.load(std::memory_order_acquire) && (modules_written_[i / 64] >> (i % 64) & 1) && first_time(unloads_written_, i))
      dump_->append(trace::ModuleUnload{module.id, now_ns});
  }
}

bool StackWriter::take_unknown_code() {
  const bool seen = unknown_code_;
  unknown_code_ = false;
  return seen;
}

std::uint64_t StackWriter::resident_bytes() const {
  return bitmap_words(stacks_->count() + 1) * 8 + std::uint64_t{ranges_used_} * 8;
}

}  // namespace tailback::engine
