// SPDX-License-Identifier: Apache-2.0
// Memory that the program maps by itself, told like blocks of an allocator: by its own function that asked for it.
#pragma once
#include <vector>

#include "analyzers/rules/allocation_places.h"

namespace tailback::analyzers {

// Most bytes first. What is alive in each is known as a part of all mappings only; times are those inside mmap and munmap.
std::vector<AllocationPlace> mapping_places(const Model& model);

}  // namespace tailback::analyzers
