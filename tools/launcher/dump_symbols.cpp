// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/dump_symbols.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace tailback::tools {

namespace {

using namespace analyzers;

struct Seen {
  StackId node = 0;          // one of the nodes at the address
  std::uint64_t weight = 0;  // of all of them, callers included
};

using Place = std::pair<ModuleId, std::uint64_t>;

// CPU time of each node with everything it called; a parent has a smaller number than its children.
std::vector<std::uint64_t> total_weights(const Recording& recording) {
  std::vector<std::uint64_t> weights(recording.nodes.size(), 0);
  for (const CpuRow& row : recording.cpu)
    if (row.stack < weights.size()) weights[row.stack] += row.weight_ns;
  for (std::size_t id = weights.size(); id-- > 1;)
    if (recording.nodes[id].parent < id) weights[recording.nodes[id].parent] += weights[id];
  return weights;
}

std::vector<std::pair<Place, Seen>> places_by_weight(const Recording& recording) {
  const std::vector<std::uint64_t> weights = total_weights(recording);
  std::map<Place, Seen> places;
  for (std::size_t id = 1; id < recording.nodes.size(); ++id) {
    const NodeRow& node = recording.nodes[id];
    if (node.kind != 0 || node.address == 0) continue;
    Seen& seen = places[{node.module, node.address}];
    seen.node = static_cast<StackId>(id);
    seen.weight += weights[id];
  }
  std::vector<std::pair<Place, Seen>> sorted(places.begin(), places.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.weight > b.second.weight; });
  return sorted;
}

std::vector<StackId> nodes_of(const std::vector<std::pair<Place, Seen>>& places) {
  std::vector<StackId> nodes;
  for (const auto& [place, seen] : places) nodes.push_back(seen.node);
  return nodes;
}

void tell_left_out(DumpAppender& dump, const Recording& recording, std::uint64_t left_out) {
  if (left_out)
    dump.append(trace::Note{recording.duration_ns,
                            fmt::format("names of {} frames were left out of the dump; reading it elsewhere needs the same files",
                                        left_out)});
}

ModuleId module_at(const Recording& recording, std::uint64_t address) {
  const ModuleRow* found = nullptr;  // one that is still loaded goes before those that were there earlier
  for (const ModuleRow& module : recording.modules)
    if (address >= module.start && address < module.end && (!found || found->unloaded_ns || !module.unloaded_ns)) found = &module;
  return found ? found->id : 0;
}

class Writer {
 public:
  Writer(DumpAppender& dump, const Symbols& symbols, std::uint64_t most_bytes)
      : dump_(dump), symbols_(symbols), most_bytes_(most_bytes) {}

  void frames(const Place& place, std::span<const SymbolFrame> frames) {
    if (!written_.insert(place).second) return;
    std::uint64_t depth = 0;
    for (const SymbolFrame& frame : frames) {
      if (!symbols_.resolved(frame.function)) return;  // module+0x... follows from the code ranges
      trace::FrameInfo info{
          place.first, place.second, depth++, symbols_.full_name(frame.function), symbols_.file_name(frame.file), frame.line};
      add(info);
    }
  }
  void data(const Place& place, const std::string& name) {
    if (!name.empty()) add(trace::Symbol{place.first, place.second, sizeof(void*), name});
  }
  std::uint64_t left_out() const { return left_out_; }

 private:
  template <class Event>
  void add(const Event& event) {
    if (dump_.added_bytes() > most_bytes_ || !dump_.append(event)) ++left_out_;
  }

  DumpAppender& dump_;
  const Symbols& symbols_;
  std::uint64_t most_bytes_;
  std::set<Place> written_;
  std::uint64_t left_out_ = 0;
};

}  // namespace

void append_frames(DumpAppender& dump, const Recording& recording, const Symbols& symbols, std::uint64_t most_bytes) {
  const auto places = places_by_weight(recording);
  symbols.resolve_all(nodes_of(places));

  Writer writer(dump, symbols, most_bytes);
  const auto start_of_threads = [&](std::uint64_t routine, std::uint64_t argument) {
    if (routine) writer.frames({module_at(recording, routine), routine}, symbols.frames_at(routine));
    if (argument) writer.data({module_at(recording, argument), argument}, symbols.data_symbol(argument));
  };
  std::set<std::pair<std::uint64_t, std::uint64_t>> starts;
  for (const ThreadTable::Row& thread : recording.threads.rows) starts.emplace(thread.start_routine, thread.start_argument);
  for (const ThreadGroupRow& group : recording.thread_groups) starts.emplace(group.start_routine, group.start_argument);
  for (const auto& [routine, argument] : starts) start_of_threads(routine, argument);
  for (const auto& [place, seen] : places) writer.frames(place, symbols.frames(seen.node));
  tell_left_out(dump, recording, writer.left_out());
}

void append_names(DumpAppender& dump, const Recording& recording, std::uint64_t most_bytes) {
  SymbolOptions options;
  options.debug_data = false;
  const Symbols symbols(recording, options);
  auto places = places_by_weight(recording);
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::uint64_t left_out = 0;
  trace::Symbol symbol;  // from the first to the last address seen of one function
  FunctionId function = 0;
  const auto write = [&] {
    if (function && (dump.added_bytes() > most_bytes || !dump.append(symbol))) ++left_out;
    function = 0;
  };
  for (const auto& [place, seen] : places) {
    const FunctionId here = symbols.frames(seen.node).back().function;
    if (here != function || place.first != symbol.module) write();
    if (!symbols.resolved(here)) continue;
    if (function == 0) symbol = {place.first, place.second, 1, symbols.linkage_name(here)};
    symbol.size = place.second - symbol.start + 1;
    function = here;
  }
  write();
  tell_left_out(dump, recording, left_out);
}

}  // namespace tailback::tools
