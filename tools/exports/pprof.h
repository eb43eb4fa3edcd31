// SPDX-License-Identifier: Apache-2.0
// CPU time as pprof's profile.proto: samples/count and cpu/nanoseconds, fully symbolised, inline frames included, ids
// sequential from 1, the executable as first mapping. Not compressed; on disk it belongs in gzip.
#pragma once
#include <string>

#include "analyzers/model/model.h"

namespace tailback::tools {

struct PprofOptions {
  bool by_thread = false;  // labels thread_name and thread_id
};

std::string pprof_profile(const analyzers::Model& model, const PprofOptions& options);

}  // namespace tailback::tools
