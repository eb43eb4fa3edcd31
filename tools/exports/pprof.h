// SPDX-License-Identifier: Apache-2.0
// Profiles as pprof's profile.proto: CPU time (samples/count, cpu/nanoseconds) or allocations (alloc_objects, alloc_space,
// inuse_objects, inuse_space), fully symbolised, inline frames included, ids sequential from 1, the executable as first mapping.
// Not compressed; on disk it belongs in gzip.
#pragma once
#include <string>

#include "tools/exports/stack_samples.h"

namespace tailback::tools {

struct PprofOptions {
  bool by_thread = false;  // labels thread_name and thread_id
};

std::string pprof_profile(const analyzers::Model& model, const ProfileKind& kind, const PprofOptions& options);

}  // namespace tailback::tools
