// SPDX-License-Identifier: Apache-2.0
// Which stacks lie inside a garbage collector: by the names of known runtimes' functions, local ones included; in a stripped CPython by
// its probes gc__start and gc__done, whose places the file tells; in a stripped Boehm collector by how deep its own calls go.
// Collections that a runtime does beside the program, on threads of its own, are not meant.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "analyzers/model/recording.h"
#include "analyzers/model/symbols.h"

namespace tailback::analyzers {

enum class Runtime : std::uint8_t { none, cpython, boehm, v8, hotspot, dotnet, ruby, lua, php, ocaml, julia, quickjs };
const char* to_string(Runtime runtime);

struct CollectorNode {
  Runtime runtime = Runtime::none;  // of the collector that this node is inside of
  StackId root = 0;                 // the node in which it began
};

// One for each node of the recording.
std::vector<CollectorNode> collector_nodes(const Recording& recording, const Symbols& symbols);

}  // namespace tailback::analyzers
