// SPDX-License-Identifier: Apache-2.0
#include "tools/live/wait_description.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <map>

namespace tailback::tools {

namespace {

using analyzers::ProcessLook;
using analyzers::ThreadLook;

enum class On { nothing, descriptor, child };

struct Known {
  const char* name;
  On on;
};

const std::map<long, Known>& known_calls() {
  using enum On;
  static const std::map<long, Known> calls = {
      {SYS_read, {"read", descriptor}}, {SYS_write, {"write", descriptor}}, {SYS_readv, {"readv", descriptor}}, {SYS_writev, {"writev", descriptor}},
      {SYS_pread64, {"pread", descriptor}}, {SYS_pwrite64, {"pwrite", descriptor}}, {SYS_poll, {"poll", nothing}}, {SYS_ppoll, {"ppoll", nothing}},
      {SYS_select, {"select", nothing}}, {SYS_pselect6, {"pselect", nothing}}, {SYS_epoll_wait, {"epoll_wait", nothing}}, {SYS_epoll_pwait, {"epoll_wait", nothing}},
      {SYS_accept, {"accept", descriptor}}, {SYS_accept4, {"accept", descriptor}}, {SYS_connect, {"connect", descriptor}}, {SYS_recvfrom, {"recv", descriptor}},
      {SYS_recvmsg, {"recvmsg", descriptor}}, {SYS_sendto, {"send", descriptor}}, {SYS_sendmsg, {"sendmsg", descriptor}}, {SYS_fsync, {"fsync", descriptor}},
      {SYS_fdatasync, {"fdatasync", descriptor}}, {SYS_flock, {"flock", descriptor}}, {SYS_fcntl, {"fcntl", descriptor}}, {SYS_sync_file_range, {"sync_file_range", descriptor}},
      {SYS_nanosleep, {"sleep", nothing}}, {SYS_clock_nanosleep, {"sleep", nothing}}, {SYS_pause, {"pause", nothing}}, {SYS_restart_syscall, {"a call that was interrupted and goes on", nothing}},
      {SYS_wait4, {"wait", child}}, {SYS_waitid, {"wait", nothing}}, {SYS_rt_sigtimedwait, {"sigwait", nothing}}, {SYS_rt_sigsuspend, {"sigsuspend", nothing}},
      {SYS_msgrcv, {"msgrcv", nothing}}, {SYS_semtimedop, {"semtimedop", nothing}}, {SYS_semop, {"semop", nothing}}, {SYS_io_getevents, {"io_getevents", nothing}},
      {SYS_futex, {"futex", nothing}},
  };
  return calls;
}

bool is_thread(const ProcessLook& process, std::uint32_t tid) {
  return std::any_of(process.threads.begin(), process.threads.end(), [&](const ThreadLook& look) { return look.tid == static_cast<pid_t>(tid); });
}

// Whether a function of that name is among the innermost; what libc hides goes by other names, what it exports by this.
bool is_inside(const ThreadLook& look, const char* function) {
  constexpr std::size_t kNear = 6;
  const auto end = look.frames.begin() + static_cast<std::ptrdiff_t>(std::min(look.frames.size(), kNear));
  return std::any_of(look.frames.begin(), end, [&](const analyzers::Frame& frame) { return frame.function.find(function) != std::string::npos; });
}

void describe_futex(const ProcessLook& process, const ThreadStatus& status, const FutexWords& futex, ThreadLook& look) {
  const std::uint64_t address = status.arguments[0];
  const auto is = [&](const char* call, const char* object) { look.call = call, look.object = fmt::format("{} {:#x}", object, address); };
  const auto owned_by = [&](std::uint32_t tid) {
    if (futex.read && is_thread(process, tid)) look.owner = static_cast<pid_t>(tid);
  };
  const auto operation = static_cast<int>(status.arguments[1]) & FUTEX_CMD_MASK;
  look.gives_up = status.arguments[3] != 0;
  is("futex", "word");
  if (is_inside(look, "pthread_mutex")) {
    is("pthread_mutex_lock", "mutex");
    owned_by(operation == FUTEX_LOCK_PI ? futex.at(0) & FUTEX_TID_MASK : futex.at(8));  // __owner
  } else if (is_inside(look, "pthread_rwlock")) {
    constexpr std::size_t kPhaseFutex = 8, kWritersFutex = 12, kWriter = 24;  // offsets of __wrphase_futex, __writers_futex, __cur_writer
    is("pthread_rwlock_lock", "read-write lock");
    for (const std::size_t offset : {kPhaseFutex, kWritersFutex}) {
      if (!look.owner) owned_by(futex.at(kWriter - offset));
      if (look.owner) {
        look.object = fmt::format("read-write lock {:#x}", address - offset);
        break;
      }
    }
  } else if (is_inside(look, "join")) {
    is("pthread_join", "thread");
    look.object = fmt::format("thread {}", futex.at(0));
    owned_by(futex.at(0));  // the kernel clears it when the thread has ended
  } else if (is_inside(look, "pthread_cond")) {
    is("pthread_cond_wait", "condition");
  } else if (is_inside(look, "sem_")) {
    is("sem_wait", "semaphore");
  } else if (is_inside(look, "pthread_barrier")) {
    is("pthread_barrier_wait", "barrier");
  }
}

}  // namespace

FutexWords FutexWords::of(const ThreadStatus& status) {
  FutexWords futex;
  if (status.call != SYS_futex) return futex;
  const iovec local{futex.words.data(), sizeof futex.words}, remote{reinterpret_cast<void*>(status.arguments[0]), sizeof futex.words};
  futex.read = ::process_vm_readv(status.tid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(sizeof futex.words);
  return futex;
}

void describe_wait(const ProcessLook& process, const ThreadStatus& status, const FutexWords& futex, ThreadLook& look) {
  if (status.call < 0) return;
  if (status.call == SYS_futex) return describe_futex(process, status, futex, look);
  const auto at = known_calls().find(status.call);
  look.call = at == known_calls().end() ? fmt::format("system call {}", status.call) : at->second.name;
  if (at == known_calls().end()) return;
  if (at->second.on == On::descriptor) look.object = descriptor_name(look.tid, status.arguments[0]);
  if (at->second.on == On::child && static_cast<int>(status.arguments[0]) > 0) look.object = fmt::format("process {}", static_cast<int>(status.arguments[0]));
}

}  // namespace tailback::tools
