// SPDX-License-Identifier: Apache-2.0
#include "tools/live/stopped_process.h"

#include <fmt/format.h>
#include <libunwind-ptrace.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "tools/command.h"

namespace tailback::tools {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNotStopped = -1;
constexpr std::size_t kMostFrames = 2048;
constexpr std::chrono::milliseconds kPatience{200};  // for all threads together
constexpr std::chrono::microseconds kPause{50};

unw_addr_space_t space_of(void* space) { return static_cast<unw_addr_space_t>(space); }

std::string why_refused(pid_t pid, int error) {
  if (error == ESRCH) return fmt::format("there is no process {} any more", pid);
  if (const std::string tracer = status_field(pid, "TracerPid"); !tracer.empty() && tracer != "0")
    return fmt::format("process {} is held by process {} ({}), and only one may do so; end that first", pid, tracer, command_of(std::stoi(tracer)));
  std::ifstream scope("/proc/sys/kernel/yama/ptrace_scope");
  if (int value = 0; scope >> value && value > 0)
    return fmt::format("process {} may not be looked at by ptrace: /proc/sys/kernel/yama/ptrace_scope is {}; run this as root, start the process by 'tailback "
                       "record', or allow it by 'sysctl kernel.yama.ptrace_scope=0'", pid, value);
  return fmt::format("process {} may not be looked at by ptrace: {}; run this as the user who started it, or as root", pid, std::strerror(error));
}

}  // namespace

StoppedProcess::StoppedProcess(pid_t pid) : pid_(pid), begin_(Clock::now()) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &mask_);  // a Ctrl-C must not leave it stopped
  space_ = unw_create_addr_space(&_UPT_accessors, 0);
  if (space_) unw_set_caching_policy(space_of(space_), UNW_CACHE_GLOBAL);
  try {
    seize_all();
  } catch (...) {
    release();
    throw;
  }
}

StoppedProcess::~StoppedProcess() { release(); }

void StoppedProcess::release() {
  for (const auto& [tid, signal] : threads_)
    if (signal != kNotStopped) ::ptrace(PTRACE_DETACH, tid, nullptr, signal);  // the others go free when this process ends
  if (space_) unw_destroy_addr_space(space_of(space_));
  sigprocmask(SIG_SETMASK, &mask_, nullptr);
}

// Threads may be created until all are stopped: until a look finds no new one.
void StoppedProcess::seize_all() {
  for (bool found = true; found;) {
    found = false;
    for (const pid_t tid : threads_of(pid_)) {
      if (threads_.contains(tid)) continue;
      found = true;
      seize(tid);
    }
    for (const auto& [tid, signal] : threads_)
      if (signal == kNotStopped) await(tid);
  }
}

void StoppedProcess::seize(pid_t tid) {
  if (::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) {
    const int error = errno;
    const bool ended = (error == ESRCH && tid != pid_) || status_of(pid_, tid).state == 'Z';  // a main thread may end before the others
    if (!ended) throw Failure(kFailed, why_refused(pid_, error));
    threads_.emplace(tid, kNotStopped);
    return;
  }
  threads_.emplace(tid, kNotStopped);
  ::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr);
}

void StoppedProcess::await(pid_t tid) {
  for (int status = 0; Clock::now() - begin_ < kPatience; ::usleep(static_cast<useconds_t>(kPause.count()))) {
    const pid_t got = ::waitpid(tid, &status, __WALL | WNOHANG);
    if (got < 0 || (got == tid && !WIFSTOPPED(status))) return;  // it has ended
    if (got != tid) continue;
    const bool by_us = status >> 16 == PTRACE_EVENT_STOP;  // or by a stop signal, which stays in force by itself
    threads_[tid] = by_us ? 0 : WSTOPSIG(status);
    return;
  }
}

bool StoppedProcess::holds(pid_t tid) const {
  const auto at = threads_.find(tid);
  return at != threads_.end() && at->second != kNotStopped;
}

std::vector<std::uint64_t> StoppedProcess::stack(pid_t tid, bool& whole) const {
  std::vector<std::uint64_t> frames;
  whole = false;
  void* context = space_ ? _UPT_create(tid) : nullptr;
  if (!context) return frames;
  unw_cursor_t cursor;
  bool exact = true;
  if (unw_init_remote(&cursor, space_of(space_), context) == 0) {
    int more = 1;
    do {
      unw_word_t address = 0;
      if (unw_get_reg(&cursor, UNW_REG_IP, &address) != 0 || address == 0) break;
      frames.push_back(exact ? address : address - 1);
      exact = unw_is_signal_frame(&cursor) > 0;
      more = unw_step(&cursor);
    } while (more > 0 && frames.size() < kMostFrames);
    whole = more == 0;
  }
  _UPT_destroy(context);
  return frames;
}

void StoppedProcess::read_call(ThreadStatus& status) const {
  user_regs_struct registers{};
  status.call = -1;
  if (::ptrace(PTRACE_GETREGS, status.tid, nullptr, &registers) != 0) return;
  const auto result = static_cast<long>(registers.rax);
  constexpr long kFirstRestart = 512, kLastRestart = 516;  // ERESTARTSYS to ERESTART_RESTARTBLOCK: what the kernel leaves of a call that it will repeat
  if (result != -EINTR && (result > -kFirstRestart || result < -kLastRestart)) return;
  status.call = static_cast<long>(registers.orig_rax);
  status.arguments = {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9};
}

std::chrono::microseconds StoppedProcess::since() const { return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin_); }

}  // namespace tailback::tools
