// SPDX-License-Identifier: Apache-2.0
// frame_info records, the module's files, symbol records, perf maps, placeholders.
#include "analyzers/model/symbols/resolver.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

namespace tailback::analyzers {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::size_t kMostDepth = 1024;

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool recorded_here(const Recording& recording) {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && recording.session.hostname == std::string_view(name);
}

// Seconds since 1970 at which the process began, a second early because file times are coarse.
std::uint64_t process_start(const trace::Session& session) {
  std::uint64_t start = session.started_realtime_ns;
  const std::uint64_t before = session.started_mono_ns;
  if (session.process_started_mono_ns != 0 && session.process_started_mono_ns < before)
    start -= std::min(start, before - session.process_started_mono_ns);
  return start / kSecond - std::min<std::uint64_t>(start / kSecond, 1);
}

// A frame that was recorded without a name: "module+0x...".
bool is_placeholder(const std::string& function) {
  const std::size_t plus = function.rfind("+0x");
  return plus != std::string::npos && plus + 3 < function.size() &&
         function.find_first_not_of("0123456789abcdef", plus + 3) == std::string::npos;
}

}  // namespace

Resolver::Resolver(const Recording& recording, const SymbolOptions& options) : recording_(recording) {
  search_.directories = options.debug_directories;
  search_.directories.emplace_back("/usr/lib/debug");
  search_.use_debuginfod = options.use_debuginfod;
  search_.debug_data = options.debug_data;
  if (recorded_here(recording)) perf_map_path_ = fmt::format("{}/perf-{}.map", options.perf_map_directory, recording.session.pid);
  perf_map_not_before_ = process_start(recording.session);
  std::unordered_map<std::string, std::shared_ptr<ModuleSymbols>> by_file;
  for (const ModuleRow& row : recording.modules) {
    auto& symbols = by_file[row.path + '\n' + row.build_id];
    if (!symbols) symbols = std::make_shared<ModuleSymbols>(row, search_, names_);
    modules_.emplace(row.id, Loaded{&row, base_name(row.path), symbols});
  }
  index_records(recording);
}

void Resolver::index_records(const Recording& recording) {
  for (const FrameInfoRow& row : recording.frame_infos) {
    auto& frames = frame_infos_[{row.module, row.address}];
    if (row.depth >= kMostDepth) continue;
    if (frames.size() <= row.depth) frames.resize(row.depth + 1);
    frames[row.depth] = &row;
  }
  for (const SymbolRow& row : recording.symbols) {
    auto& [intervals, rows] = symbol_rows_[row.module];
    const auto place = static_cast<std::uint32_t>(rows.size());
    const std::uint64_t size = std::max<std::uint64_t>(row.size, 1);
    if (size > UINT64_MAX - row.start) continue;
    intervals.add(row.start, row.start + size, place, place);
    rows.push_back(&row);
  }
  for (std::size_t i = 0; i < recording.code_ranges.size(); ++i) {
    const CodeRangeRow& row = recording.code_ranges[i];
    if (row.size > UINT64_MAX - row.start) continue;
    code_ranges_[row.module].add(row.start, row.start + row.size, 0, static_cast<std::uint32_t>(i));
  }
  for (auto& [module, symbols] : symbol_rows_) symbols.first.build();
  for (auto& [module, ranges] : code_ranges_) ranges.build();
}

ModuleId Resolver::canonical(ModuleId module) const {
  const auto found = modules_.find(module);
  return found == modules_.end() ? 0 : found->second.symbols->id();
}

const std::string& Resolver::module_name(ModuleId module) const {
  static const std::string kNone;
  const auto found = modules_.find(module);
  return found == modules_.end() ? kNone : found->second.name;
}

std::vector<std::string> Resolver::unchecked_modules() {
  std::set<std::string> names;
  for (const auto& [id, loaded] : modules_)
    if (loaded.symbols->used_unchecked()) names.insert(loaded.name);
  return {names.begin(), names.end()};
}

ModuleSymbols* Resolver::symbols_of(ModuleId module) {
  const auto found = modules_.find(module);
  return found == modules_.end() ? nullptr : found->second.symbols.get();
}

bool Resolver::placed(ModuleId module) const {
  const auto found = modules_.find(module);
  return found != modules_.end() && found->second.row->placed;
}

ModuleId Resolver::module_at(std::uint64_t address) const {
  const ModuleRow* best = nullptr;
  for (const ModuleRow& row : recording_.modules) {
    if (address < row.start || address >= row.end) continue;
    if (!best || best->unloaded_ns || !row.unloaded_ns) best = &row;
  }
  return best ? best->id : 0;
}

std::vector<SymbolFrame> Resolver::recorded_frames(ModuleId module, std::uint64_t address) {
  const auto found = frame_infos_.find({module, address});
  std::vector<SymbolFrame> frames;
  if (found == frame_infos_.end()) return frames;
  for (const FrameInfoRow* row : found->second) {
    if (!row || row->function.empty()) continue;
    const bool named = !is_placeholder(row->function);
    const std::string simple = named && module ? simplify_name(row->function) : row->function;
    frames.push_back({names_.literal(canonical(module), row->function, simple, named), names_.file(row->file), row->line, true});
  }
  if (!frames.empty()) frames.back().inlined = false;
  return frames;
}

FunctionId Resolver::recorded_symbol(ModuleId module, std::uint64_t address) {
  const auto found = symbol_rows_.find(module);
  if (found == symbol_rows_.end()) return 0;
  const std::uint32_t place = found->second.first.find(address);
  if (place == FlatIntervals::kNone) return 0;
  const std::string& name = found->second.second[place]->name;
  return module ? names_.function(canonical(module), name) : names_.literal(0, name, name, true);
}

const PerfMap& Resolver::perf_map() {
  std::call_once(perf_map_read_, [this] {
    if (!perf_map_path_.empty()) perf_map_ = PerfMap::read(perf_map_path_, perf_map_not_before_);
  });
  return perf_map_;
}

// The unwind range stands for the function; without one the address itself, in JIT code the whole mapping.
FunctionId Resolver::placeholder(ModuleId module, std::uint64_t address) {
  const auto ranges = code_ranges_.find(module);
  const std::uint32_t place = ranges == code_ranges_.end() ? FlatIntervals::kNone : ranges->second.find(address);
  const auto loaded = modules_.find(module);
  std::uint64_t start = place == FlatIntervals::kNone ? address : recording_.code_ranges[place].start;
  std::string owner;
  if (loaded != modules_.end()) {
    const std::uint64_t bias = loaded->second.row->bias;
    owner = module_name(module);
    if (place == FlatIntervals::kNone && placed(module))
      if (const auto range = loaded->second.symbols->unwind_range(address - bias)) start = range->start + bias;
    start -= bias;
  } else {
    owner = "[anonymous code]";
    for (const MappingRow& mapping : recording_.mappings) {
      if (address < mapping.start || address >= mapping.end) continue;
      if (!mapping.name.empty()) owner = base_name(mapping.name);
      if (place == FlatIntervals::kNone) start = mapping.start;
    }
  }
  const std::string name = fmt::format("{}+0x{:x}", owner, start);
  return names_.literal(canonical(module), name, name, false);
}

std::vector<SymbolFrame> Resolver::resolve(ModuleId module, std::uint64_t address) {
  std::vector<SymbolFrame> frames = recorded_frames(module, address);
  if (!frames.empty() && names_.function_names(frames.back().function).resolved) return frames;
  const auto loaded = modules_.find(module);
  if (placed(module)) frames = loaded->second.symbols->resolve(address - loaded->second.row->bias);
  if (frames.empty()) frames.push_back({});
  FunctionId& outermost = frames.back().function;
  if (outermost == 0) outermost = recorded_symbol(module, address);
  if (outermost == 0 && loaded == modules_.end()) {
    if (const std::string& name = perf_map().name(address); !name.empty()) outermost = names_.literal(0, name, name, true);
  }
  if (outermost == 0) outermost = placeholder(module, address);
  return frames;
}

std::string Resolver::data_symbol(std::uint64_t address) {
  const ModuleId module = module_at(address);
  const auto loaded = modules_.find(module);
  std::string name;
  if (loaded != modules_.end()) name = loaded->second.symbols->data_symbol(address - loaded->second.row->bias);
  if (const auto found = symbol_rows_.find(module); name.empty() && found != symbol_rows_.end()) {
    const std::uint32_t place = found->second.first.find(address);
    if (place != FlatIntervals::kNone) name = found->second.second[place]->name;
  }
  return demangle(name);
}

SymbolFrame Resolver::marker(std::uint8_t kind) {
  const char* text = kind == 1 ? "[frames beyond are unknown]" : kind == 3 ? "[frames folded]" : "[unknown]";
  return {names_.literal(0, text, text, true), 0, 0, false};
}

}  // namespace tailback::analyzers
