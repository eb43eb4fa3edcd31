// SPDX-License-Identifier: Apache-2.0
#include "preload/symbol_lookup.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include "agent/capture/dormant.h"

namespace tailback::real {

namespace {

struct Tables {
  const std::uint32_t* hash = nullptr;  // DT_GNU_HASH
  const ElfW(Sym)* symbols = nullptr;
  const char* names = nullptr;
  const ElfW(Half)* versions = nullptr;
};

Tables tables_of(const link_map& object) {
  Tables tables;
  for (const ElfW(Dyn)* entry = object.l_ld; entry && entry->d_tag != DT_NULL; ++entry) {
    // The loader replaces these by addresses, where it may write; the vDSO's stay offsets.
    const auto at = entry->d_un.d_ptr < object.l_addr ? entry->d_un.d_ptr + object.l_addr : entry->d_un.d_ptr;
    switch (entry->d_tag) {
      case DT_GNU_HASH: tables.hash = reinterpret_cast<const std::uint32_t*>(at); break;
      case DT_SYMTAB: tables.symbols = reinterpret_cast<const ElfW(Sym)*>(at); break;
      case DT_STRTAB: tables.names = reinterpret_cast<const char*>(at); break;
      case DT_VERSYM: tables.versions = reinterpret_cast<const ElfW(Half)*>(at); break;
      default: break;
    }
  }
  return tables;
}

bool same(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

const ElfW(Sym)* find(const Tables& tables, const char* name, std::uint32_t hash) {
  if (!tables.hash || !tables.symbols || !tables.names) return nullptr;
  const std::uint32_t buckets = tables.hash[0], first = tables.hash[1], words = tables.hash[2], shift = tables.hash[3];
  const auto* bloom = reinterpret_cast<const ElfW(Addr)*>(tables.hash + 4);
  const auto* bucket = reinterpret_cast<const std::uint32_t*>(bloom + words);
  const auto* chain = bucket + buckets;
  constexpr std::uint32_t kBits = sizeof(ElfW(Addr)) * 8;
  if (!buckets || !words) return nullptr;
  const ElfW(Addr) word = bloom[hash / kBits % words];
  if (!(word >> hash % kBits & word >> (hash >> shift) % kBits & 1)) return nullptr;
  for (std::uint32_t index = bucket[hash % buckets]; index >= first; ++index) {
    constexpr ElfW(Half) kNotDefault = 0x8000;  // an old version, kept for old programs
    const std::uint32_t entry = chain[index - first];
    const ElfW(Sym)& symbol = tables.symbols[index];
    if ((entry | 1) == (hash | 1) && symbol.st_shndx != SHN_UNDEF && same(tables.names + symbol.st_name, name) &&
        !(tables.versions && tables.versions[index] & kNotDefault))
      return &symbol;
    if (entry & 1) return nullptr;
  }
  return nullptr;
}

// The objects after this library, in the order in which they are searched, as far as they were there from the start: what is
// loaded later comes behind the last.
TAILBACK_DORMANT_DATA constinit const link_map* first_object = nullptr;
TAILBACK_DORMANT_DATA constinit const link_map* last_object = nullptr;
TAILBACK_DORMANT_DATA constinit bool found_objects = false;

void* definition_in(const link_map& object, const ElfW(Sym)& symbol) {
  return ELF64_ST_TYPE(symbol.st_info) == STT_FUNC ? reinterpret_cast<void*>(object.l_addr + symbol.st_value) : nullptr;
}

}  // namespace

// Before there is a second thread: in a constructor, or in a hook that another library's constructor calls.
void find_objects() {
  if (found_objects) return;
  dl_find_object own;
  if (_dl_find_object(reinterpret_cast<void*>(&find_objects), &own) == 0) {
    first_object = own.dlfo_link_map->l_next;
    for (const link_map* object = first_object; object; object = object->l_next) last_object = object;
  }
  found_objects = true;
}

const char* defined_before(const char* name, std::uint32_t hash) {
  dl_find_object own;
  if (_dl_find_object(reinterpret_cast<void*>(&find_objects), &own) != 0) return nullptr;
  const link_map* object = own.dlfo_link_map;
  while (object->l_prev) object = object->l_prev;
  for (; object && object != own.dlfo_link_map; object = object->l_next) {
    if (find(tables_of(*object), name, hash)) return object->l_name;
  }
  return nullptr;
}

bool same_object(const void* a, const void* b) {
  dl_find_object first, second;
  return _dl_find_object(const_cast<void*>(a), &first) == 0 && _dl_find_object(const_cast<void*>(b), &second) == 0 &&
         first.dlfo_link_map == second.dlfo_link_map;
}

void* next_definition(const char* name, std::uint32_t hash) {
  find_objects();
  for (const link_map* object = first_object; object; object = object->l_next) {
    if (const ElfW(Sym)* symbol = find(tables_of(*object), name, hash)) return definition_in(*object, *symbol);
    if (object == last_object) break;
  }
  return nullptr;
}

}  // namespace tailback::real
