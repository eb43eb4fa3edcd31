// SPDX-License-Identifier: Apache-2.0
// Profiles of other tools as Recordings: heaptrack files, heap and growth profiles of gperftools, heap dumps of jemalloc, pprof profiles
// (heap, CPU), folded stacks; each as it is or compressed with gzip or zstd. The format is told by the content, never by the name. What a
// format does not hold stays unknown (Recording::source, AllocationTables::facts), so that rules can say why they cannot look.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

// Nothing: the file is no foreign profile that is known. Throws InputError, naming file, cause and remedy, for one that is and holds
// nothing of use, or when the options ask for a part of it: these files are read as a whole.
std::optional<Recording> read_foreign_profile(const std::string& path, const ReadOptions& options = {});
std::optional<Recording> read_foreign_image(std::span<const std::uint8_t> image, const std::string& name, const ReadOptions& options = {});

}  // namespace tailback::analyzers
