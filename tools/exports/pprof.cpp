// SPDX-License-Identifier: Apache-2.0
#include "tools/exports/pprof.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>

#include "tools/exports/protobuf_writer.h"
#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

// Field numbers of profile.proto (github.com/google/pprof, proto/profile.proto).
namespace profile {
enum {
  sample_type = 1,
  sample = 2,
  mapping = 3,
  location = 4,
  function = 5,
  string_table = 6,
  time_nanos = 9,
  duration_nanos = 10,
  period_type = 11,
  period = 12,
  comment = 13,
  default_sample_type = 14
};
}
namespace value_type {
enum { type = 1, unit = 2 };
}
namespace sample_field {
enum { location_id = 1, value = 2, label = 3 };
}
namespace label_field {
enum { key = 1, str = 2, num = 3 };
}
namespace mapping_field {
enum {
  id = 1,
  memory_start = 2,
  memory_limit = 3,
  file_offset = 4,
  filename = 5,
  build_id = 6,
  has_functions = 7,
  has_filenames = 8,
  has_line_numbers = 9,
  has_inline_frames = 10
};
}
namespace location_field {
enum { id = 1, mapping_id = 2, address = 3, line = 4 };
}
namespace line_field {
enum { function_id = 1, line = 2 };
}
namespace function_field {
enum { id = 1, name = 2, system_name = 3, filename = 4, start_line = 5 };
}

constexpr std::uint64_t kSecondNs = 1'000'000'000;

class Builder {
 public:
  Builder(const Model& model, const ProfileKind& kind, const PprofOptions& options)
      : model_(model), kind_(kind), options_(options) {
    text("");
  }

  std::string build() {
    add_executable();
    for_each_stack_sample(model_, kind_, options_.by_thread, [&](const StackSample& sample) { add_sample(sample); });
    head();
    for (const std::string& entry : strings_) out_.bytes_field(profile::string_table, entry);
    return out_.bytes();
  }

 private:
  struct LocationKey {
    const Recording* recording;
    ModuleId module;
    std::uint64_t address;
    std::string marker;  // for places that are no code
    auto operator<=>(const LocationKey&) const = default;
  };

  std::uint64_t text(const std::string& value) {
    const auto [at, fresh] = string_ids_.try_emplace(value, strings_.size());
    if (fresh) strings_.push_back(valid_utf8(value));
    return at->second;
  }

  ProtobufWriter value_type_of(const ValueType& value) {
    ProtobufWriter message;
    message.varint_field(value_type::type, text(value.type));
    message.varint_field(value_type::unit, text(value.unit));
    return message;
  }

  // pprof takes the first mapping for the main binary.
  void add_executable() {
    for (const ModuleRow& module : model_.recording.modules)
      if (module.path == model_.recording.session.program) {
        mapping_id(model_.recording, module.id);
        return;
      }
  }

  std::uint64_t mapping_id(const Recording& recording, ModuleId id) {
    if (id == 0) return 0;
    const auto known = mapping_ids_.find({&recording, id});
    if (known != mapping_ids_.end()) return known->second;
    const auto row = std::find_if(recording.modules.begin(), recording.modules.end(),
                                  [&](const ModuleRow& module) { return module.id == id; });
    if (row == recording.modules.end()) return 0;
    const std::uint64_t number = mapping_ids_.size() + 1;
    mapping_ids_[{&recording, id}] = number;
    ProtobufWriter message;
    message.varint_field(mapping_field::id, number);
    message.varint_field(mapping_field::memory_start, row->start);
    message.varint_field(mapping_field::memory_limit, row->end);
    message.varint_field(mapping_field::file_offset, 0);  // `start` is where the file's first byte is mapped
    message.varint_field(mapping_field::filename, text(row->path));
    message.varint_field(mapping_field::build_id, text(row->build_id));
    for (const int flag : {mapping_field::has_functions, mapping_field::has_filenames, mapping_field::has_line_numbers,
                           mapping_field::has_inline_frames})
      message.bool_field(static_cast<unsigned>(flag), true);  // else pprof would symbolise again, by worse means
    out_.message_field(profile::mapping, message);
    return number;
  }

  std::uint64_t function_id(const std::string& name, const std::string& linkage, const std::string& file) {
    const auto key = std::tuple(text(name), text(linkage), text(file));
    const auto [at, fresh] = function_ids_.try_emplace(key, function_ids_.size() + 1);
    if (!fresh) return at->second;
    ProtobufWriter message;
    message.varint_field(function_field::id, at->second);
    message.varint_field(function_field::name, std::get<0>(key));
    message.varint_field(function_field::system_name, std::get<1>(key));
    message.varint_field(function_field::filename, std::get<2>(key));
    out_.message_field(profile::function, message);
    return at->second;
  }

  void add_line(ProtobufWriter& location, std::uint64_t function, std::uint64_t number) {
    ProtobufWriter line;
    line.varint_field(line_field::function_id, function);
    line.varint_field(line_field::line, number);
    location.message_field(location_field::line, line);
  }

  std::uint64_t marker_location(const std::string& name) {
    const auto [at, fresh] = location_ids_.try_emplace({nullptr, 0, 0, name}, location_ids_.size() + 1);
    if (!fresh) return at->second;
    ProtobufWriter location;
    location.varint_field(location_field::id, at->second);
    add_line(location, function_id(name, name, ""), 0);
    out_.message_field(profile::location, location);
    return at->second;
  }

  std::uint64_t code_location(const Recording& recording, const Symbols& symbols, ModuleId module, std::uint64_t address,
                              std::span<const SymbolFrame> frames) {
    const auto [at, fresh] = location_ids_.try_emplace({&recording, module, address, {}}, location_ids_.size() + 1);
    if (!fresh) return at->second;
    const std::uint64_t id = at->second;
    ProtobufWriter location;
    location.varint_field(location_field::id, id);
    location.varint_field(location_field::mapping_id, mapping_id(recording, module));
    location.varint_field(location_field::address, address);
    for (const SymbolFrame& frame : frames)  // innermost first, as pprof wants them
      add_line(
          location,
          function_id(symbols.full_name(frame.function), symbols.linkage_name(frame.function), symbols.file_name(frame.file)),
          frame.line);
    out_.message_field(profile::location, location);
    return id;
  }

  std::vector<std::uint64_t> locations_of(const StackSample& sample) {
    std::vector<std::uint64_t> ids;
    const auto& nodes = sample.recording.nodes;
    for (StackId id = sample.stack; id && id < nodes.size();) {
      const NodeRow& node = nodes[id];
      if (node.kind == 0)
        ids.push_back(code_location(sample.recording, sample.symbols, node.module, node.address, sample.symbols.frames(id)));
      else if (node.kind != 2)
        ids.push_back(marker_location(node.kind == 1 ? kTruncated : kFolded));
      if (node.parent >= id) break;
      id = node.parent;
    }
    if (sample.stack) return ids;
    ids.push_back(marker_location(kNoStack));
    if (sample.start_routine)
      ids.push_back(code_location(sample.recording, sample.symbols, 0, sample.start_routine,
                                  sample.symbols.frames_at(sample.start_routine)));
    return ids;
  }

  void add_label(ProtobufWriter& sample, const char* key, unsigned field, std::uint64_t value) {
    ProtobufWriter label;
    label.varint_field(label_field::key, text(key));
    label.varint_field(field, value);
    sample.message_field(sample_field::label, label);
  }

  void add_sample(const StackSample& sample) {
    ProtobufWriter message;
    message.packed_field(sample_field::location_id, locations_of(sample));
    message.packed_field(sample_field::value, std::span(sample.values).first(kind_.values.size()));
    if (options_.by_thread) add_label(message, "thread_name", label_field::str, text(sample.thread_name));
    if (options_.by_thread && sample.tid) add_label(message, "thread_id", label_field::num, sample.tid);
    out_.message_field(profile::sample, message);
  }

  std::uint64_t option(std::string_view wanted) const {
    std::uint64_t number = 0;
    for (const auto& [name, value] : model_.recording.options)
      if (name == wanted) std::from_chars(value.data(), value.data() + value.size(), number);
    return number;
  }

  std::uint64_t period() const {
    if (kind_.of_heap) return model_.heap.exact ? 1 : option("alloc_interval");
    const std::uint64_t frequency = option("frequency");
    return frequency ? std::max(kSecondNs / frequency, model_.recording.machine.tick_ns) : 0;  // the kernel's tick is the finest there is
  }

  std::string comment() const {
    std::string command(model_.recording.session.command);
    std::replace(command.begin(), command.end(), '\0', ' ');
    std::uint64_t lost = 0;
    for (const trace::Loss& loss : model_.recording.losses) lost += loss.count;
    return fmt::format("tailback {}; host {}; command {}; events lost: {}", TAILBACK_VERSION, model_.recording.session.hostname,
                       command, lost);
  }

  void head() {
    for (const ValueType& value : kind_.values) out_.message_field(profile::sample_type, value_type_of(value));
    out_.varint_field(profile::time_nanos, model_.recording.session.started_realtime_ns);
    out_.varint_field(profile::duration_nanos, model_.recording.duration_ns);
    out_.message_field(profile::period_type, value_type_of(kind_.period));
    out_.varint_field(profile::period, period());
    const std::uint64_t comments[] = {text(comment())};
    out_.packed_field(profile::comment, comments);
    out_.varint_field(profile::default_sample_type, text(kind_.values[kind_.shown].type));
  }

  const Model& model_;
  const ProfileKind& kind_;
  const PprofOptions& options_;
  ProtobufWriter out_;
  std::vector<std::string> strings_;
  std::unordered_map<std::string, std::uint64_t> string_ids_;
  std::map<std::pair<const Recording*, ModuleId>, std::uint64_t> mapping_ids_;
  std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, std::uint64_t> function_ids_;
  std::map<LocationKey, std::uint64_t> location_ids_;
};

}  // namespace

std::string pprof_profile(const Model& model, const ProfileKind& kind, const PprofOptions& options) {
  return Builder(model, kind, options).build();
}

}  // namespace tailback::tools
