// SPDX-License-Identifier: Apache-2.0
// A pseudo-random tree of calls through functions of many shapes: frames of all sizes, alloca and rbp frames, realigned
// stacks, exceptions through some, longjmp over some. Calls `visit` at random places of it. The same seed, the same tree.
#pragma once
#include <csetjmp>
#include <cstdint>

namespace tailback::oracle {

class RandomCalls {
 public:
  using Visit = void (*)();

  explicit RandomCalls(Visit visit, std::uint32_t seed = 777) {
    state = seed;
    visit_place = visit;
  }

  // One tree of at most about `depth` calls.
  void run(int depth) {
    if (setjmp(escape) == 0) {
      try {
        table[random() % kShapes](depth);
      } catch (int) {
        visit_place();
      }
    }
  }

  static std::uint32_t random() {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
  }

  static inline bool jumps = true;  // exceptions and longjmp

 private:
  static constexpr unsigned kShapes = 16;
  using Call = void (*)(int);

  static inline std::uint32_t state;
  static inline Visit visit_place;
  static inline std::jmp_buf escape;
  static const Call table[kShapes];

  // The frame has to hold this memory until here.
  static void keep(char* room) { asm volatile("" : : "r"(room) : "memory"); }

  __attribute__((noinline)) static void near_leaf(volatile int* place) {
    visit_place();
    *place = 1;
  }

  static void leaves(volatile int* place) {
    const int count = 1 + (random() & 3);
    for (int i = 0; i < count; ++i) {
      if (random() & 1) visit_place();
      else near_leaf(place);
    }
  }

  static void go_down(int depth) {
    if (jumps && random() % 97 == 0) std::longjmp(escape, 1);
    if (jumps && random() % 53 == 0) throw 1;
    if (depth <= 0) return;
    const int calls = 1 + (random() % 3 == 0);
    for (int i = 0; i < calls; ++i) {
      if (random() % 5 == 0) {
        try {
          table[random() % kShapes](depth - 1);
        } catch (int) {
          visit_place();
        }
      } else {
        table[random() % kShapes](depth - 1);
      }
    }
  }

  template <int Shape>
  __attribute__((noinline)) static void plain(int depth) {
    char room[8 + Shape * 16];
    volatile int place;
    keep(room);
    leaves(&place);
    go_down(depth);
    keep(room);
  }

  template <int Shape>
  __attribute__((noinline)) static void with_alloca(int depth) {
    auto* room = static_cast<char*>(__builtin_alloca(32 + Shape + (random() & 1023)));
    volatile int place;
    keep(room);
    leaves(&place);
    go_down(depth);
    keep(room);
  }

  template <int Shape>
  __attribute__((noinline)) static void realigned(int depth) {
    alignas(64 << (Shape % 3)) char room[64 + Shape];
    auto* more = static_cast<char*>(__builtin_alloca(16 + (random() & 63)));
    volatile int place;
    keep(room);
    keep(more);
    leaves(&place);
    go_down(depth);
    keep(room);
  }
};

inline const RandomCalls::Call RandomCalls::table[kShapes] = {
    plain<0>, plain<1>, plain<2>, plain<3>, plain<4>,       plain<40>,      with_alloca<6>, with_alloca<7>,
    plain<8>, plain<9>, plain<10>, plain<500>, with_alloca<12>, realigned<13>, realigned<14>, realigned<15>};

}  // namespace tailback::oracle
