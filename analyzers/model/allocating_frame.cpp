// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/allocating_frame.h"

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {

Frame allocating_frame(const std::vector<Frame>& frames) {
  const Frame* wrapper = nullptr;
  for (const Frame& frame : frames) {
    const std::string& full = frame.full_name.empty() ? frame.function : frame.full_name;
    const std::string name = bare_name(full);
    if (is_runtime_code(name, frame.module)) continue;
    if (!is_allocation_wrapper(name) && !copies_an_object(full)) return frame;
    if (!wrapper) wrapper = &frame;
  }
  return wrapper ? *wrapper : frames.empty() ? Frame{} : frames.front();
}

}  // namespace tailback::analyzers
