// SPDX-License-Identifier: Apache-2.0
// Uses CPU on stacks that no thread owns, jumps over frames, throws through many, and unmaps stacks right after use: what a
// stack walker must survive. Prints the sums that must come out.
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/end_to_end/programs/clocks.h"

namespace {

constexpr std::size_t kStack = 64 * 1024;
thread_local ucontext_t home, elsewhere;
thread_local std::uint64_t steps = 0;

void on_own_stack() {
  for (int i = 0; i < 2000; ++i) programs::step(++steps);
  swapcontext(&elsewhere, &home);
  for (int i = 0; i < 2000; ++i) programs::step(++steps);
}

void coroutines(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getcontext(&elsewhere);
    elsewhere.uc_stack.ss_sp = stack;
    elsewhere.uc_stack.ss_size = kStack;
    elsewhere.uc_link = &home;
    makecontext(&elsewhere, on_own_stack, 0);
    swapcontext(&home, &elsewhere);
    swapcontext(&home, &elsewhere);
    munmap(stack, kStack);
  }
}

void jump(jmp_buf back, int depth);
void (*volatile jump_again)(jmp_buf, int) = jump;  // no compiler sees that only longjmp ends this recursion

__attribute__((noinline)) void jump(jmp_buf back, int depth) {
  if (depth == 0) longjmp(back, 1);
  programs::step(++steps);
  jump_again(back, depth - 1);
  __asm__ volatile("");
}

__attribute__((noinline)) void jump_back_once() {
  jmp_buf back;
  if (setjmp(back) == 0) jump(back, 30);
}

void jumps(int rounds) {
  for (int round = 0; round < rounds; ++round) jump_back_once();
}

__attribute__((noinline)) int throw_from(int depth) {
  programs::step(++steps);
  if (depth == 0) throw depth;
  return throw_from(depth - 1) + 1;
}

void exceptions(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    try {
      throw_from(30);
    } catch (int) {
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 300;
  std::vector<std::thread> workers;
  std::vector<std::uint64_t> sums(4);
  for (std::uint64_t& sum : sums) {
    workers.emplace_back([&sum, rounds] {
      coroutines(rounds);
      jumps(rounds * 100);
      exceptions(rounds * 10);
      sum = steps;
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const std::uint64_t sum : sums) std::printf("steps %llu\n", static_cast<unsigned long long>(sum));
  return 0;
}
