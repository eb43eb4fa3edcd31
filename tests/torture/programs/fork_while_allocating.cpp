// SPDX-License-Identifier: Apache-2.0
// fork_while_allocating CHILDREN: forks while eight threads allocate. Children by fork allocate and free, blocks of the parent too;
// those by the bare system call, for which nobody has put the locks in order, only end.
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr std::size_t kThreads = 8, kKept = 100;
std::atomic<bool> over{false};

void* allocate_on_and_on(void*) {
  std::array<void*, kKept> kept{};
  for (std::size_t turn = 0; !over.load(std::memory_order_relaxed); ++turn) {
    void*& place = kept[turn * 31 % kKept];
    std::free(place);
    place = std::malloc(1 + turn * 2654435761u % 3'000);
  }
  for (void* place : kept) std::free(place);
  return nullptr;
}

[[noreturn]] void live_as_child(std::vector<void*>& of_parent) {
  for (void* block : of_parent) std::free(block);
  for (std::size_t bytes = 1; bytes < 50'000; bytes += 501) {
    void* block = std::realloc(std::malloc(bytes), 2 * bytes);
    if (!block) _exit(1);
    std::free(block);
  }
  _exit(3);
}

bool ends_with(pid_t child, int status) {
  int seen = 0;
  return child > 0 && waitpid(child, &seen, 0) == child && WIFEXITED(seen) && WEXITSTATUS(seen) == status;
}

}  // namespace

int main(int argc, char** argv) {
  const int children = argc > 1 ? std::atoi(argv[1]) : 0;
  std::array<pthread_t, kThreads> threads;
  for (pthread_t& thread : threads)
    if (pthread_create(&thread, nullptr, allocate_on_and_on, nullptr) != 0) return 1;
  int forked = 0, bare = 0;
  for (int i = 0; i < children; ++i) {
    std::vector<void*> blocks;
    for (std::size_t bytes = 10; bytes < 5'000; bytes += 100) blocks.push_back(std::malloc(bytes));
    const pid_t child = fork();
    if (child == 0) live_as_child(blocks);
    forked += ends_with(child, 3);
    const pid_t other = static_cast<pid_t>(syscall(SYS_fork));
    if (other == 0) _exit(4);
    bare += ends_with(other, 4);
    for (void* block : blocks) std::free(block);
  }
  over = true;
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  std::printf("forked %d bare %d\n", forked, bare);
  return forked == children && bare == children ? 0 : 1;
}
