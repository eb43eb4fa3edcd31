// SPDX-License-Identifier: Apache-2.0
// What the kernel, the C library and the limits of this login allow.
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>

#include "tools/doctor/check.h"
#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

constexpr std::uint64_t kComfortableSpace = 256ull << 20;
constexpr std::uint64_t kNeededSpace = 8ull << 20;
constexpr rlim_t kComfortableTimers = 1024;

DoctorCheck kernel() {
  utsname name{};
  ::uname(&name);
  int major = 0, minor = 0;
  std::sscanf(name.release, "%d.%d", &major, &minor);
  DoctorCheck check{"kernel", Verdict::ok, fmt::format("{} {}", name.sysname, name.release), "", ""};
  if (major < 5 || (major == 5 && minor < 14))
    check = {"kernel", Verdict::broken, check.found,
             "a dump cannot be backed with pages ahead of time (MADV_POPULATE_WRITE), so none is written",
             "use Linux 5.14 or newer"};
  return check;
}

DoctorCheck c_library() {
  const std::string version = ::gnu_get_libc_version();
  int major = 0, minor = 0;
  std::sscanf(version.c_str(), "%d.%d", &major, &minor);
  if (major > 2 || (major == 2 && minor >= 35)) return {"glibc", Verdict::ok, "glibc " + version, "", ""};
  return {"glibc", Verdict::broken, "glibc " + version, "libtailback.so needs glibc 2.35",
          "use Debian 12, Ubuntu 22.04 or newer"};
}

DoctorCheck timers() {
  timespec tick{};
  ::clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  const double seconds = static_cast<double>(tick.tv_sec) + static_cast<double>(tick.tv_nsec) * 1e-9;
  const double hz = seconds > 0 ? 1 / seconds : 0;
  return {
      "tick", Verdict::ok, fmt::format("{} ({:.0f} Hz)", format_seconds(seconds), hz),
      fmt::format("one thread gives at most {:.0f} samples for each second of CPU time; higher rates count several at once", hz),
      ""};
}

DoctorCheck clock_source() {
  const std::string source = first_line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  if (source.empty()) return {"clocksource", Verdict::ok, "not told by this kernel", "", ""};
  if (source == "tsc" || source == "kvm-clock" || source == "arch_sys_counter")
    return {"clocksource", Verdict::ok, source, "", ""};
  return {"clocksource", Verdict::limited, source, "reading the clock is a system call here: recording costs more than elsewhere",
          "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource, where tsc is offered"};
}

DoctorCheck ptrace_scope() {
  const std::string scope = first_line_of("/proc/sys/kernel/yama/ptrace_scope");
  const std::string found = scope.empty() ? "no restriction" : "ptrace_scope " + scope;
  return {"ptrace_scope", Verdict::ok, found, "not needed for recording by 'tailback record'", ""};
}

DoctorCheck perf_paranoid() {
  const std::string level = first_line_of("/proc/sys/kernel/perf_event_paranoid");
  return {"perf_event_paranoid", Verdict::ok, level.empty() ? "no perf events" : level,
          "not needed: samples come from CPU-clock timers", ""};
}

DoctorCheck pending_signals() {
  rlimit limit{};
  ::getrlimit(RLIMIT_SIGPENDING, &limit);
  const bool plenty = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= kComfortableTimers;
  const std::string found = limit.rlim_cur == RLIM_INFINITY ? "unlimited" : format_count(static_cast<double>(limit.rlim_cur));
  if (plenty) return {"timers", Verdict::ok, found + " pending signals allowed", "each sampled thread takes one", ""};
  return {"timers", Verdict::limited, found + " pending signals allowed",
          "each sampled thread takes one; threads beyond have their CPU time counted, but no stacks", "ulimit -i 65536"};
}

DoctorCheck file_size() {
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {"file_size", Verdict::ok, "unlimited", "", ""};
  const std::string found = format_bytes(static_cast<double>(limit.rlim_cur)) + " at most";
  const bool enough = limit.rlim_cur >= kNeededSpace;
  return {"file_size", enough ? Verdict::limited : Verdict::broken, found,
          "a dump stays below that limit, so long recordings stop early", "ulimit -f unlimited"};
}

DoctorCheck output_folder() {
  char here[4096] = ".";
  [[maybe_unused]] const char* got = ::getcwd(here, sizeof here);
  if (::access(here, W_OK | X_OK) != 0)
    return {"output", Verdict::broken, fmt::format("{}: {}", here, std::strerror(errno)), "a dump cannot be written here",
            "change the folder, or: tailback record -o /tmp/tailback.%e.%p.tbk"};
  struct statvfs space {};
  if (::statvfs(here, &space) != 0) return {"output", Verdict::ok, fmt::format("{} can be written", here), "", ""};
  const std::uint64_t free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  const std::string found = fmt::format("{}: {} free", here, format_bytes(static_cast<double>(free)));
  if (free >= kComfortableSpace) return {"output", Verdict::ok, found, "", ""};
  return {"output", free >= kNeededSpace ? Verdict::limited : Verdict::broken, found,
          "recording stops when the disk is full (the program goes on)",
          "free some space, or choose another folder with --output"};
}

std::string cgroup_folder() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  return "";
}

DoctorCheck cgroup() {
  const std::string folder = cgroup_folder();
  const std::string cpu = folder.empty() ? "" : first_line_of(folder + "/cpu.max"),
                    memory = folder.empty() ? "" : first_line_of(folder + "/memory.max");
  if (folder.empty())
    return {"cgroup", Verdict::limited, "no version 2 hierarchy", "throttling and memory limits are not seen", ""};
  if (cpu.empty() && memory.empty()) return {"cgroup", Verdict::ok, "no limits", "", ""};
  double quota = 0, period = 0;
  std::string found =
      cpu.empty() || cpu.starts_with("max") || std::sscanf(cpu.c_str(), "%lf %lf", &quota, &period) != 2 || period <= 0
          ? "no CPU limit"
          : fmt::format("at most {:.2f} CPUs", quota / period);
  found += memory.empty() || memory == "max" ? ", no memory limit"
                                             : ", memory at most " + format_bytes(std::strtod(memory.c_str(), nullptr));
  return {"cgroup", Verdict::ok, found, "", ""};
}

DoctorCheck cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  const int usable = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : static_cast<int>(online);
  return {"cpus", Verdict::ok, fmt::format("{} of {} usable", usable, online), "", ""};
}

}  // namespace

std::string first_line_of(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

DoctorChecks check_machine() {
  return {kernel(),    c_library(),     cpus(),   timers(),       clock_source(), pending_signals(),
          file_size(), output_folder(), cgroup(), ptrace_scope(), perf_paranoid()};
}

}  // namespace tailback::tools
