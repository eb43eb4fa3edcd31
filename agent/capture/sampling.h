// SPDX-License-Identifier: Apache-2.0
// CPU samples: one timer on each thread's CPU clock, one signal whose default action is to be ignored (SIGURG), a handler that
// walks the interrupted stack and puts a sample into the thread's ring. The handler makes no system call, takes no lock and
// allocates nothing; its cost is accounted in ThreadBlock::handler_ns.
//
// Weight of a sample: (1 + overrun) periods, since a CPU-clock timer expires at the kernel's tick and says how many periods
// it missed. An overrun beyond what a late tick can hold means that the signal could not be delivered for a while; unless the
// thread is just returning from a system call (whose kernel time it then is), the excess is booked as lost, not to a stack.
#pragma once
#include <csignal>
#include <cstdint>

#include "agent/capture/thread.h"

namespace tailback::capture {

inline constexpr int kSampleSignal = SIGURG;

struct SamplingHooks {
  void (*used)();                                                        // a timer expired while nothing is recorded; may be null
  void (*after_sample)(ThreadBlock& thread);                             // at the end of each sample; may be null
  void (*foreign_signal)(int signal, siginfo_t* info, void* context);    // a SIGURG that is not ours
};

struct SamplingContext {
  Unwinder* unwinder;
  std::uint64_t session_start_ns;
  std::uint64_t tick_ns;                 // resolution of CPU-clock timers
  std::atomic<std::uint64_t> period_ns;  // CPU time between samples
  std::uint64_t most_timers;             // a timer holds one of the user's queued signals (RLIMIT_SIGPENDING)
  std::atomic<std::uint64_t> timers;
  SamplingHooks hooks;
};

extern SamplingContext sampling;

// The handler, for sigaction (SA_SIGINFO | SA_RESTART | SA_ONSTACK).
void on_sample_signal(int signal, siginfo_t* info, void* context);

// Arms the CPU timer of a thread of this process, its first expiry at a random phase. False: the kernel refused
// (RLIMIT_SIGPENDING, thread gone); the thread then has no stacks. Any thread may call it for any other.
bool arm_timer(ThreadBlock& thread);
void disarm_timer(ThreadBlock& thread);
// The same for a thread that has no block yet, after some CPU time of rest: the timer's number, or -1. It is given to the block later,
// if ever, and then expires like any other.
int arm_ownerless_timer(int tid, std::uint64_t rest_ns, std::uint64_t seed);
void own_timer(ThreadBlock& thread, int timer);
// Stops a timer until rearm_timer(); from any context.
void pause_timer(ThreadBlock& thread);
// Whether a signal came from one of these timers.
bool is_own_signal(const siginfo_t& info);
// Sets the period anew, after a change of sampling.period_ns.
void rearm_timer(ThreadBlock& thread);

// Resolution of CPU-clock timers on this kernel, nanoseconds.
std::uint64_t cpu_timer_tick_ns();

// How many timers leave the program enough of RLIMIT_SIGPENDING for its own signals: with none left, pthread_cancel and
// sigqueue fail.
std::uint64_t affordable_timers();

}  // namespace tailback::capture
