// SPDX-License-Identifier: Apache-2.0
// unwind_bench [ROUNDS]: cost of a walk by the agent's unwinder and by others, in one run: chains of distinct functions at
// depth 10, 30 and 100, and a random call tree. Contestants alternate; medians are printed, with ratios to the replayed walk.
// Built twice: libunwind replaces libgcc's symbols, so it has a program of its own.
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "agent/capture/code_map.h"
#include "agent/capture/pages.h"
#include "agent/capture/stacks.h"
#include "agent/capture/unwind.h"

#ifdef TAILBACK_BENCH_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#else
#include <unwind.h>

#include <boost/stacktrace.hpp>
#endif

namespace {

using namespace tailback::capture;

CodeMap code;
StackTable stacks;
Unwinder unwinder;
WalkCache* kept;
WalkCache* fresh;
StackBounds stack;

double now_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Each returns the number of frames found.
using Contestant = unsigned (*)();

__attribute__((noinline)) unsigned nothing() {
  asm volatile("" : : : "memory");
  return 1;
}

__attribute__((noinline)) unsigned replayed() { return unwinder.walk_here(0, stack, *kept).depth; }

__attribute__((noinline)) unsigned full() {
  std::memset(static_cast<void*>(fresh), 0, 8);  // its generation: what it kept is void
  return unwinder.walk_here(0, stack, *fresh).depth;
}

#ifdef TAILBACK_BENCH_LIBUNWIND
__attribute__((noinline)) unsigned libunwind_fast() {
  static void* addresses[512];
  return static_cast<unsigned>(unw_backtrace(addresses, 512));
}

__attribute__((noinline)) unsigned libunwind_stepping() {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  unsigned frames = 1;
  while (unw_step(&cursor) > 0) ++frames;
  return frames;
}
#else
_Unwind_Reason_Code count_frame(_Unwind_Context* context, void* frames) {
  if (_Unwind_GetIP(context)) ++*static_cast<unsigned*>(frames);
  return _URC_NO_REASON;
}

__attribute__((noinline)) unsigned libgcc() {
  unsigned frames = 0;
  _Unwind_Backtrace(count_frame, &frames);
  return frames;
}

__attribute__((noinline)) unsigned boost_stacktrace() {
  const boost::stacktrace::stacktrace trace(0, 512);
  return static_cast<unsigned>(trace.size());
}
#endif

struct Entry {
  const char* name;
  Contestant walk;
  unsigned repeats;
};

const std::vector<Entry> entries{
    {"(loop alone)", nothing, 20'000},
    {"tailback, replayed", replayed, 20'000},
    {"tailback, full", full, 5'000},
#ifdef TAILBACK_BENCH_LIBUNWIND
    {"unw_backtrace", libunwind_fast, 5'000},
    {"unw_step loop", libunwind_stepping, 20},
#else
    {"_Unwind_Backtrace", libgcc, 300},
    {"boost::stacktrace", boost_stacktrace, 300},
#endif
};

Contestant current;
unsigned repeats, depth_seen;
double measured;

__attribute__((noinline)) void leaf() {
  const double begin = now_ns();
  for (unsigned i = 0; i < repeats; ++i) depth_seen = current();
  measured = (now_ns() - begin) / repeats;
}

template <int N>
struct Chain {
  __attribute__((noinline)) static int go(int left) {
    volatile char room[16 + N % 7 * 24];
    room[0] = static_cast<char>(left);
    if (left <= 0) leaf();
    else Chain<N - 1>::go(left - 1);
    asm volatile("" : : : "memory");
    return room[0];
  }
};

template <>
struct Chain<0> {
  static int go(int) { return 0; }
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void print_table(const std::string& title, const std::vector<std::vector<double>>& samples, const std::vector<double>& depths) {
  std::printf("%s\n  %-20s %10s %10s %10s %10s\n", title.c_str(), "", "ns/walk", "frames", "ns/frame", "ratio");
  const double loop = median(samples[0]);
  const double base = median(samples[1]) - loop;
  for (std::size_t i = 1; i < entries.size(); ++i) {
    const double net = median(samples[i]) - loop;
    std::printf("  %-20s %10.1f %10.1f %10.2f %10.1f\n", entries[i].name, net, depths[i], net / depths[i], net / base);
  }
}

void bench_chain(int depth, int rounds) {
  std::vector<std::vector<double>> samples(entries.size());
  std::vector<double> depths(entries.size());
  current = replayed;
  repeats = 1;
  Chain<128>::go(1);
  const int around = static_cast<int>(depth_seen) - 1;  // frames that are there anyway
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      current = entries[i].walk;
      repeats = entries[i].repeats;
      Chain<128>::go(depth - around);
      samples[i].push_back(measured);
      depths[i] = depth_seen;
    }
  }
  print_table("chain, depth " + std::to_string(depth), samples, depths);
}

std::uint32_t random_state;
std::uint64_t walks, frames;

std::uint32_t random_bits() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

__attribute__((noinline)) void visit_near() {
  frames += current();
  ++walks;
  asm volatile("" : : : "memory");
}

__attribute__((noinline)) void visit_far(volatile int* place) {
  visit_near();
  *place = 1;
}

using Call = void (*)(int);
extern const Call tree[16];

template <int Shape>
__attribute__((noinline)) void branch(int depth) {
  volatile char room[8 + Shape * 16];
  volatile int place;
  room[0] = Shape;
  const int visits = 1 + static_cast<int>(random_bits() & 3);
  for (int i = 0; i < visits; ++i) {
    if (random_bits() & 1) visit_near();
    else visit_far(&place);
  }
  const int calls = depth > 0 ? 1 + (random_bits() % 3 == 0) : 0;
  for (int i = 0; i < calls; ++i) tree[random_bits() & 15](depth - 1);
  room[0] = static_cast<char>(room[0] + 1);
}

const Call tree[16] = {branch<0>, branch<1>, branch<2>,  branch<3>,  branch<4>,  branch<5>,  branch<6>,  branch<7>,
                       branch<8>, branch<9>, branch<10>, branch<11>, branch<12>, branch<13>, branch<14>, branch<15>};

template <int N>
struct Trunk {
  __attribute__((noinline)) static void go(int trees) {
    volatile char room[24];
    room[0] = 1;
    Trunk<N - 1>::go(trees);
    room[1] = room[0];
  }
};

template <>
struct Trunk<0> {
  __attribute__((noinline)) static void go(int trees) {
    for (int i = 0; i < trees; ++i) tree[random_bits() & 15](10);
    asm volatile("" : : : "memory");
  }
};

void bench_tree(int rounds) {
  std::vector<std::vector<double>> samples(entries.size());
  std::vector<double> depths(entries.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      current = entries[i].walk;
      random_state = 12345;
      walks = frames = 0;
      const double begin = now_ns();
      Trunk<20>::go(entries[i].repeats < 1000 ? 5 : 100);
      samples[i].push_back((now_ns() - begin) / static_cast<double>(walks));
      depths[i] = static_cast<double>(frames) / static_cast<double>(walks);
    }
  }
  print_table("random call tree", samples, depths);
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::max(1, std::atoi(arguments[1])) : 15;
  pthread_attr_t attributes;
  void* low;
  std::size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  stack = {reinterpret_cast<std::uint64_t>(low), reinterpret_cast<std::uint64_t>(low) + size};
  kept = static_cast<WalkCache*>(map_pages(kWalkCacheBytes));
  fresh = static_cast<WalkCache*>(map_pages(kWalkCacheBytes));
  if (!kept || !fresh || !code.init("/proc/self/exe") || !stacks.init(384 * 1024) || !unwinder.init(code, stacks)) return 1;
  for (const int depth : {10, 30, 100}) bench_chain(depth, rounds);
  bench_tree(rounds);
  std::printf("stack nodes %u\n", stacks.count());
  return 0;
}
