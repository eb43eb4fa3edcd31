// SPDX-License-Identifier: Apache-2.0
#include "tools/live/system_calls.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <ctime>

#include "tools/live/descriptors.h"
#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

enum class About { nothing, descriptor, epoll, poll, child, child_by_kind, span, clock_span };

struct KnownCall {
  long number;
  const char* name;
  About about;
};

constexpr KnownCall kCalls[] = {
    {SYS_read, "read", About::descriptor},
    {SYS_readv, "readv", About::descriptor},
    {SYS_pread64, "pread", About::descriptor},
    {SYS_preadv, "preadv", About::descriptor},
    {SYS_preadv2, "preadv2", About::descriptor},
    {SYS_write, "write", About::descriptor},
    {SYS_writev, "writev", About::descriptor},
    {SYS_pwrite64, "pwrite", About::descriptor},
    {SYS_pwritev, "pwritev", About::descriptor},
    {SYS_pwritev2, "pwritev2", About::descriptor},
    {SYS_sendfile, "sendfile", About::descriptor},
    {SYS_splice, "splice", About::descriptor},
    {SYS_ioctl, "ioctl", About::descriptor},
    {SYS_fcntl, "fcntl", About::descriptor},
    {SYS_flock, "flock", About::descriptor},
    {SYS_fsync, "fsync", About::descriptor},
    {SYS_fdatasync, "fdatasync", About::descriptor},
    {SYS_sync_file_range, "sync_file_range", About::descriptor},
    {SYS_ftruncate, "ftruncate", About::descriptor},
    {SYS_fallocate, "fallocate", About::descriptor},
    {SYS_getdents64, "getdents64", About::descriptor},
    {SYS_accept, "accept", About::descriptor},
    {SYS_accept4, "accept4", About::descriptor},
    {SYS_connect, "connect", About::descriptor},
    {SYS_recvfrom, "recvfrom", About::descriptor},
    {SYS_recvmsg, "recvmsg", About::descriptor},
    {SYS_recvmmsg, "recvmmsg", About::descriptor},
    {SYS_sendto, "sendto", About::descriptor},
    {SYS_sendmsg, "sendmsg", About::descriptor},
    {SYS_sendmmsg, "sendmmsg", About::descriptor},
    {SYS_io_uring_enter, "io_uring_enter", About::nothing},
    {SYS_io_getevents, "io_getevents", About::nothing},
    {SYS_epoll_wait, "epoll_wait", About::epoll},
    {SYS_epoll_pwait, "epoll_pwait", About::epoll},
    {SYS_epoll_pwait2, "epoll_pwait2", About::epoll},
    {SYS_poll, "poll", About::poll},
    {SYS_ppoll, "ppoll", About::poll},
    {SYS_select, "select", About::nothing},
    {SYS_pselect6, "pselect6", About::nothing},
    {SYS_futex, "futex", About::nothing},
    {SYS_futex_waitv, "futex_waitv", About::nothing},
    {SYS_nanosleep, "nanosleep", About::span},
    {SYS_clock_nanosleep, "clock_nanosleep", About::clock_span},
    {SYS_wait4, "wait4", About::child},
    {SYS_waitid, "waitid", About::child_by_kind},
    {SYS_pause, "pause", About::nothing},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", About::nothing},
    {SYS_rt_sigsuspend, "rt_sigsuspend", About::nothing},
    {SYS_semop, "semop", About::nothing},
    {SYS_semtimedop, "semtimedop", About::nothing},
    {SYS_msgrcv, "msgrcv", About::nothing},
    {SYS_msgsnd, "msgsnd", About::nothing},
    {SYS_mq_timedreceive, "mq_timedreceive", About::descriptor},
    {SYS_mq_timedsend, "mq_timedsend", About::descriptor},
    {SYS_open, "open", About::nothing},
    {SYS_openat, "openat", About::nothing},
    {SYS_close, "close", About::descriptor},
    {SYS_sync, "sync", About::nothing},
    {SYS_syncfs, "syncfs", About::descriptor},
    {SYS_msync, "msync", About::nothing},
    {SYS_mmap, "mmap", About::nothing},
    {SYS_munmap, "munmap", About::nothing},
    {SYS_madvise, "madvise", About::nothing},
    {SYS_clone, "clone", About::nothing},
    {SYS_clone3, "clone3", About::nothing},
    {SYS_vfork, "vfork", About::nothing},
    {SYS_execve, "execve", About::nothing},
    {SYS_exit, "exit", About::nothing},
    {SYS_exit_group, "exit_group", About::nothing},
    {SYS_membarrier, "membarrier", About::nothing},
    {SYS_getrandom, "getrandom", About::nothing},
    {SYS_userfaultfd, "userfaultfd", About::nothing},
    {SYS_restart_syscall, "restart_syscall", About::nothing},
};

const KnownCall* known(long number) {
  const auto* found =
      std::find_if(std::begin(kCalls), std::end(kCalls), [number](const KnownCall& call) { return call.number == number; });
  return found == std::end(kCalls) ? nullptr : found;
}

std::string polled(const SystemCall& call, const std::string& folder, TargetMemory& memory) {
  const std::uint64_t count = call.arguments[1];
  if (count != 1) return count == 0 ? "" : fmt::format("{} descriptors", count);
  const auto entry = memory.value<pollfd>(call.arguments[0]);
  return entry ? descriptor_object(folder, entry->fd) : "";
}

std::string child(std::int64_t pid) { return pid > 0 ? fmt::format("process {}", pid) : "any child process"; }

double seconds_of(const timespec& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9; }

std::string span(std::uint64_t address, TargetMemory& memory) {
  const auto time = memory.value<timespec>(address);
  return time ? format_seconds(seconds_of(*time)) : "";
}

// Of a sleep until a moment only what is left is known.
std::string span_until(clockid_t clock, std::uint64_t address, TargetMemory& memory) {
  const auto end = memory.value<timespec>(address);
  timespec now;
  if (!end || ::clock_gettime(clock, &now) != 0) return "";
  return format_seconds(std::max(0.0, seconds_of(*end) - seconds_of(now))) + " more";
}

}  // namespace

std::string call_name(long number) {
  const KnownCall* call = known(number);
  return call ? call->name : fmt::format("system call {}", number);
}

std::string object_of_call(const SystemCall& call, const std::string& folder, TargetMemory& memory) {
  const KnownCall* about = known(call.number);
  const auto& arguments = call.arguments;
  switch (about ? about->about : About::nothing) {
    case About::descriptor:
      return descriptor_object(folder, static_cast<int>(arguments[0]));
    case About::epoll:
      return epoll_object(folder, static_cast<int>(arguments[0]));
    case About::poll:
      return polled(call, folder, memory);
    case About::child:
      return child(static_cast<std::int32_t>(arguments[0]));
    case About::child_by_kind:
      return child(arguments[0] == P_PID ? static_cast<std::int32_t>(arguments[1]) : 0);
    case About::span:
      return span(arguments[0], memory);
    case About::clock_span:
      return arguments[1] == TIMER_ABSTIME ? span_until(static_cast<clockid_t>(arguments[0]), arguments[2], memory)
                                           : span(arguments[2], memory);
    case About::nothing:
      break;
  }
  return "";
}

}  // namespace tailback::tools
