// SPDX-License-Identifier: Apache-2.0
// Finds libtailback.so: $TAILBACK_LIBRARY, beside the executable as installed, or in the build tree.
#pragma once
#include <string>
#include <vector>

namespace tailback::tools {

struct Library {
  std::string path;          // absolute; empty: not found
  std::string preload_name;  // what to write into LD_PRELOAD
  std::vector<std::string> looked_at;
};

Library find_library();

// `library` in front of what `existing` (LD_PRELOAD, may be nullptr) holds.
std::string prepended_preload(const std::string& library, const char* existing);

}  // namespace tailback::tools
