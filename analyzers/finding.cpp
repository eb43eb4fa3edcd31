// SPDX-License-Identifier: Apache-2.0
#include "analyzers/finding.h"

namespace tailback::analyzers {

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::info: return "info";
    case Severity::low: return "low";
    case Severity::medium: return "medium";
    case Severity::high: return "high";
    case Severity::critical: return "critical";
  }
  return "info";
}

const char* to_string(Category category) {
  switch (category) {
    case Category::cpu: return "cpu";
    case Category::memory: return "memory";
    case Category::locks: return "locks";
    case Category::pools: return "pools";
    case Category::pauses: return "pauses";
    case Category::io: return "io";
    case Category::tasks: return "tasks";
  }
  return "cpu";
}

}  // namespace tailback::analyzers
