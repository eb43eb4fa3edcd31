// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/collectors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "analyzers/model/patterns.h"
#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {

namespace {

struct Name {
  Runtime runtime;
  std::string_view text;    // of the function without its parameters
  std::string_view module;  // part of the module's name, where the function's says too little; empty: any
};

// Where a collection begins on the thread that waits for it.
constexpr Name kNames[] = {
    {Runtime::cpython, "gc_collect_main", ""}, {Runtime::cpython, "gc_collect_generations", ""}, {Runtime::cpython, "gc_collect_with_callback", ""},
    {Runtime::cpython, "collect_generations", "python"}, {Runtime::cpython, "collect_with_callback", "python"}, {Runtime::cpython, "collect", "python"},
    {Runtime::cpython, "PyGC_Collect", ""}, {Runtime::cpython, "_PyGC_Collect", ""}, {Runtime::cpython, "_PyGC_CollectNoFail", ""},
    {Runtime::cpython, "_Py_RunGC", ""}, {Runtime::cpython, "gc_collect_internal", "python"}, {Runtime::cpython, "gc_collect_young", "python"},
    {Runtime::cpython, "gc_collect_increment", "python"}, {Runtime::cpython, "gc_collect_full", "python"},
    {Runtime::boehm, "GC_gcollect", ""}, {Runtime::boehm, "GC_gcollect_and_unmap", ""}, {Runtime::boehm, "GC_try_to_collect", ""},
    {Runtime::boehm, "GC_try_to_collect_general", ""}, {Runtime::boehm, "GC_try_to_collect_inner", ""}, {Runtime::boehm, "GC_stopped_mark", ""},
    {Runtime::boehm, "GC_collect_a_little_inner", ""}, {Runtime::boehm, "GC_collect_a_little", ""}, {Runtime::boehm, "GC_finish_collection", ""},
    {Runtime::v8, "v8::internal::Heap::CollectGarbage", ""}, {Runtime::v8, "v8::internal::Heap::CollectAllGarbage", ""},
    {Runtime::v8, "v8::internal::Heap::CollectAllAvailableGarbage", ""}, {Runtime::v8, "v8::internal::Heap::PerformGarbageCollection", ""},
    {Runtime::v8, "v8::internal::Heap::FinalizeIncrementalMarkingAtomically", ""}, {Runtime::v8, "v8::internal::IncrementalMarking::AdvanceOnAllocation", ""},
    {Runtime::v8, "v8::internal::IncrementalMarking::AdvanceFromTask", ""}, {Runtime::v8, "v8::internal::IncrementalMarking::AdvanceWithDeadline", ""},
    {Runtime::hotspot, "VMThread::evaluate_operation", ""}, {Runtime::hotspot, "VM_Operation::evaluate", ""},
    {Runtime::dotnet, "WKS::GCHeap::GarbageCollectGeneration", ""}, {Runtime::dotnet, "SVR::gc_heap::garbage_collect", ""}, {Runtime::dotnet, "sgen_perform_collection", ""},
    {Runtime::ruby, "garbage_collect", "ruby"}, {Runtime::ruby, "gc_start", "ruby"}, {Runtime::ruby, "gc_marks", "ruby"},
    {Runtime::lua, "luaC_step", ""}, {Runtime::lua, "luaC_fullgc", ""}, {Runtime::lua, "lj_gc_step", ""},
    {Runtime::php, "zend_gc_collect_cycles", ""}, {Runtime::php, "gc_collect_cycles", "php"},
    {Runtime::ocaml, "caml_empty_minor_heap", ""}, {Runtime::ocaml, "caml_major_collection_slice", ""}, {Runtime::ocaml, "caml_finish_major_cycle", ""},
    {Runtime::julia, "ijl_gc_collect", ""}, {Runtime::julia, "jl_gc_collect", ""}, {Runtime::quickjs, "JS_RunGC", ""},
};

// GC_malloc down to the blocks' lists and back takes fewer; marking takes more.
constexpr std::size_t kDeepInBoehm = 5;

bool is_boehm(std::string_view module) { return module.starts_with("libgc.so"); }

// The probes of systemtap's sdt.h: places in the file, by provider and name.
class Probes {
 public:
  explicit Probes(const ElfFile& file) : file_(file) {
    const ElfSection* notes = file.section(".note.stapsdt");
    const ElfSection* base = file.section(".stapsdt.base");
    if (!notes) return;
    read(file.data(*notes), base ? base->address : 0);
  }
  std::vector<std::uint64_t> places;  // of python's collections, virtual addresses of the file

 private:
  static std::uint64_t word(Bytes bytes, std::size_t at) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  }
  void read(Bytes bytes, std::uint64_t base) {
    constexpr std::size_t kHead = 12, kAddresses = 24;
    for (std::size_t at = 0; at + kHead <= bytes.size();) {
      std::uint32_t sizes[3];
      std::memcpy(sizes, bytes.data() + at, sizeof sizes);
      const std::uint64_t name = (std::uint64_t{sizes[0]} + 3) & ~std::uint64_t{3}, content = (std::uint64_t{sizes[1]} + 3) & ~std::uint64_t{3};
      if (name > bytes.size() || content > bytes.size() || at + kHead + name + content > bytes.size()) return;
      const std::size_t begin = at + kHead + name;
      if (sizes[1] > kAddresses) note(bytes.subspan(begin, sizes[1]), base);
      at = begin + content;
    }
  }
  void note(Bytes content, std::uint64_t base) {
    constexpr std::size_t kAddresses = 24;
    const std::string_view text(reinterpret_cast<const char*>(content.data()) + kAddresses, content.size() - kAddresses);
    using namespace std::string_view_literals;
    if (!text.starts_with("python\0gc__start\0"sv) && !text.starts_with("python\0gc__done\0"sv)) return;
    const std::uint64_t place = word(content, 0), recorded = word(content, 8);
    places.push_back(recorded && base ? place + base - recorded : place);
    leave_cold_part(places.back());
  }
  // The compiler puts the probe out of the way, into a part of the function of its own: where that jumps back to, the collector is.
  void leave_cold_part(std::uint64_t place) {
    constexpr std::size_t kMost = 128;
    const Bytes code = file_.bytes_at(place, kMost);
    constexpr std::uint8_t kJump = 0xe9;
    for (std::size_t i = 0; i + 5 <= code.size(); ++i) {
      if (code[i] != kJump) continue;
      std::int32_t offset = 0;
      std::memcpy(&offset, code.data() + i + 1, sizeof offset);
      const std::uint64_t target = place + i + 5 + static_cast<std::uint64_t>(std::int64_t{offset});
      if (file_.executable_at(target)) places.push_back(target);
      return;
    }
  }

  const ElfFile& file_;
};

class CollectorFinder {
 public:
  CollectorFinder(const Recording& recording, const Symbols& symbols) : recording_(recording), symbols_(symbols) { find_probed(); }

  std::vector<CollectorNode> all() {
    const auto& nodes = recording_.nodes;
    std::vector<CollectorNode> found(nodes.size());
    std::vector<std::uint8_t> boehm_depth(nodes.size());
    for (StackId id = 1; id < nodes.size(); ++id) {
      const StackId parent = nodes[id].parent;
      found[id] = found[parent];
      if (found[id].runtime != Runtime::none) continue;
      Runtime runtime = probed_.contains(range_of(id)) ? Runtime::cpython : by_name(id);
      const bool inside = nodes[id].module && boehm_modules_.contains(nodes[id].module);
      boehm_depth[id] = inside ? static_cast<std::uint8_t>(std::min<std::size_t>(boehm_depth[parent] + 1u, 255)) : std::uint8_t{0};
      if (runtime == Runtime::none && boehm_depth[id] >= kDeepInBoehm) runtime = Runtime::boehm;
      if (runtime != Runtime::none) found[id] = {runtime, id};
    }
    return found;
  }

 private:
  using Range = std::pair<ModuleId, std::uint64_t>;

  // Start of the unwind range of a node's address; 0 not known.
  Range range_of(StackId id) const {
    const NodeRow& node = recording_.nodes[id];
    return node.module && probed_modules_.contains(node.module) ? range_at(node.module, node.address) : Range{0, 0};
  }
  Range range_at(ModuleId module, std::uint64_t address) const {
    const auto& ranges = recording_.code_ranges;
    auto at = std::upper_bound(ranges.begin(), ranges.end(), std::pair(module, address), [](const auto& key, const CodeRangeRow& row) { return key < std::pair(row.module, row.start); });
    if (at == ranges.begin()) return {0, 0};
    --at;
    return at->module == module && address - at->start < at->size ? Range{module, at->start} : Range{0, 0};
  }

  void find_probed() {
    for (const ModuleRow& module : recording_.modules) {
      const std::string_view name = std::string_view(module.path).substr(module.path.rfind('/') + 1);
      if (is_boehm(name)) boehm_modules_.insert(module.id);
      if (name.find("python") == std::string_view::npos || !module.placed) continue;
      const std::unique_ptr<ElfFile> file = ElfFile::open(module.path);
      if (!file || module.build_id.empty() || file->build_id() != module.build_id) continue;
      for (const std::uint64_t place : Probes(*file).places) {
        const Range range = range_at(module.id, place + module.bias);
        if (range.second) probed_.insert(range), probed_modules_.insert(module.id);
      }
    }
  }

  Runtime by_name(StackId id) {
    Runtime runtime = Runtime::none;
    for (const SymbolFrame& frame : symbols_.frames(id)) runtime = std::max(runtime, of_function(frame.function));
    return runtime;
  }
  Runtime of_function(FunctionId function) {
    if (function >= functions_.size()) functions_.resize(function + 1);
    auto& known = functions_[function];
    if (!known.looked_at) known = {look_up(function), true};
    return known.runtime;
  }
  Runtime look_up(FunctionId function) const {
    if (!symbols_.resolved(function)) return Runtime::none;
    const std::string name = bare_name(symbols_.full_name(function));
    const std::string& module = symbols_.module_name(function);
    // A compiler's clones: collect.constprop.0, collect.isra.0, gc_collect_main.part.0
    const std::string_view plain = std::string_view(name).substr(0, name.find('.'));
    for (const Name& one : kNames)
      if (plain == one.text && (one.module.empty() || module.find(one.module) != std::string::npos)) return one.runtime;
    return Runtime::none;
  }

  struct Known {
    Runtime runtime = Runtime::none;
    bool looked_at = false;
  };
  const Recording& recording_;
  const Symbols& symbols_;
  std::set<Range> probed_;
  std::set<ModuleId> probed_modules_, boehm_modules_;
  std::vector<Known> functions_;
};

}  // namespace

const char* to_string(Runtime runtime) {
  static constexpr std::array<const char*, 12> names = {"", "CPython", "the Boehm collector", "V8", "HotSpot", ".NET", "Ruby", "Lua", "PHP", "OCaml", "Julia", "QuickJS"};
  return names[static_cast<std::size_t>(runtime)];
}

std::vector<CollectorNode> collector_nodes(const Recording& recording, const Symbols& symbols) { return CollectorFinder(recording, symbols).all(); }

}  // namespace tailback::analyzers
