// SPDX-License-Identifier: Apache-2.0
// Four threads that allocate in every way, pass half of their blocks to the next thread to be freed there, and look whether each
// block still holds what was written. The same program with every allocator: linked, preloaded, or inside the executable.
#include <malloc.h>
#include <pthread.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kThreads = 4, kRounds = 20'000, kKept = 200, kKinds = 10;

struct Block {
  unsigned char* start = nullptr;
  std::size_t bytes = 0, kind = 0;
};

struct Inbox {
  std::mutex mutex;
  std::vector<Block> blocks;
};

struct Worker {
  std::size_t number = 0;
  std::uint64_t allocated = 0, freed = 0, damaged = 0;
};

std::array<Inbox, kThreads> inboxes;
std::array<Worker, kThreads> workers;

void* aligned(std::size_t bytes) {
  void* block = nullptr;
  return posix_memalign(&block, 256, bytes) == 0 ? block : nullptr;
}

void* copied(std::size_t bytes) { return strdup(std::string(bytes, 'x').c_str()); }

void* resized(std::size_t bytes) {
  void* block = std::malloc(bytes / 2 + 1);
  return block ? std::realloc(block, bytes) : nullptr;
}

void* allocate(std::size_t kind, std::size_t bytes) {
  switch (kind) {
    case 0: return std::malloc(bytes);
    case 1: return std::calloc(bytes, 1);
    case 2: return resized(bytes);
    case 3: return reallocarray(nullptr, bytes, 1);
    case 4: return std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    case 5: return aligned(bytes);
    case 6: return memalign(128, bytes);
    case 7: return copied(bytes);
    case 8: return ::operator new(bytes);
    default: return ::operator new[](bytes, std::align_val_t{64});
  }
}

void release(Worker& worker, const Block& block) {
  for (const std::size_t at : {std::size_t{0}, block.bytes / 2, block.bytes - 1}) worker.damaged += block.start[at] != (block.bytes & 255);
  worker.damaged += malloc_usable_size(block.start) < block.bytes;
  if (block.kind == 8) ::operator delete(block.start);
  else if (block.kind == 9) ::operator delete[](block.start, std::align_val_t{64});
  else std::free(block.start);
  ++worker.freed;
}

void release_inbox(Worker& worker) {
  std::vector<Block> arrived;
  {
    const std::lock_guard lock(inboxes[worker.number].mutex);
    arrived.swap(inboxes[worker.number].blocks);
  }
  for (const Block& block : arrived) release(worker, block);
}

void pass_on(const Worker& worker, const Block& block) {
  Inbox& inbox = inboxes[(worker.number + 1) % kThreads];
  const std::lock_guard lock(inbox.mutex);
  inbox.blocks.push_back(block);
}

void* work(void* given) {
  auto& worker = *static_cast<Worker*>(given);
  std::array<Block, kKept> kept;
  for (std::size_t round = 0; round < kRounds; ++round) {
    const std::size_t bytes = 1 + round * 2654435761u % (round % 100 == 0 ? 300'000 : 2'000);
    Block& place = kept[round % kKept];
    if (place.start && round % 2 == 0) pass_on(worker, place);
    else if (place.start) release(worker, place);
    place = {static_cast<unsigned char*>(allocate(round % kKinds, bytes)), bytes, round % kKinds};
    if (!place.start) return nullptr;
    ++worker.allocated;
    std::memset(place.start, static_cast<int>(bytes & 255), bytes);
    if (round % 64 == 0) release_inbox(worker);
  }
  for (const Block& block : kept) release(worker, block);
  return nullptr;
}

}  // namespace

int main() {
  std::array<pthread_t, kThreads> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    workers[i].number = i;
    if (pthread_create(&threads[i], nullptr, work, &workers[i]) != 0) return 1;
  }
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  std::uint64_t allocated = 0, freed = 0, damaged = 0;
  for (Worker& worker : workers) {
    release_inbox(worker);
    allocated += worker.allocated, freed += worker.freed, damaged += worker.damaged;
  }
  std::printf("allocated %lu freed %lu damaged %lu\n", allocated, freed, damaged);
  return damaged == 0 && allocated == kThreads * kRounds && freed == allocated ? 0 : 1;
}
