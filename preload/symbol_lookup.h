// SPDX-License-Identifier: Apache-2.0
// The next definition of a function after this library, read from the loaded objects' own hash tables: what dlsym(RTLD_NEXT, name)
// says, without the loader's locks, its error state and most of its cost. Looks into the objects that were there from the start, which
// are never unloaded; nullptr where they cannot say, for dlsym to answer. Any thread, any signal handler.
#pragma once
#include <cstdint>

namespace tailback::real {

// The hash of the GNU symbol table (as gABI's DJB hash; https://flapenguin.me/elf-dt-gnu-hash describes the table).
constexpr std::uint32_t gnu_hash(const char* name) {
  std::uint32_t hash = 5381;
  for (; *name; ++name) hash = hash * 33 + static_cast<unsigned char>(*name);
  return hash;
}

// Notes the objects that there are now; later ones are not looked into. The first look-up does it otherwise.
void find_objects();

void* next_definition(const char* name, std::uint32_t hash);

// The path of the object that defines a function and is searched before this library, so that hooks of that name are never reached:
// "" for the executable; nullptr when there is none. Before there is a second thread.
const char* defined_before(const char* name, std::uint32_t hash);

// Whether two addresses lie in the same loaded object.
bool same_object(const void* a, const void* b);

}  // namespace tailback::real
