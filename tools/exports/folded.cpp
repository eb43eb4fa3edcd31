// SPDX-License-Identifier: Apache-2.0
#include "tools/exports/folded.h"

#include <map>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

// A frame may hold neither the separator nor a line's end.
std::string frame_text(const std::string& name) {
  std::string text = printable(name);
  for (char& c : text)
    if (c == ';') c = ':';
  return text.empty() ? "?" : text;
}

void append_stack(std::string& line, const StackSample& sample) {
  const auto append = [&](const std::string& frame) { line += (line.empty() ? "" : ";") + frame_text(frame); };
  const auto append_frames = [&](std::span<const SymbolFrame> frames) {  // these are innermost first
    for (std::size_t i = frames.size(); i-- > 0;)
      append(sample.symbols.function_name(frames[i].function) + (frames[i].inlined ? "_[i]" : ""));
  };
  if (sample.stack == 0) {
    if (sample.start_routine) append_frames(sample.symbols.frames_at(sample.start_routine));
    return append(kNoStack);
  }
  std::vector<StackId> nodes;
  for (StackId node = sample.stack; node && node < sample.recording.nodes.size(); node = sample.recording.nodes[node].parent) {
    nodes.push_back(node);
    if (sample.recording.nodes[node].parent >= node) break;
  }
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const NodeRow& node = sample.recording.nodes[nodes[i]];
    if (node.kind == 0)
      append_frames(sample.symbols.frames(nodes[i]));
    else if (node.kind != 2)
      append(node.kind == 1 ? kTruncated : kFolded);
  }
}

}  // namespace

std::string folded_stacks(const Model& model, const ProfileKind& kind, const FoldedOptions& options) {
  std::map<std::string, std::uint64_t> lines;
  for_each_stack_sample(model, kind, options.by_thread, [&](const StackSample& sample) {
    std::string line = options.by_thread ? frame_text(sample.thread_name) : "";
    append_stack(line, sample);
    lines[line] += sample.values[options.value];
  });
  std::string out;
  for (const auto& [line, value] : lines)
    if (const std::uint64_t shown = (value + options.divisor / 2) / options.divisor) out += line + " " + std::to_string(shown) + "\n";
  return out;
}

}  // namespace tailback::tools
