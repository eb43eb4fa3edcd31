// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/sampler_system.h"

#include <sched.h>
#include <sys/resource.h>

#include "agent/capture/pages.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constexpr std::uint64_t kKernelTickNs = 10'000'000;
constexpr std::uint64_t kUnlimitedFrom = std::uint64_t{1} << 60;  // version 1 says "no limit" by a huge number

std::uint64_t timeval_ns(const timeval& t) {
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_usec) * 1000u;
}

// Everything here runs under the drain lock, possibly on a small signal stack: buffers are static.
constinit char path_buffer[1200];
constinit char folder_buffer[1024];
constinit char file_buffer[4096];

std::string_view read_in(const char* folder, const char* file, char* buffer, std::size_t size) {
  Text text(path_buffer, sizeof path_buffer);
  text.add(folder).add("/").add(file);
  return text.overflowed() ? std::string_view() : read_kernel_file(path_buffer, buffer, size);
}

std::uint64_t number_in(const char* folder, const char* file) {
  char buffer[64];
  const auto text = read_in(folder, file, buffer, sizeof buffer);
  if (text.empty() || text[0] < '0' || text[0] > '9') return 0;  // missing, "max", or -1
  const std::uint64_t value = Scanner(text).number();
  return value >= kUnlimitedFrom ? 0 : value;
}

struct CpuLimit {
  std::uint64_t quota_us, period_us;
  // Compares CPUs allowed; no quota is the widest.
  bool tighter_than(const CpuLimit& other) const {
    if (quota_us == 0 || period_us == 0) return false;
    return other.quota_us == 0 || quota_us * other.period_us < other.quota_us * period_us;
  }
};

CpuLimit cpu_limit(const char* folder, bool version_two) {
  if (!version_two) return {number_in(folder, "cpu.cfs_quota_us"), number_in(folder, "cpu.cfs_period_us")};
  char buffer[64];
  const auto text = read_in(folder, "cpu.max", buffer, sizeof buffer);
  if (text.empty() || text[0] == 'm') return {0, 0};
  Scanner scanner(text);
  const std::uint64_t quota = scanner.number();
  return {quota, scanner.number()};
}

// Calls visit for `path` below `mount` and for each of its parents up to the mount itself.
template <class Visit>
void for_each_level(const char* mount, std::string_view path, Visit&& visit) {
  while (true) {
    Text text(folder_buffer, sizeof folder_buffer);
    text.add(mount);
    if (path != "/") text.add(path);
    if (!text.overflowed()) visit(folder_buffer);
    const auto slash = path.rfind('/');
    if (path.size() <= 1 || slash == std::string_view::npos) return;
    path = slash == 0 ? std::string_view("/") : std::string_view(path.data(), slash);
  }
}

void choose_cpu(const char* mount, std::string_view path, bool version_two, char (&chosen)[1024]) {
  CpuLimit tightest{0, 0};
  for_each_level(mount, path, [&](const char* folder) {
    const CpuLimit limit = cpu_limit(folder, version_two);
    if (chosen[0] && !limit.tighter_than(tightest)) return;
    tightest = limit;
    Text(chosen, sizeof chosen).add(folder);
  });
}

void choose_memory(const char* mount, std::string_view path, bool version_two, char (&chosen)[1024]) {
  std::uint64_t tightest = 0;
  for_each_level(mount, path, [&](const char* folder) {
    const std::uint64_t limit = number_in(folder, version_two ? "memory.max" : "memory.limit_in_bytes");
    if (chosen[0] && (limit == 0 || (tightest != 0 && limit >= tightest))) return;
    tightest = limit;
    Text(chosen, sizeof chosen).add(folder);
  });
}

}  // namespace

MachineFacts read_machine_facts() {
  MachineFacts facts{1, 1, 0};
  static constinit unsigned long mask[128];  // 8192 CPUs
  const long bytes = sys::call(__NR_sched_getaffinity, 0, sizeof mask, sys::arg(mask));
  if (!sys::failed(bytes)) {
    facts.cpus_allowed = 0;
    for (const unsigned long word : mask) facts.cpus_allowed += static_cast<std::uint64_t>(__builtin_popcountl(word));
  }
  // "0-1,4": ranges of online CPUs.
  Scanner online(read_kernel_file("/sys/devices/system/cpu/online", file_buffer, sizeof file_buffer));
  std::uint64_t cpus = 0;
  while (!online.empty() && online.rest()[0] != '\n') {
    const std::uint64_t first = online.number();
    std::uint64_t last = first;
    if (!online.empty() && online.rest()[0] == '-') last = online.number();
    cpus += last - first + 1;
  }
  facts.cpus_online = cpus ? cpus : facts.cpus_allowed;
  facts.memory_bytes = number_after(read_kernel_file("/proc/meminfo", file_buffer, sizeof file_buffer), "MemTotal:") * 1024;
  return facts;
}

void SystemSampler::init() {
  version_ = Version::none;
  cpu_folder_[0] = memory_folder_[0] = 0;
  const auto table = read_kernel_file("/proc/self/cgroup", file_buffer, sizeof file_buffer);
  char probe[256];
  for (Scanner lines(table); !lines.empty();) {
    const auto line = lines.line();
    if (line.starts_with("0::") && !read_kernel_file("/sys/fs/cgroup/cgroup.controllers", probe, sizeof probe).empty())
      find_cgroup_v2("/sys/fs/cgroup", std::string_view(line.data() + 3, line.size() - 3));
  }
  if (version_ == Version::none) find_cgroup_v1(table);
}

void SystemSampler::find_cgroup_v2(const char* mount, std::string_view path) {
  version_ = Version::two;
  choose_cpu(mount, path, true, cpu_folder_);
  choose_memory(mount, path, true, memory_folder_);
}

// Lines are "4:cpu,cpuacct:/path"; the usual mount point of a controller carries its name.
void SystemSampler::find_cgroup_v1(std::string_view table) {
  for (Scanner lines(table); !lines.empty();) {
    const auto line = lines.line();
    const auto first = line.find(':'), second = line.rfind(':');
    if (first == std::string_view::npos || second == first) continue;
    const std::string_view path(line.data() + second + 1, line.size() - second - 1);
    for (Scanner names(std::string_view(line.data() + first + 1, second - first - 1)); !names.empty();) {
      const auto comma = names.rest().find(',');
      const std::string_view name(names.rest().data(), comma == std::string_view::npos ? names.rest().size() : comma);
      if (name == "cpu") choose_cpu("/sys/fs/cgroup/cpu", path, false, cpu_folder_), version_ = Version::one;
      if (name == "memory") choose_memory("/sys/fs/cgroup/memory", path, false, memory_folder_), version_ = Version::one;
      if (!names.skip_past(",")) break;
    }
  }
}

void SystemSampler::sample(DumpFile& dump, std::uint64_t now_ns, std::uint64_t live_threads) {
  process(dump, now_ns, live_threads);
  machine(dump, now_ns);
  if (version_ != Version::none) cgroup(dump, now_ns);
}

std::uint64_t SystemSampler::throttled_ns() const {
  if (!cpu_folder_[0]) return 0;
  char path[1100], buffer[512];
  Text(path, sizeof path).add(cpu_folder_).add("/cpu.stat");
  const auto stat = read_kernel_file(path, buffer, sizeof buffer);
  return version_ == Version::two ? number_after(stat, "throttled_usec") * 1000 : number_after(stat, "throttled_time");
}

std::uint64_t SystemSampler::steal_ns() const {
  char buffer[512];
  Scanner cpu(read_kernel_file("/proc/stat", buffer, sizeof buffer));
  if (!cpu.skip_past("cpu ")) return 0;
  for (int field = 0; field < 7; ++field) cpu.number();
  return cpu.number() * kKernelTickNs;
}

void SystemSampler::process(DumpFile& dump, std::uint64_t now_ns, std::uint64_t live_threads) {
  trace::ProcessState state;
  state.t = now_ns;
  state.threads = live_threads;
  rusage usage{};
  if (!sys::failed(sys::call(__NR_getrusage, RUSAGE_SELF, sys::arg(&usage)))) {
    state.rss_peak_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    state.user_ns = timeval_ns(usage.ru_utime);
    state.system_ns = timeval_ns(usage.ru_stime);
    state.minor_faults = static_cast<std::uint64_t>(usage.ru_minflt);
    state.major_faults = static_cast<std::uint64_t>(usage.ru_majflt);
    state.voluntary_switches = static_cast<std::uint64_t>(usage.ru_nvcsw);
    state.involuntary_switches = static_cast<std::uint64_t>(usage.ru_nivcsw);
  }
  Scanner statm(read_kernel_file("/proc/self/statm", file_buffer, sizeof file_buffer));
  state.virtual_bytes = statm.number() * capture::kPageBytes;
  state.rss_bytes = statm.number() * capture::kPageBytes;
  const auto io = read_kernel_file("/proc/self/io", file_buffer, sizeof file_buffer);
  state.read_chars = number_after(io, "rchar:");
  state.write_chars = number_after(io, "wchar:");
  state.read_bytes = number_after(io, "read_bytes:");
  state.write_bytes = number_after(io, "write_bytes:");
  dump.append(state);
}

void SystemSampler::machine(DumpFile& dump, std::uint64_t now_ns) {
  trace::SystemState state;
  state.t = now_ns;
  // "0.32 0.25 0.20 2/345 678"
  Scanner load(read_kernel_file("/proc/loadavg", file_buffer, sizeof file_buffer));
  const std::uint64_t whole = load.number();
  state.load1_milli = whole * 1000 + load.number() * 10;
  load.word();
  load.word();
  state.runnable = load.number();
  // "cpu  user nice system idle iowait irq softirq steal ...", in ticks of all CPUs
  Scanner cpu(read_kernel_file("/proc/stat", file_buffer, 512));
  std::uint64_t ticks[8] = {};
  if (cpu.skip_past("cpu "))
    for (auto& value : ticks) value = cpu.number();
  state.busy_ns = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * kKernelTickNs;
  state.idle_ns = ticks[3] * kKernelTickNs;
  state.iowait_ns = ticks[4] * kKernelTickNs;
  state.steal_ns = ticks[7] * kKernelTickNs;
  state.memory_available_bytes = number_after(read_kernel_file("/proc/meminfo", file_buffer, sizeof file_buffer), "MemAvailable:") * 1024;
  dump.append(state);
}

void SystemSampler::cgroup(DumpFile& dump, std::uint64_t now_ns) {
  const bool two = version_ == Version::two;
  trace::CgroupState state;
  state.t = now_ns;
  if (cpu_folder_[0]) {
    const CpuLimit limit = cpu_limit(cpu_folder_, two);
    state.cpu_quota_ns = limit.quota_us * 1000;
    state.cpu_period_ns = limit.period_us * 1000;
    const auto stat = read_in(cpu_folder_, "cpu.stat", file_buffer, sizeof file_buffer);
    state.usage_ns = number_after(stat, "usage_usec") * 1000;
    state.periods = number_after(stat, "nr_periods");
    state.throttled_periods = number_after(stat, "nr_throttled");
    state.throttled_ns = two ? number_after(stat, "throttled_usec") * 1000 : number_after(stat, "throttled_time");
  }
  if (memory_folder_[0]) {
    state.memory_bytes = number_in(memory_folder_, two ? "memory.current" : "memory.usage_in_bytes");
    state.memory_limit_bytes = number_in(memory_folder_, two ? "memory.max" : "memory.limit_in_bytes");
  }
  dump.append(state);
}

}  // namespace tailback::engine
