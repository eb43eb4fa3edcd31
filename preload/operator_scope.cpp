// SPDX-License-Identifier: Apache-2.0
#include "preload/operator_scope.h"

#include <elf.h>
#include <link.h>

#include "preload/real.h"

namespace tailback::preload {

namespace {

constexpr std::uint32_t kMostSymbols = 512;
constinit ElfW(Sym) symbols_without_operators[kMostSymbols];

bool allocator_has_operators() {
  const void* operator_new = real::next_definition("_Znwm", std::integral_constant<std::uint32_t, real::gnu_hash("_Znwm")>::value);
  return operator_new && real::same_object(operator_new, reinterpret_cast<const void*>(TAILBACK_REAL(malloc)));
}

bool is_operator(const char* name) { return name[0] == '_' && name[1] == 'Z' && (name[2] == 'n' || name[2] == 'd'); }

// How many symbols there are: the hash table's chains end with the last.
std::uint32_t symbol_count(const std::uint32_t* hash) {
  const std::uint32_t buckets = hash[0], first = hash[1], words = hash[2];
  const std::uint32_t* bucket = hash + 4 + words * (sizeof(ElfW(Addr)) / sizeof *hash);
  const std::uint32_t* chain = bucket + buckets;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < buckets; ++i) last = bucket[i] > last ? bucket[i] : last;
  if (last < first) return 0;
  while (!(chain[last - first] & 1)) ++last;
  return last + 1;
}

}  // namespace

// The loader asks the dynamic section for the table at each look-up (D_PTR in glibc's elf/). A copy of it costs a process two pages;
// to write into the original, three, and two more mappings.
void withdraw_operators() {
  if (allocator_has_operators()) return;
  ElfW(Dyn)* table = nullptr;
  const std::uint32_t* hash = nullptr;
  const char* names = nullptr;
  for (ElfW(Dyn)* entry = _DYNAMIC; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_SYMTAB) table = entry;
    if (entry->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(entry->d_un.d_ptr);
    if (entry->d_tag == DT_GNU_HASH) hash = reinterpret_cast<const std::uint32_t*>(entry->d_un.d_ptr);
  }
  const std::uint32_t count = symbol_count(hash);
  if (count > kMostSymbols) return;
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(table->d_un.d_ptr);
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols_without_operators[i] = symbols[i];
    if (is_operator(names + symbols[i].st_name)) symbols_without_operators[i].st_shndx = SHN_UNDEF, symbols_without_operators[i].st_value = 0;
  }
  __atomic_store_n(&table->d_un.d_ptr, reinterpret_cast<ElfW(Addr)>(symbols_without_operators), __ATOMIC_RELEASE);
}

}  // namespace tailback::preload
