// SPDX-License-Identifier: Apache-2.0
// Table of modules met by walkers. The loader is only asked through _dl_find_object, which takes no lock; everything else is
// read from the module's own mapping. Never waits for another thread, except begin_unload (bounded).
#include "agent/capture/code_map.h"

#include <dlfcn.h>
#include <link.h>
#include <time.h>

#include "agent/capture/mapped_elf.h"
#include "agent/capture/pages.h"

namespace tailback::capture {

struct LoadedModule {
  std::uint64_t start, end, bias, eh_frame_hdr;
  const char* name;
};

namespace {

bool ask_loader(std::uint64_t address, LoadedModule& module) {
  dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return false;
  module.start = reinterpret_cast<std::uint64_t>(found.dlfo_map_start);
  module.end = reinterpret_cast<std::uint64_t>(found.dlfo_map_end);
  module.bias = found.dlfo_link_map->l_addr;
  module.eh_frame_hdr = reinterpret_cast<std::uint64_t>(found.dlfo_eh_frame);
  module.name = found.dlfo_link_map->l_name;
  return address >= module.start && address < module.end;
}

std::uint32_t length(const char* text) {
  std::uint32_t bytes = 0;
  while (text[bytes]) ++bytes;
  return bytes;
}

bool equal(const char* left, const char* right) {
  while (*left && *left == *right) ++left, ++right;
  return *left == *right;
}

bool starts_with(const char* text, const char* prefix) {
  while (*prefix && *text == *prefix) ++text, ++prefix;
  return !*prefix;
}

bool same_build_id(const ModuleEntry& entry, const BuildId& id) {
  if (entry.build_id_bytes != id.size) return false;
  for (std::uint32_t i = 0; i < id.size; ++i)
    if (entry.build_id[i] != id.bytes[i]) return false;
  return true;
}

__attribute__((noinline)) void note_build_id(ModuleEntry& entry) {
  BuildId id;
  read_build_id(entry.start, entry.end, entry.bias, id);
  entry.build_id_bytes = id.size;
  for (std::uint32_t i = 0; i < id.size; ++i) entry.build_id[i] = id.bytes[i];
}

void pause_shortly() {
  timespec time{0, 50'000};
  sys::call(__NR_nanosleep, sys::arg(&time));
}

constexpr const char* kVdsoName = "[vdso]";

const char* shown_name(const LoadedModule& module, const char* executable_path) {
  if (!module.name || !*module.name) return executable_path ? executable_path : "";
  if (starts_with(module.name, "linux-vdso") || starts_with(module.name, "linux-gate")) return kVdsoName;
  return module.name;
}

}  // namespace

bool CodeMap::init(const char* executable_path) {
  executable_path_ = executable_path;
  entries_ = static_cast<ModuleEntry*>(map_own_pages(kMaxModules * sizeof(ModuleEntry)));
  names_ = static_cast<char*>(map_own_pages(kNameBytes));
  return entries_ && names_;
}

bool CodeMap::in_module(std::uint64_t address) {
  LoadedModule module;
  return ask_loader(address, module);
}

const ModuleEntry* CodeMap::find(std::uint64_t address) {
  if (unloading_.load(std::memory_order_acquire) != 0) return nullptr;
  const auto claimed = claimed_.load(std::memory_order_acquire);
  LoadedModule module;
  if (!entries_ || !ask_loader(address, module)) return nullptr;
  for (std::uint32_t i = 0; i < claimed; ++i) {
    const auto& entry = entries_[i];
    if (entry.ready.load(std::memory_order_acquire) && entry.start == module.start && entry.end == module.end &&
        !entry.unloaded.load(std::memory_order_acquire))
      return &entry;
  }
  return add(module);
}

__attribute__((noinline)) ModuleEntry* CodeMap::add(const LoadedModule& module) {
  auto index = claimed_.load(std::memory_order_relaxed);
  do {
    if (index == kMaxModules) return nullptr;
  } while (!claimed_.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel));
  auto& entry = entries_[index];
  entry.id = index + 1;
  entry.start = module.start;
  entry.end = module.end;
  entry.bias = module.bias;
  entry.eh_frame_hdr = module.eh_frame_hdr;
  entry.path = keep_name(shown_name(module, executable_path_));
  read_unwind_table(module.start, module.end, module.bias, module.eh_frame_hdr, entry.unwind);
  note_build_id(entry);
  entry.ready.store(1, std::memory_order_release);
  publish();
  return &entry;
}

const char* CodeMap::keep_name(const char* name) {
  const auto bytes = length(name) + 1;
  auto used = names_used_.load(std::memory_order_relaxed);
  do {
    if (bytes > kNameBytes - used) return "";
  } while (!names_used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  for (std::uint32_t i = 0; i < bytes; ++i) names_[used + i] = name[i];
  return names_ + used;
}

// Entries become visible in order: whoever finishes one also publishes those that finished behind it.
void CodeMap::publish() {
  auto count = count_.load(std::memory_order_acquire);
  while (count < claimed_.load(std::memory_order_acquire) && entries_[count].ready.load(std::memory_order_acquire))
    if (count_.compare_exchange_weak(count, count + 1, std::memory_order_acq_rel)) ++count;
}

std::uint32_t CodeMap::count() const { return count_.load(std::memory_order_acquire); }

const ModuleEntry& CodeMap::entry(std::uint32_t index) const { return entries_[index]; }

bool CodeMap::enter() {
  walkers_.fetch_add(1);
  if (unloading_.load() == 0) return true;
  leave();
  return false;
}

void CodeMap::leave() { walkers_.fetch_sub(1); }

void CodeMap::begin_unload() {
  unloading_.fetch_add(1);
  constexpr int kPatience = 2000;  // of 50 us; a walker is inside for about 1 us, unless its thread is stopped
  for (int i = 0; i < kPatience && (walkers_.load() != 0 || (unloading_.load() & kChecking)); ++i) pause_shortly();
}

void CodeMap::end_unload() {
  auto state = unloading_.load();
  std::uint32_t next;
  do {  // the last of several unloads looks; until then nothing can be looked up anyway
    next = state == 1 ? kChecking : state - 1;
  } while (!unloading_.compare_exchange_weak(state, next));
  if (next != kChecking) return;
  notice_unloaded();
  unloading_.fetch_and(~kChecking);
}

void CodeMap::notice_unloaded() {
  bool gone = false;
  for (std::uint32_t i = 0; i < count(); ++i) {
    auto& entry = entries_[i];
    if (entry.unloaded.load(std::memory_order_relaxed)) continue;
    LoadedModule module;
    bool same = ask_loader(entry.start, module) && module.start == entry.start && module.end == entry.end && module.bias == entry.bias &&
                module.eh_frame_hdr == entry.eh_frame_hdr;
    if (same) {  // another library may have come to the same place
      BuildId id;
      read_build_id(module.start, module.end, module.bias, id);
      same = same_build_id(entry, id) && (id.size || equal(entry.path, shown_name(module, executable_path_)));
    }
    if (same) continue;
    entry.unloaded.store(1, std::memory_order_release);
    gone = true;
  }
  if (gone) generation_.fetch_add(1, std::memory_order_acq_rel);
}

void CodeMap::after_fork() {
  claimed_.store(0);
  count_.store(0);
  names_used_.store(0);
  walkers_.store(0);
  unloading_.store(0);
}

std::uint64_t CodeMap::resident_bytes() const {
  return round_to_pages(claimed_.load(std::memory_order_relaxed) * sizeof(ModuleEntry)) + round_to_pages(names_used_.load(std::memory_order_relaxed));
}

}  // namespace tailback::capture
