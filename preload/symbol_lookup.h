// SPDX-License-Identifier: Apache-2.0
// The next definition of a function after this library, read from the loaded objects' own hash tables: what dlsym(RTLD_NEXT, name)
// says, without the loader's locks, its error state and most of its cost. Valid while no object is being loaded or unloaded (in a
// constructor, or before any); nullptr where the table cannot say, for dlsym to answer.
#pragma once
#include <cstdint>

namespace tailback::real {

// The hash of the GNU symbol table (as gABI's DJB hash; https://flapenguin.me/elf-dt-gnu-hash describes the table).
constexpr std::uint32_t gnu_hash(const char* name) {
  std::uint32_t hash = 5381;
  for (; *name; ++name) hash = hash * 33 + static_cast<unsigned char>(*name);
  return hash;
}

void* next_definition(const char* name, std::uint32_t hash);

}  // namespace tailback::real
