// SPDX-License-Identifier: Apache-2.0
// The stack of another thread while it sleeps in the kernel: its pc and sp by /proc/self/task/T/syscall, its frames from a copy of its
// stack. The thread is not touched, and sent no signal, which would wake it. Its other registers are not known: the hooks keep their
// caller's frame pointer on the stack (tests/end_to_end/live_test.py sees to that), so that these are missed only where a program sleeps
// by system calls of its own.
// On the helper thread.
#pragma once
#include "agent/capture/unwind.h"

namespace tailback::engine {

class SleepingStack {
 public:
  void init(capture::Unwinder& unwinder) { unwinder_ = &unwinder; }

  struct Look {
    bool asleep = false;
    capture::StackId stack = 0;  // 0: it runs, woke up meanwhile, or cannot be walked
  };
  // `walk`: whether the stack is wanted.
  Look of(std::int32_t tid, bool walk);

 private:
  capture::Unwinder* unwinder_ = nullptr;
  capture::WalkCache* cache_ = nullptr;
};

}  // namespace tailback::engine
