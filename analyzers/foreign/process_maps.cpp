// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/process_maps.h"

#include <algorithm>

#include "analyzers/foreign/text_cursor.h"

namespace tailback::analyzers::foreign {

namespace {

// Programs that are not position-independent are linked for addresses below this; the kernel maps nothing else there.
constexpr std::uint64_t kFixedBelow = 0x1000'0000;

}  // namespace

bool ProcessMaps::add(std::string_view line) {
  constexpr std::size_t kMost = 1 << 16;
  TextCursor fields(line);
  Mapping mapping;
  std::uint64_t inode = 0;
  if (!fields.address(mapping.start) || !fields.expect("-") || !fields.address(mapping.end) || mapping.end <= mapping.start) return false;
  const std::string_view rights = fields.word();
  if (!fields.number(mapping.offset, 16) || fields.word().find(':') == std::string_view::npos || !fields.number(inode)) return false;
  fields.skip_blanks();
  const std::string_view path = fields.rest();
  if (rights.size() >= 4 && path.starts_with('/') && mappings_.size() < kMost) {
    mapping.path = path;
    mappings_.push_back(std::move(mapping));
  }
  return true;
}

void ProcessMaps::finish(RecordingBuilder& build) {
  std::stable_sort(mappings_.begin(), mappings_.end(), [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
  for (std::size_t first = 0, next; first < mappings_.size(); first = next) {
    const Mapping& head = mappings_[first];
    std::uint64_t end = head.end;
    // The parts of one file lie in the order of their offsets.
    for (next = first + 1; next < mappings_.size() && mappings_[next].path == head.path && mappings_[next].offset >= mappings_[next - 1].offset; ++next)
      end = std::max(end, mappings_[next].end);
    // A file's first segment is linked at 0 as a rule, or where it lies.
    const std::uint64_t bias = head.start < kFixedBelow ? 0 : head.start - std::min(head.start, head.offset);
    const ModuleId id = build.module_at(head.start, end, bias, head.path, {});
    for (std::size_t i = first; i < next; ++i) mappings_[i].module = id;
  }
}

ModuleId ProcessMaps::find(std::uint64_t address) const {
  const auto after = std::upper_bound(mappings_.begin(), mappings_.end(), address, [](std::uint64_t value, const Mapping& mapping) { return value < mapping.start; });
  if (after == mappings_.begin()) return 0;
  const Mapping& mapping = *std::prev(after);
  return address < mapping.end ? mapping.module : 0;
}

}  // namespace tailback::analyzers::foreign
