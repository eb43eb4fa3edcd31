// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/analyze_dump.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "agent/trace/crc32c.h"
#include "agent/trace/layout.h"
#include "analyzers/foreign/foreign_profile.h"
#include "analyzers/input_error.h"
#include "analyzers/pipeline.h"

namespace tailback::fuzz {

namespace {

// A mutation would hardly ever hit the right checksum: blocks are sealed anew, so that what is behind it gets tested.
// An even sequence number keeps its checksum as it is.
void seal_again(std::vector<std::uint8_t>& file) {
  trace::FileHeader header{};
  if (file.size() < sizeof header) return;
  std::memcpy(&header, file.data(), sizeof header);
  if (header.block_bytes < sizeof(trace::BlockHeader)) return;
  for (std::size_t at = header.header_bytes; at < file.size() && file.size() - at >= sizeof(trace::BlockHeader); at += header.block_bytes) {
    trace::BlockHeader block{};
    std::memcpy(&block, file.data() + at, sizeof block);
    const std::size_t room = std::min<std::size_t>(header.block_bytes, file.size() - at) - sizeof block;
    if (block.magic != trace::kBlockMagic || !block.sealed || block.committed > room || block.sequence % 2 == 0) continue;
    block.crc32c = trace::crc32c(file.data() + at + sizeof block, block.committed);
    std::memcpy(file.data() + at, &block, sizeof block);
  }
}

void require(bool holds) {
  if (!holds) std::abort();
}

void check_figures(const analyzers::Report& report) {
  require(std::isfinite(report.summary.cpu_seconds) && report.summary.cpu_seconds >= 0);
  require(report.summary.cpu_utilization >= 0 && report.summary.cpu_utilization <= 1);
  require(report.recording.truncated_stacks_fraction >= 0 && report.recording.truncated_stacks_fraction <= 1);
  require(report.recording.overhead_fraction >= 0 && report.recording.overhead_fraction <= 1);
  for (const auto& finding : report.findings) {
    require(finding.gain.fraction >= 0 && finding.gain.fraction <= 1);
    require(finding.confidence >= 0 && finding.confidence <= 1);
  }
}

void analyze_all(analyzers::Recording recording, bool in_full) {
  analyzers::Model model;
  model.recording = std::move(recording);
  model.symbols = std::make_unique<analyzers::Symbols>(model.recording, analyzers::SymbolOptions{.debug_data = in_full});
  analyzers::build_views(model);
  if (in_full) check_figures(analyzers::analyze(model, {}));
}

}  // namespace

bool analyze_dump(std::span<const std::uint8_t> bytes) {
  std::vector<std::uint8_t> file(bytes.begin(), bytes.end());
  seal_again(file);
  try {
    analyze_all(analyzers::read_recording_image(file, "input.tbk"), true);
  } catch (const analyzers::InputError&) {
    return false;
  }
  return true;
}

bool analyze_profile(std::span<const std::uint8_t> bytes, bool in_full) {
  try {
    auto recording = analyzers::read_foreign_image(bytes, "input");
    if (recording) analyze_all(std::move(*recording), in_full);
    return recording.has_value();
  } catch (const analyzers::InputError&) {
    return false;
  }
}

}  // namespace tailback::fuzz
