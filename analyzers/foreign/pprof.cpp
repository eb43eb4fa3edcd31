// SPDX-License-Identifier: Apache-2.0
// Profiles of pprof (github.com/google/pprof, proto/profile.proto), as Go, gperftools' pprof, Parca, Pyroscope and many others write them:
// heap (alloc_objects, alloc_space, inuse_objects, inuse_space, or some of them) and CPU (cpu/nanoseconds, or samples and a period).
// The values are estimates already, "unsampled" by whoever wrote them. Names and lines come with the file; where they do not, the
// mapping's file is asked.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "analyzers/foreign/profile_reader.h"
#include "analyzers/foreign/protobuf_reader.h"
#include "analyzers/foreign/recording_builder.h"
#include "analyzers/input_error.h"

namespace tailback::analyzers::foreign {

namespace {

constexpr std::size_t kMostBytes = 256 << 20, kMostEntries = 1 << 22;
constexpr std::uint64_t kNoAddress = std::uint64_t{0x7f} << 56;  // from here on stand places without an address, or with another's

// The fields of Profile: which are messages or texts, and which numbers.
enum Field : unsigned { sample_type = 1, sample, mapping, location, function, string_table, drop_frames, keep_frames, time_nanos, duration_nanos,
                        period_type, period, comment, default_sample_type, doc_url };
constexpr bool is_number(unsigned field) {
  return field == drop_frames || field == keep_frames || field == time_nanos || field == duration_nanos || field == period || field == default_sample_type || field == doc_url;
}

struct ValueType {
  std::uint64_t type = 0, unit = 0;
};

struct Function {
  std::uint64_t name = 0, system_name = 0, file = 0;
};

ValueType value_type(std::string_view message) {
  ValueType result;
  for (ProtobufReader fields(message); fields.next();) {
    if (fields.field() == 1) result.type = fields.number();
    if (fields.field() == 2) result.unit = fields.number();
  }
  return result;
}

double nanoseconds_of(std::string_view unit) {
  if (unit == "nanoseconds") return 1;
  if (unit == "microseconds") return 1e3;
  if (unit == "milliseconds") return 1e6;
  return unit == "seconds" ? 1e9 : 0;
}

class Reader {
 public:
  Reader(std::string_view content, Recording& recording) : content_(content), out_(recording), build_(recording, "pprof profile", "") {}

  void read(bool whole);

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  void index();
  void index_number(unsigned field, std::uint64_t value);
  void add_mappings();
  void add_mapping(std::string_view message);
  void add_functions();
  void add_locations();
  void add_location(std::string_view message);
  void add_samples();
  void add_values(StackId stack, const std::vector<std::uint64_t>& values);
  void choose_values();
  void describe();
  std::string value_names() const;
  std::string_view string(std::uint64_t id) const { return id < strings_.size() ? strings_[id] : std::string_view(); }
  std::size_t value_named(std::string_view type) const;
  // Blocks and bytes that a sample of these estimates came from; see unsampled().
  HeapSums drawn(double blocks, double bytes) const;

  std::string_view content_;
  Recording& out_;
  RecordingBuilder build_;
  std::vector<std::string_view> strings_, mappings_, locations_, functions_;
  std::vector<ValueType> types_;
  std::unordered_map<std::uint64_t, ModuleId> modules_;  // by the file's ids, as all maps here
  std::unordered_map<std::uint64_t, Function> functions_by_id_;
  std::unordered_map<std::uint64_t, RecordingBuilder::Place> places_;
  std::set<std::pair<ModuleId, std::uint64_t>> taken_;
  ValueType period_type_;
  std::uint64_t period_ = 0, time_ns_ = 0, duration_ns_ = 0;
  std::size_t blocks_ = kNone, bytes_ = kNone, live_blocks_ = kNone, live_bytes_ = kNone, cpu_ = kNone, samples_ = kNone;
  double cpu_unit_ = 1;
  bool damaged_ = false;
};

void Reader::index_number(unsigned field, std::uint64_t value) {
  if (field == time_nanos) time_ns_ = value;
  if (field == duration_nanos) duration_ns_ = value;
  if (field == period) period_ = value;
}

// The string table may come last: first all is found, then understood.
void Reader::index() {
  ProtobufReader fields(content_);
  while (fields.next()) {
    const auto keep = [&](std::vector<std::string_view>& where) {
      if (where.size() < kMostEntries) where.push_back(fields.content());
      else build_.ignore();
    };
    switch (fields.field()) {
      case sample_type: types_.size() < 64 ? types_.push_back(value_type(fields.content())) : build_.ignore(); break;
      case mapping: keep(mappings_); break;
      case location: keep(locations_); break;
      case function: keep(functions_); break;
      case string_table: keep(strings_); break;
      case period_type: period_type_ = value_type(fields.content()); break;
      default: index_number(fields.field(), fields.number());
    }
  }
  damaged_ = fields.damaged();
}

void Reader::add_mapping(std::string_view message) {
  std::uint64_t id = 0, start = 0, limit = 0, offset = 0, file = 0, build_id = 0;
  std::uint64_t* const numbers[] = {&id, &start, &limit, &offset, &file, &build_id};
  for (ProtobufReader fields(message); fields.next();)
    if (fields.field() <= std::size(numbers)) *numbers[fields.field() - 1] = fields.number();
  if (!id) return build_.ignore();
  if (limit <= start) {
    modules_[id] = build_.module_named(string(file));
    return;
  }
  constexpr std::uint64_t kFixedBelow = 0x1000'0000;  // see process_maps.cpp
  const std::uint64_t bias = start < kFixedBelow ? 0 : start - std::min(start, offset);
  modules_[id] = build_.module_at(start, limit, bias, std::string(string(file)), std::string(string(build_id)));
}

void Reader::add_mappings() {
  for (const std::string_view message : mappings_) add_mapping(message);
  for (const ModuleRow& module : out_.modules) {
    if (!module.path.starts_with('/')) continue;
    out_.session.program = out_.session.command = *out_.strings.emplace_back(std::make_unique<std::string>(module.path));
    break;  // the first mapping is the main program
  }
}

void Reader::add_functions() {
  for (const std::string_view message : functions_) {
    std::uint64_t id = 0;
    Function row;
    for (ProtobufReader fields(message); fields.next();) {
      if (fields.field() == 1) id = fields.number();
      if (fields.field() == 2) row.name = fields.number();
      if (fields.field() == 3) row.system_name = fields.number();
      if (fields.field() == 4) row.file = fields.number();
    }
    functions_by_id_[id] = row;
  }
}

void Reader::add_location(std::string_view message) {
  std::uint64_t id = 0, owner = 0, address = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> lines;  // function, line; innermost first
  for (ProtobufReader fields(message); fields.next();) {
    if (fields.field() == 1) id = fields.number();
    if (fields.field() == 2) owner = fields.number();
    if (fields.field() == 3) address = fields.number();
    if (fields.field() != 4 || lines.size() >= RecordingBuilder::kMostDepth) continue;
    auto& line = lines.emplace_back();
    for (ProtobufReader parts(fields.content()); parts.next();) {
      if (parts.field() == 1) line.first = parts.number();
      if (parts.field() == 2) line.second = parts.number();
    }
  }
  const auto module = modules_.find(owner);
  RecordingBuilder::Place place{module == modules_.end() ? 0 : module->second, address};
  if (!address || !taken_.insert({place.module, address}).second) place.address = kNoAddress + places_.size();
  if (!id || !places_.emplace(id, place).second) return build_.ignore();
  std::uint32_t depth = 0;
  for (const auto& [number, line] : lines) {
    const auto found = functions_by_id_.find(number);
    if (found == functions_by_id_.end()) continue;
    const std::string_view name = string(found->second.name), system_name = string(found->second.system_name);
    if (const std::string_view shown = name.empty() ? system_name : name; !shown.empty())
      build_.frame(place.module, place.address, depth++, shown, string(found->second.file), line);
  }
}

void Reader::add_locations() {
  for (const std::string_view message : locations_) add_location(message);
}

std::size_t Reader::value_named(std::string_view type) const {
  for (std::size_t i = 0; i < types_.size(); ++i)
    if (string(types_[i].type) == type) return i;
  return kNone;
}

std::string Reader::value_names() const {
  std::string names;
  for (const ValueType& type : types_)
    if (names.size() < 200) names += fmt::format("{}{}/{}", names.empty() ? "" : ", ", string(type.type).substr(0, 40), string(type.unit).substr(0, 40));
  return names.empty() ? "no values" : names;
}

void Reader::choose_values() {
  blocks_ = value_named("alloc_objects"), bytes_ = value_named("alloc_space");
  live_blocks_ = value_named("inuse_objects"), live_bytes_ = value_named("inuse_space");
  if (bytes_ == kNone && live_bytes_ == kNone) live_blocks_ = value_named("objects"), live_bytes_ = value_named("space");
  samples_ = value_named("samples");
  cpu_ = value_named("cpu");
  if (cpu_ != kNone) cpu_unit_ = nanoseconds_of(string(types_[cpu_].unit));
  const bool counted = cpu_ == kNone && samples_ != kNone && string(period_type_.type) == "cpu" && period_;
  if (counted) cpu_ = samples_, cpu_unit_ = static_cast<double>(period_) * nanoseconds_of(string(period_type_.unit));
  if (cpu_ != kNone && cpu_unit_ <= 0) cpu_ = kNone;
  if (bytes_ == kNone && live_bytes_ == kNone && cpu_ == kNone)
    throw InputError(fmt::format("a pprof profile of {}; only heap and CPU profiles are read", value_names()));
}

HeapSums Reader::drawn(double blocks, double bytes) const {
  HeapSums sums{blocks, bytes, 0, 0, 0, 0};
  const auto interval = static_cast<double>(period_);
  if (blocks <= 0 || bytes <= 0 || period_ <= 1) return sums;
  const double seen = -std::expm1(-bytes / blocks / interval);
  sums.samples = blocks * seen;
  sums.variance = sums.samples * (1 - seen) * std::pow(bytes / blocks / seen, 2);
  return sums;
}

void Reader::add_values(StackId stack, const std::vector<std::uint64_t>& values) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 53;
  const auto value = [&](std::size_t index) {  // values are signed; a difference of profiles has negative ones
    return index < values.size() && values[index] <= ~std::uint64_t{0} >> 1 ? std::min(values[index], kMost) : 0;
  };
  if (bytes_ != kNone || live_bytes_ != kNone) {
    const bool totals = bytes_ != kNone;
    HeapSums sums = drawn(static_cast<double>(value(totals ? blocks_ : live_blocks_)), static_cast<double>(value(totals ? bytes_ : live_bytes_)));
    sums.live_blocks = static_cast<double>(value(live_blocks_));
    sums.live_bytes = static_cast<double>(value(live_bytes_));
    if (sums.bytes > 0 || sums.live_bytes > 0) build_.add_allocations(stack, sums);
  }
  if (cpu_ == kNone || !value(cpu_)) return;
  const double ns = static_cast<double>(value(cpu_)) * cpu_unit_, most = 2e18;
  const std::uint64_t samples = samples_ != kNone ? value(samples_) : period_ ? static_cast<std::uint64_t>(ns / static_cast<double>(period_)) : 1;
  build_.add_cpu(stack, std::max<std::uint64_t>(samples, 1), static_cast<std::uint64_t>(std::min(ns, most)));
}

void Reader::add_samples() {
  std::vector<RecordingBuilder::Place> places;
  std::vector<std::uint64_t> values;
  for (ProtobufReader fields(content_); fields.next();) {
    if (fields.field() != sample) continue;
    places.clear();
    values.clear();
    for (ProtobufReader parts(fields.content()); parts.next();) {
      if (parts.field() == 1)
        parts.numbers([&](std::uint64_t id) {
          if (const auto place = places_.find(id); place != places_.end()) places.push_back(place->second);
          else build_.ignore();
        });
      if (parts.field() == 2) parts.numbers([&](std::uint64_t value) { values.push_back(value); });
    }
    add_values(build_.stack(places), values);
  }
}

void Reader::describe() {
  const bool heap = bytes_ != kNone || live_bytes_ != kNone;
  out_.source.format = heap ? "pprof heap profile" : "pprof CPU profile";
  if (!heap) {
    out_.source.holds = "samples of CPU time, without times of threads, waiting or I/O";
    if (period_) out_.source.holds += fmt::format("; one for each {:.3g} ms", static_cast<double>(period_) * nanoseconds_of(string(period_type_.unit)) * 1e-6);
    return;
  }
  AllocationTables& tables = out_.allocations;
  tables.seen = true;
  tables.exact = string(period_type_.type) == "space" && period_ == 1;
  tables.facts = {.totals = bytes_ != kNone, .frees = live_bytes_ != kNone, .peak = false, .temporaries = false, .reallocations = false, .history = false, .costs = false};
  out_.source.holds = tables.exact ? "every allocation, exact, as of one moment" : "allocations estimated from samples, as of one moment";
  if (period_ > 1) out_.source.holds += fmt::format("; one for each {} bytes", period_);
}

void Reader::read(bool whole) {
  index();
  choose_values();
  describe();
  add_mappings();
  add_functions();
  add_locations();
  add_samples();
  out_.session.started_realtime_ns = time_ns_ <= ~std::uint64_t{0} >> 1 ? time_ns_ : 0;
  if (damaged_) out_.reader_notes.push_back("the file was read in part: its content is damaged");
  build_.finish(duration_ns_, whole && !damaged_);
}

}  // namespace

bool is_pprof(std::string_view head) {
  unsigned good = 0;
  ProtobufReader fields(head);
  while (fields.next()) {
    if (fields.field() > doc_url) return false;
    // `comment` is a list of numbers: packed or not.
    if (fields.field() != comment && is_number(fields.field()) != (fields.type() == ProtobufReader::varint)) return false;
    ++good;
  }
  constexpr unsigned kEnough = 2;
  return good >= kEnough;
}

void read_pprof(InputStream& in, Recording& recording) {
  std::string content;
  while (content.size() <= kMostBytes) {
    constexpr std::size_t kStep = 1 << 20;
    const std::size_t before = content.size();
    content.resize(before + kStep);
    const std::size_t got = in.read(content.data() + before, kStep);
    content.resize(before + got);
    if (got < kStep) break;
  }
  if (content.size() > kMostBytes) throw InputError(fmt::format("a pprof profile of more than {} MiB, which is not read; record for a shorter time", kMostBytes >> 20));
  if (!in.problem().empty()) recording.reader_notes.push_back("the file was read in part: " + in.problem());
  Reader(content, recording).read(in.problem().empty());
}

}  // namespace tailback::analyzers::foreign
