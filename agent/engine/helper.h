// SPDX-License-Identifier: Apache-2.0
// The agent's one thread. It starts with the program's second thread, blocks every signal but glibc's own two (so that
// setuid and cancellation keep working), uses a small stack, wakes a few times a second, and returns once it is the only
// thread left, so that a program whose main thread left by pthread_exit ends as it would without the agent.
#pragma once
#include <atomic>
#include <cstdint>

namespace tailback::engine {

class Session;

class Helper {
 public:
  // Starts it unless it runs already. From a thread of the program, not from a signal handler.
  void start(Session& owner);
  // Asks it to stop and waits, at most so long. After that nothing of it touches the session any more, or false.
  bool stop(std::uint64_t wait_ns);
  // Lets it do its work now.
  void look();
  // The same as stop, until the kernel has forgotten the thread: some calls look at the number of threads, or act on each of them.
  bool join(std::uint64_t wait_ns);
  // In a forked child the thread does not exist.
  void forget();

  bool running() const { return state_.load(std::memory_order_acquire) == kRunning; }
  int tid() const { return tid_.load(std::memory_order_relaxed); }
  std::uint64_t cpu_ns() const;  // so far

 private:
  static void* main(void* self);
  void loop();

  static constexpr std::uint32_t kOff = 0, kRunning = 1, kStopping = 2;
  std::atomic<std::uint32_t> state_{kOff};
  std::atomic<std::uint32_t> alive_{0};
  std::atomic<int> tid_{0};
  std::atomic<std::uint64_t> cpu_at_end_{0};
  Session* session_ = nullptr;
};

extern Helper helper;

}  // namespace tailback::engine
