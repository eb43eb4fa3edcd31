// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/allocator_calls.h"

#include "agent/capture/stack_region.h"

namespace tailback::engine {

namespace {

std::uint64_t less(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

bool ask_glibc(const AllocatorCalls& calls, trace::AllocatorState& state) {
  if (!calls.mallinfo2) return false;
  const struct mallinfo2 info = calls.mallinfo2();
  state.allocator = "glibc";
  state.in_use_bytes = info.uordblks + info.hblkhd;
  state.free_bytes = info.fordblks;
  state.mapped_bytes = info.arena + info.hblkhd;
  state.trimmable_bytes = info.keepcost;
  return true;
}

// jemalloc(3), MALLCTL NAMESPACE: the figures are those of the last "epoch".
bool ask_jemalloc(const AllocatorCalls& calls, trace::AllocatorState& state) {
  if (!calls.mallctl) return false;
  std::uint64_t epoch = 1;
  std::size_t bytes = sizeof epoch;
  if (calls.mallctl("epoch", &epoch, &bytes, &epoch, sizeof epoch) != 0) return false;
  const auto figure = [&](const char* name) {
    std::size_t value = 0, size = sizeof value;
    return calls.mallctl(name, &value, &size, nullptr, 0) == 0 ? value : 0;
  };
  state.allocator = "jemalloc";
  state.in_use_bytes = figure("stats.allocated");
  state.mapped_bytes = figure("stats.mapped");
  state.resident_bytes = figure("stats.resident");
  state.retained_bytes = figure("stats.retained");
  state.free_bytes = less(state.resident_bytes, state.in_use_bytes);
  state.trimmable_bytes = less(state.resident_bytes, figure("stats.active") + figure("stats.metadata"));
  return state.in_use_bytes != 0 || state.mapped_bytes != 0;
}

// gperftools' malloc_extension.h.
bool ask_tcmalloc(const AllocatorCalls& calls, trace::AllocatorState& state) {
  if (!calls.numeric_property) return false;
  const auto figure = [&](const char* name) {
    std::size_t value = 0;
    return calls.numeric_property(name, &value) ? value : 0;
  };
  state.allocator = "tcmalloc";
  state.in_use_bytes = figure("generic.current_allocated_bytes");
  const std::uint64_t heap = figure("generic.heap_size"), unmapped = figure("tcmalloc.pageheap_unmapped_bytes");
  state.mapped_bytes = heap;
  state.resident_bytes = less(heap, unmapped);
  state.retained_bytes = unmapped;
  state.free_bytes = less(state.resident_bytes, state.in_use_bytes);
  state.trimmable_bytes = figure("tcmalloc.pageheap_free_bytes");
  return heap != 0;
}

// mimalloc does not count what is in use.
bool ask_mimalloc(const AllocatorCalls& calls, trace::AllocatorState& state) {
  if (!calls.process_info) return false;
  std::size_t committed = 0;
  calls.process_info(nullptr, nullptr, nullptr, nullptr, nullptr, &committed, nullptr, nullptr);
  state.allocator = "mimalloc";
  state.mapped_bytes = committed;
  return true;
}

}  // namespace

bool ask_allocator(const AllocatorCalls& calls, trace::AllocatorState& state) {
  switch (calls.kind) {
    case AllocatorKind::glibc: return ask_glibc(calls, state);
    case AllocatorKind::jemalloc: return ask_jemalloc(calls, state);
    case AllocatorKind::tcmalloc: return ask_tcmalloc(calls, state);
    case AllocatorKind::mimalloc: return ask_mimalloc(calls, state);
    case AllocatorKind::unknown: break;
  }
  return false;
}

std::uint64_t glibc_cached_mark(const AllocatorCalls& calls) {
  if (calls.kind != AllocatorKind::glibc || !calls.malloc || !calls.free) return 0;
  constexpr std::size_t kBytes = 24;
  auto* block = static_cast<std::uint64_t*>(calls.malloc(kBytes));
  if (!block) return 0;
  const auto second = reinterpret_cast<std::uint64_t>(block + 1);
  __atomic_store_n(block + 1, 0, __ATOMIC_RELAXED);
  calls.free(block);
  return capture::load_word(second);  // the page is still the allocator's: so small a block is not given back
}

}  // namespace tailback::engine
