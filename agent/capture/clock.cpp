// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/clock.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <time.h>

#include "agent/capture/dormant.h"
#include "agent/capture/syscalls.h"

namespace tailback::capture {

namespace {

using ClockGettime = int (*)(clockid_t, timespec*);

TAILBACK_DORMANT_DATA constinit ClockGettime vdso_clock_gettime = nullptr;

// The dynamic symbols of the vDSO image, as mapped by the kernel (trusted memory, laid out like any shared object).
struct VdsoSymbols {
  const char* names = nullptr;
  const ElfW(Sym)* symbols = nullptr;
  std::uint32_t count = 0;
  std::uint64_t bias = 0;
};

VdsoSymbols read_vdso() {
  VdsoSymbols found;
  const auto base = getauxval(AT_SYSINFO_EHDR);
  if (base == 0) return found;
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(base);
  const auto* segments = reinterpret_cast<const ElfW(Phdr)*>(base + header->e_phoff);
  const ElfW(Dyn)* dynamic = nullptr;
  bool loaded = false;
  for (unsigned i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD && !loaded) {
      found.bias = base + segments[i].p_offset - segments[i].p_vaddr;
      loaded = true;
    }
    if (segments[i].p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(base + segments[i].p_offset);
  }
  if (!loaded || !dynamic) return found;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    const auto at = dynamic->d_un.d_ptr + found.bias;
    if (dynamic->d_tag == DT_STRTAB) found.names = reinterpret_cast<const char*>(at);
    if (dynamic->d_tag == DT_SYMTAB) found.symbols = reinterpret_cast<const ElfW(Sym)*>(at);
    if (dynamic->d_tag == DT_HASH) found.count = reinterpret_cast<const std::uint32_t*>(at)[1];
    if (dynamic->d_tag == DT_GNU_HASH && found.count == 0) {
      // The vDSO's table is tiny: the highest symbol index of all chains, by walking each to its end mark.
      const auto* gnu = reinterpret_cast<const std::uint32_t*>(at);
      const std::uint32_t buckets = gnu[0], first = gnu[1], bloom = gnu[2];
      const auto* bucket = gnu + 4 + bloom * (sizeof(ElfW(Addr)) / 4);
      const auto* chain = bucket + buckets;
      for (std::uint32_t b = 0; b < buckets; ++b) {
        std::uint32_t index = bucket[b];
        if (index < first) continue;
        while (!(chain[index - first] & 1)) ++index;
        if (index + 1 > found.count) found.count = index + 1;
      }
    }
  }
  if (!found.names || !found.symbols) found.count = 0;
  return found;
}

bool same_text(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

std::uint64_t read_clock(clockid_t clock) {
  timespec now{};
  sys::call(__NR_clock_gettime, clock, sys::arg(&now));
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

void init_clock() {
  for_each_vdso_symbol(
      [](void*, std::uint64_t address, std::uint64_t, const char* name) {
        if (same_text(name, "__vdso_clock_gettime")) vdso_clock_gettime = reinterpret_cast<ClockGettime>(address);
      },
      nullptr);
}

void for_each_vdso_symbol(SymbolVisitor visit, void* context) {
  const VdsoSymbols vdso = read_vdso();
  for (std::uint32_t i = 0; i < vdso.count; ++i) {
    const auto& symbol = vdso.symbols[i];
    if (symbol.st_shndx == SHN_UNDEF || (symbol.st_info & 15) != STT_FUNC) continue;
    visit(context, symbol.st_value + vdso.bias, symbol.st_size, vdso.names + symbol.st_name);
  }
}

std::uint64_t monotonic_ns() {
  timespec now;
  if (!vdso_clock_gettime || vdso_clock_gettime(CLOCK_MONOTONIC, &now) != 0) return read_clock(CLOCK_MONOTONIC);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint64_t monotonic_ns_once() { return read_clock(CLOCK_MONOTONIC); }
std::uint64_t realtime_ns() { return read_clock(CLOCK_REALTIME); }
std::uint64_t thread_cpu_ns() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
std::uint64_t process_cpu_ns() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

// The kernel's encoding of a thread's scheduler clock: ~tid << 3 | 4 (per thread) | 2 (scheduler time).
std::uint64_t thread_cpu_ns(int tid) { return read_clock((~static_cast<clockid_t>(tid) << 3) | 6); }

}  // namespace tailback::capture
