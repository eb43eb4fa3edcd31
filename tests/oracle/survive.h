// SPDX-License-Identifier: Apache-2.0
// Lets a test outlive a crash of the *other* unwinder: some read code bytes at whatever address they believe they came from,
// which at a few instructions of libc (the switch of stacks in swapcontext) is none. Ours is never run inside.
#pragma once
#include <setjmp.h>
#include <signal.h>

#include <cstring>

namespace tailback::oracle {

struct Survival {
  static inline sigjmp_buf back;
  static inline volatile bool armed = false;

  static void on_crash(int signal, siginfo_t*, void*) {
    if (armed) siglongjmp(back, 1);
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);  // a crash of our own: it comes again, for good
  }

  static void install() {
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
  }

  // False: `attempt` crashed.
  template <class Attempt>
  static bool attempt(Attempt&& attempt) {
    if (sigsetjmp(back, 0) != 0) {
      armed = false;
      return false;
    }
    armed = true;
    attempt();
    armed = false;
    return true;
  }
};

}  // namespace tailback::oracle
