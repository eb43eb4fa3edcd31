// SPDX-License-Identifier: Apache-2.0
// The public face of symbolisation: caches what Resolver finds, by node and by address, and spreads bulk work over threads.
// A cached result never moves, so spans stay valid and reading a node that is known takes no lock.
#include "analyzers/model/symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include "analyzers/model/symbols/resolver.h"
#include "analyzers/model/symbols/symbol_notes.h"

namespace tailback::analyzers {
namespace {

using FrameList = std::vector<SymbolFrame>;

struct Place {
  ModuleId module = 0;
  std::uint64_t address = 0;
  bool operator==(const Place&) const = default;
  auto operator<=>(const Place&) const = default;
};

struct PlaceHash {
  std::size_t operator()(const Place& place) const {
    return std::hash<std::uint64_t>()((place.address + place.module) * 0x9e3779b97f4a7c15u >> 7);
  }
};

}  // namespace

struct Symbols::Impl {
  const Recording& recording;
  SymbolOptions options;
  mutable Resolver resolver;
  mutable std::vector<std::atomic<const FrameList*>> by_node;
  mutable std::shared_mutex mutex;
  mutable std::unordered_map<Place, FrameList, PlaceHash> by_place;  // nodes of a hash map stay where they are
  mutable std::map<std::uint8_t, FrameList> markers;

  Impl(const Recording& source, SymbolOptions chosen)
      : recording(source), options(std::move(chosen)), resolver(source, options), by_node(source.nodes.size()) {
    for (const std::uint8_t kind : {1, 2, 3}) markers[kind] = {resolver.marker(kind)};
  }

  const FrameList& at(const Place& place) const {
    {
      const std::shared_lock lock(mutex);
      if (const auto found = by_place.find(place); found != by_place.end()) return found->second;
    }
    FrameList frames = resolver.resolve(place.module, place.address);
    const std::unique_lock lock(mutex);
    return by_place.try_emplace(place, std::move(frames)).first->second;
  }

  const FrameList& of_node(StackId node) const {
    if (node == 0 || node >= by_node.size()) return markers.at(2);
    if (const FrameList* known = by_node[node].load(std::memory_order_acquire)) return *known;
    const NodeRow& row = recording.nodes[node];
    const FrameList& frames = row.kind == 0 ? at({row.module, row.address}) : markers.at(std::clamp<std::uint8_t>(row.kind, 1, 3));
    by_node[node].store(&frames, std::memory_order_release);
    return frames;
  }

  bool is_resolved(const FrameList& frames) const { return resolver.names().function_names(frames.back().function).resolved; }
  std::map<ModuleId, MissingSymbols> missing() const;
  void add_weights(std::map<ModuleId, MissingSymbols>& modules) const;
};

std::map<ModuleId, MissingSymbols> Symbols::Impl::missing() const {
  std::map<ModuleId, MissingSymbols> modules;
  const std::shared_lock lock(mutex);
  for (const auto& [place, frames] : by_place) {
    if (place.module == 0 || is_resolved(frames)) continue;
    ModuleSymbols* symbols = resolver.symbols_of(place.module);
    if (!symbols || !resolver.placed(place.module)) continue;
    MissingSymbols& entry = modules[symbols->id()];
    if (entry.addresses++ == 0) {
      entry.path = symbols->path();
      entry.build_id = symbols->build_id();
      entry.status = symbols->status();
    }
  }
  return modules;
}

void Symbols::Impl::add_weights(std::map<ModuleId, MissingSymbols>& modules) const {
  double total = 0;
  for (const CpuRow& row : recording.cpu) {
    total += static_cast<double>(row.weight_ns);
    if (row.stack == 0 || row.stack >= by_node.size()) continue;
    const FrameList* frames = by_node[row.stack].load(std::memory_order_acquire);
    if (!frames || is_resolved(*frames)) continue;
    const auto found = modules.find(resolver.canonical(recording.nodes[row.stack].module));
    if (found != modules.end()) found->second.weight_fraction += static_cast<double>(row.weight_ns);
  }
  for (auto& [id, entry] : modules) entry.weight_fraction = total > 0 ? entry.weight_fraction / total : 0;
}

Symbols::Symbols(const Recording& recording, SymbolOptions options)
    : impl_(std::make_unique<Impl>(recording, std::move(options))) {}
Symbols::~Symbols() = default;

std::span<const SymbolFrame> Symbols::frames(StackId node) const { return impl_->of_node(node); }

std::span<const SymbolFrame> Symbols::frames_at(std::uint64_t address) const {
  return impl_->at({impl_->resolver.module_at(address), address});
}

std::string Symbols::data_symbol(std::uint64_t address) const { return impl_->resolver.data_symbol(address); }

const std::string& Symbols::function_name(FunctionId id) const { return impl_->resolver.names().function_names(id).simple; }
const std::string& Symbols::full_name(FunctionId id) const { return impl_->resolver.names().function_names(id).full; }
const std::string& Symbols::linkage_name(FunctionId id) const { return impl_->resolver.names().function_names(id).linkage; }
ModuleId Symbols::module_of(FunctionId id) const { return impl_->resolver.names().function_names(id).module; }
const std::string& Symbols::module_name(FunctionId id) const { return impl_->resolver.module_name(module_of(id)); }
const std::string& Symbols::file_name(std::uint32_t file) const { return impl_->resolver.names().file_name(file); }
bool Symbols::resolved(FunctionId id) const { return impl_->resolver.names().function_names(id).resolved; }
std::size_t Symbols::function_count() const { return impl_->resolver.names().function_count(); }

Frame Symbols::frame(StackId node, const SymbolFrame& frame) const {
  Frame result;
  const FunctionNames& names = impl_->resolver.names().function_names(frame.function);
  result.function = names.simple;
  if (names.full != names.simple) result.full_name = names.full;
  result.file = file_name(frame.file);
  result.line = frame.line;
  result.inlined = frame.inlined;
  if (node < impl_->recording.nodes.size()) {
    result.address = impl_->recording.nodes[node].address;
    result.module = impl_->resolver.module_name(impl_->recording.nodes[node].module);
  }
  return result;
}

std::vector<Frame> Symbols::stack(StackId node) const {
  std::vector<Frame> frames_out;
  const auto& nodes = impl_->recording.nodes;
  // A parent has the smaller id; what breaks that rule would never end.
  for (StackId at = node, before = UINT32_MAX; at != 0 && at < nodes.size() && at < before; before = at, at = nodes[at].parent) {
    if (nodes[at].kind == 2) continue;
    for (const SymbolFrame& one : frames(at)) frames_out.push_back(frame(at, one));
  }
  return frames_out;
}

void Symbols::resolve_all(std::span<const StackId> wanted) const {
  std::map<ModuleId, std::vector<StackId>> by_module;
  const auto& nodes = impl_->recording.nodes;
  for (const StackId node : wanted)
    if (node < nodes.size() && nodes[node].kind == 0) by_module[impl_->resolver.canonical(nodes[node].module)].push_back(node);
  std::vector<std::vector<StackId>> work;
  for (auto& [module, list] : by_module) {
    // In order of address a unit's index is used up before the next one is built.
    std::sort(list.begin(), list.end(), [&](StackId a, StackId b) { return nodes[a].address < nodes[b].address; });
    work.push_back(std::move(list));
  }
  std::sort(work.begin(), work.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  std::atomic<std::size_t> next{0};
  const auto take = [&] {
    for (std::size_t i = 0; (i = next++) < work.size();)
      for (const StackId node : work[i]) impl_->of_node(node);
  };
  const std::size_t helpers = std::min<std::size_t>(work.size(), std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::jthread> threads;
  for (std::size_t i = 1; i < helpers; ++i) threads.emplace_back(take);
  take();
}

std::vector<std::string> Symbols::notes() const {
  auto missing = impl_->missing();
  impl_->add_weights(missing);
  std::vector<MissingSymbols> modules;
  for (auto& [id, entry] : missing) modules.push_back(std::move(entry));
  std::vector<std::string> notes = missing_symbol_notes(std::move(modules));
  std::vector<std::string> unchecked = impl_->resolver.unchecked_modules();
  for (const std::string& name : unchecked)
    notes.push_back(fmt::format("{}: the dump has no build id of it; the file now at its path was taken unchecked", name));
  return notes;
}

double Symbols::unresolved_fraction() const {
  const std::shared_lock lock(impl_->mutex);
  std::size_t unresolved = 0;
  for (const auto& [place, frames] : impl_->by_place) unresolved += impl_->is_resolved(frames) ? 0 : 1;
  return impl_->by_place.empty() ? 0 : static_cast<double>(unresolved) / static_cast<double>(impl_->by_place.size());
}

}  // namespace tailback::analyzers
