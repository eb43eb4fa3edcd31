// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/own_frame.h"

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {

Frame own_frame(const Model& model, StackId stack) {
  const std::vector<Frame> frames = model.symbols->stack(stack);
  for (const Frame& frame : frames)
    if (!is_runtime_code(bare_name(frame.full_name.empty() ? frame.function : frame.full_name), frame.module)) return frame;
  return frames.empty() ? Frame{} : frames.front();
}

}  // namespace tailback::analyzers
