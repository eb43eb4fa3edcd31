// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/own_frame.h"

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {

namespace {

bool is_own(const Frame& frame) { return !is_runtime_code(bare_name(frame.full_name.empty() ? frame.function : frame.full_name), frame.module); }

}  // namespace

Frame own_frame(const Model& model, StackId stack) {
  const std::vector<Frame> frames = model.symbols->stack(stack);
  const Frame* of_library = nullptr;
  for (const Frame& frame : frames) {
    if (!is_own(frame)) continue;
    if (!model.system_libraries.contains(frame.module)) return frame;
    if (!of_library) of_library = &frame;
  }
  if (of_library) return *of_library;
  return frames.empty() ? Frame{} : frames.front();
}

std::vector<Frame> own_frames(const Model& model, StackId stack) {
  std::vector<Frame> frames = model.symbols->stack(stack);
  std::erase_if(frames, [](const Frame& frame) { return !is_own(frame); });
  return frames;
}

}  // namespace tailback::analyzers
