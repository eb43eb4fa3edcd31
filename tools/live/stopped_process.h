// SPDX-License-Identifier: Apache-2.0
// A process whose threads are held by ptrace for as long as this object lives: to read their registers and stacks. Nothing is written
// into it; signals that arrive meanwhile are handed on, and one that was stopped before stays stopped. Calls that are asleep go on
// afterwards, but for the few that signal(7) names, which may return EINTR (epoll_wait, semop, sigtimedwait ...).
#pragma once
#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "tools/live/proc_threads.h"

namespace tailback::tools {

class StoppedProcess {
 public:
  // Threads that do not stop in time (state D) are left as they are. Throws Failure when ptrace is refused.
  explicit StoppedProcess(pid_t pid);
  ~StoppedProcess();
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;

  bool holds(pid_t tid) const;
  // Addresses, innermost first: exact for that frame and behind a signal's, else the return address - 1. `whole`: down to the thread's root.
  std::vector<std::uint64_t> stack(pid_t tid, bool& whole) const;
  // The system call that a held thread was asleep in when it stopped, into call and arguments.
  void read_call(ThreadStatus& status) const;
  std::chrono::microseconds since() const;  // it began to stop

 private:
  void release();
  void seize_all();
  void seize(pid_t tid);
  void await(pid_t tid);

  pid_t pid_;
  std::map<pid_t, int> threads_;  // with the signal to hand on; kNotStopped where it did not stop
  sigset_t mask_{};               // before
  void* space_ = nullptr;         // unw_addr_space_t
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace tailback::tools
