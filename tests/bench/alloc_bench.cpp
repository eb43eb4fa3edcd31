// SPDX-License-Identifier: Apache-2.0
// alloc_bench site|stacks|alive THREADS PAIRS: pairs of malloc and free, and the CPU time of the process for each, as "each_ns N"; a
// profiler's threads inside the process count, its other processes do not.
//   site    one call site, up to 512 blocks of mixed sizes alive
//   stacks  some 30 frames deep, in a random tree of calls: the stack changes from call to call; up to 10,000 blocks alive. The tree
//           comes again after 100,000 pairs, as programs come again to where they were
//   alive   all PAIRS blocks, of 32 bytes, are alive at a time before they are freed: for the memory that a profiler takes
#include <pthread.h>
#include <time.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kMostThreads = 64, kSiteAlive = 512, kStacksAlive = 10'000;
constexpr std::size_t kOuterFrames = 18, kInnerFrames = 12, kFunctions = 16;
constexpr std::uint64_t kPairsOfTree = 100'000, kSeed = 0x9e3779b97f4a7c15u;

struct Worker {
  std::uint64_t random = 0, left = 0;  // pairs to make
  std::vector<void*> alive;
};

std::uint64_t next_random(Worker& worker) {
  worker.random ^= worker.random << 13, worker.random ^= worker.random >> 7, worker.random ^= worker.random << 17;
  return worker.random;
}

// Ten of sixteen below 128 bytes, four below 1 KiB, one below 4 KiB, one tiny.
std::size_t mixed_bytes(std::uint64_t random) {
  const std::uint64_t kind = random & 15, more = random >> 8;
  if (kind < 10) return 16 + more % 112;
  if (kind < 14) return 128 + more % 896;
  return kind < 15 ? 1'024 + more % 3'072 : 8 + more % 24;
}

[[gnu::always_inline]] inline void one_pair(Worker& worker) {
  const std::uint64_t random = next_random(worker);
  void*& place = worker.alive[(random >> 40) % worker.alive.size()];
  std::free(place);
  place = std::malloc(mixed_bytes(random));
  if (!place) std::abort();
  *static_cast<volatile char*>(place) = 1;
  --worker.left;
}

[[gnu::noinline]] void pairs_at_one_site(Worker& worker) {
  while (worker.left > 0) one_pair(worker);
}

// Before and after a call: the frame stays and the call is no jump.
inline void keep(char* own) { __asm__ volatile("" : : "r"(own) : "memory"); }

// Frames of the tree differ in size and code, so that none is like the other to an unwinder.
using Visit = void (*)(Worker&, std::size_t depth);
extern const std::array<Visit, kFunctions> kVisits;

template <std::size_t function>
[[gnu::noinline]] void visit(Worker& worker, std::size_t depth) {
  char own[8 + function * 16];
  keep(own);
  for (std::uint64_t pairs = 1 + next_random(worker) % 3; pairs > 0 && worker.left > 0; --pairs) one_pair(worker);
  for (std::uint64_t calls = 1 + (next_random(worker) % 3 == 0); depth > 0 && calls > 0 && worker.left > 0; --calls)
    kVisits[next_random(worker) % kFunctions](worker, depth - 1);
  keep(own);
}

template <std::size_t... function>
constexpr std::array<Visit, kFunctions> visits(std::index_sequence<function...>) {
  return {visit<function>...};
}
const std::array<Visit, kFunctions> kVisits = visits(std::make_index_sequence<kFunctions>());

// Each walk of the tree takes part of the pairs; the walks of one tree have the same random numbers as those of the one before.
[[gnu::noinline]] void walk_tree(Worker& worker) {
  const std::uint64_t seed = worker.random;
  while (worker.left > 0) {
    worker.random = seed;
    const std::uint64_t end = worker.left > kPairsOfTree ? worker.left - kPairsOfTree : 0;
    while (worker.left > end) kVisits[next_random(worker) % kFunctions](worker, kInnerFrames);
  }
}

template <std::size_t frames>
[[gnu::noinline]] void outer_frame(Worker& worker) {
  char own[24];
  keep(own);
  if constexpr (frames == 0) walk_tree(worker);
  else outer_frame<frames - 1>(worker);
  keep(own);
}

[[gnu::noinline]] void all_alive(Worker& worker) {
  for (void*& place : worker.alive) {
    place = std::malloc(32);
    if (!place) std::abort();
  }
}

struct Kind {
  std::string_view name;
  void (*work)(Worker&);
  std::size_t alive;  // in all threads; none: as many as pairs
};
constexpr Kind kKinds[] = {{"site", pairs_at_one_site, kSiteAlive}, {"stacks", outer_frame<kOuterFrames>, kStacksAlive}, {"alive", all_alive, 0}};

const Kind* kind = nullptr;

void* run_worker(void* given) {
  auto& worker = *static_cast<Worker*>(given);
  kind->work(worker);
  for (void* place : worker.alive) std::free(place);
  return nullptr;
}

double process_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

void run(std::array<Worker, kMostThreads>& workers, std::size_t threads) {
  std::array<pthread_t, kMostThreads> started;
  for (std::size_t i = 1; i < threads; ++i)
    if (pthread_create(&started[i], nullptr, run_worker, &workers[i]) != 0) std::abort();
  run_worker(&workers[0]);
  for (std::size_t i = 1; i < threads; ++i) pthread_join(started[i], nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Kind& one : kKinds)
    if (argc == 4 && one.name == argv[1]) kind = &one;
  const std::size_t threads = kind ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (threads < 1 || threads > kMostThreads) return 2;
  const std::uint64_t pairs = std::strtoull(argv[3], nullptr, 10) / threads;
  static std::array<Worker, kMostThreads> workers;
  for (std::size_t i = 0; i < threads; ++i) {
    workers[i].random = kSeed * (i + 1);
    workers[i].left = pairs;
    workers[i].alive.resize(kind->alive ? kind->alive / threads : pairs);
  }
  const double began = process_cpu_ns();
  run(workers, threads);
  std::printf("each_ns %.2f\n", (process_cpu_ns() - began) / static_cast<double>(pairs * threads));
  return 0;
}
