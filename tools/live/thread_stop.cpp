// SPDX-License-Identifier: Apache-2.0
#include "tools/live/thread_stop.h"

#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <thread>
#include <utility>

namespace tailback::tools {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPatience = 200ms;            // a thread in the kernel that cannot be interrupted (state D) does not stop
constexpr int kRounds = 3;                   // of listing threads: those not yet stopped may create others
constexpr std::size_t kMostStack = 1 << 20;  // what lies beyond is read when the process runs again
constexpr std::size_t kRedZone = 128;        // below the stack pointer, in use by leaf functions
constexpr std::size_t kWordsBelow = 24, kWordsAbove = 48;  // of a lock around the word that is waited on

// A signal that ends this command must not come between a stop and its end.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

long trace(int request, pid_t tid, std::uintptr_t data) {
  return ::ptrace(static_cast<__ptrace_request>(request), tid, nullptr, reinterpret_cast<void*>(data));
}

// The call that was interrupted by the stop, as the registers show it before the kernel restarts it or says EINTR.
std::optional<SystemCall> interrupted_call(const user_regs_struct& registers) {
  constexpr long kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514, kRestartBlock = -516;  // linux/errno.h
  const auto number = static_cast<long>(registers.orig_rax), result = static_cast<long>(registers.rax);
  const bool waits = result == kRestartSys || result == kRestartNoIntr || result == kRestartNoHand || result == kRestartBlock ||
                     result == -EINTR;
  if (number < 0 || !waits) return std::nullopt;
  return SystemCall{number, {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9}};
}

class Tracees {
 public:
  ~Tracees() { release(); }

  // 0, or the errno of the kernel's refusal.
  int seize(const TaskFacts& facts) {
    if (trace(PTRACE_SEIZE, facts.tid, 0) != 0) return errno;
    tracees_.push_back({facts, State::seized, 0});
    return 0;
  }

  void stop() {
    for (Tracee& tracee : tracees_)
      if (tracee.state == State::seized && trace(PTRACE_INTERRUPT, tracee.facts.tid, 0) != 0) tracee.state = State::gone;
    for (const auto end = Clock::now() + kPatience; some_run() && Clock::now() < end;) std::this_thread::sleep_for(20us);
  }

  void copy_to(ThreadStop& result, TargetMemory& memory, const std::vector<MappedRegion>& regions) const {
    for (const Tracee& tracee : tracees_) {
      StoppedThread thread{tracee.facts, std::nullopt, tracee.facts.call};
      user_regs_struct registers;
      if (tracee.state == State::stopped &&
          trace(PTRACE_GETREGS, tracee.facts.tid, reinterpret_cast<std::uintptr_t>(&registers)) == 0) {
        thread.registers = registers;
        thread.call = interrupted_call(registers);
        copy_stack(registers.rsp, memory, regions);
      }
      if (thread.call && (thread.call->number == SYS_futex || thread.call->number == SYS_restart_syscall))
        memory.copy_words((thread.call->arguments[0] & ~7ull) - kWordsBelow, kWordsBelow + kWordsAbove);
      result.threads.push_back(std::move(thread));
    }
  }

  // With the signal that was about to be delivered, if any. One that was stopped by SIGSTOP before goes back to that stop.
  void release() {
    for (const Tracee& tracee : tracees_)
      if (tracee.state == State::stopped) trace(PTRACE_DETACH, tracee.facts.tid, static_cast<std::uintptr_t>(tracee.signal));
    tracees_.clear();
  }

  bool has(pid_t tid) const {
    return std::any_of(tracees_.begin(), tracees_.end(), [tid](const Tracee& tracee) { return tracee.facts.tid == tid; });
  }

 private:
  enum class State { seized, stopped, gone };
  struct Tracee {
    TaskFacts facts;
    State state;
    int signal;
  };

  bool some_run() {
    bool some = false;
    for (Tracee& tracee : tracees_) {
      if (tracee.state != State::seized) continue;
      int status = 0;
      const pid_t got = ::waitpid(tracee.facts.tid, &status, __WALL | WNOHANG);
      if (got == tracee.facts.tid && WIFSTOPPED(status)) {
        tracee.state = State::stopped;
        tracee.signal = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);
      } else if (got != 0) {
        tracee.state = State::gone;
      } else {
        some = true;
      }
    }
    return some;
  }

  // The stack grows down, so what is in use reaches from the pointer to the end of its mapping at most.
  static void copy_stack(std::uint64_t pointer, TargetMemory& memory, const std::vector<MappedRegion>& regions) {
    const MappedRegion* region = region_at(regions, pointer);
    const std::uint64_t start = pointer - kRedZone;
    memory.copy_stack(start, region ? std::min<std::uint64_t>(region->end - start, kMostStack) : kMostStack);
  }

  std::vector<Tracee> tracees_;
};

// Facts of all threads are read before the first is stopped; those that are only found then get theirs late.
ThreadStop traced(pid_t pid, TargetMemory& memory, const std::vector<MappedRegion>& regions) {
  ThreadStop result;
  std::vector<TaskFacts> facts;
  for (const pid_t tid : task_ids(pid)) facts.push_back(read_task(pid, tid));
  Tracees tracees;
  std::vector<TaskFacts> left_out;
  const auto began = Clock::now();
  for (int round = 0; round < kRounds && !facts.empty(); ++round) {
    std::size_t seized = 0;
    for (const TaskFacts& task : facts) {
      const int refusal = tracees.seize(task);
      seized += refusal == 0;
      if (refusal == 0) continue;
      if (result.refusal == 0 || task.state != 'Z') result.refusal = refusal;
      if (refusal != ESRCH) left_out.push_back(task);
    }
    if (seized == 0) break;
    tracees.stop();
    facts.clear();
    for (const pid_t tid : task_ids(pid)) {
      const bool refused =
          std::any_of(left_out.begin(), left_out.end(), [tid](const TaskFacts& task) { return task.tid == tid; });
      if (!tracees.has(tid) && !refused) facts.push_back(read_task(pid, tid));
    }
  }
  tracees.copy_to(result, memory, regions);
  tracees.release();
  result.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  if (!result.threads.empty()) result.refusal = 0;
  for (TaskFacts& task : left_out) result.threads.push_back({task, std::nullopt, task.call});
  const auto rank = [pid](const StoppedThread& thread) { return std::pair(thread.facts.tid != pid, thread.facts.tid); };
  std::sort(result.threads.begin(), result.threads.end(),
            [&](const StoppedThread& a, const StoppedThread& b) { return rank(a) < rank(b); });
  return result;
}

}  // namespace

ThreadStop stop_and_copy(pid_t pid, TargetMemory& memory, const std::vector<MappedRegion>& regions) {
  ThreadStop result;
  std::exception_ptr trouble;
  const SignalsBlocked blocked;
  std::thread tracer([&] {
    try {
      result = traced(pid, memory, regions);
    } catch (...) {
      trouble = std::current_exception();
    }
  });
  tracer.join();
  if (trouble) std::rethrow_exception(trouble);
  return result;
}

}  // namespace tailback::tools
