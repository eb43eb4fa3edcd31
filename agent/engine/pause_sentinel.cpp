// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/pause_sentinel.h"

#include <sys/resource.h>

#include "agent/capture/clock.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constexpr std::uint64_t kLateNs = 30'000'000;           // what a busy machine does to any thread now and then is less
constexpr std::uint64_t kBusyPart = 5, kActivePart = 20;  // a fifth of one CPU, a twentieth
constexpr std::uint64_t kSecondNs = 1'000'000'000;

// Voluntary switches of this thread: one for each sleep it asked for, and one for each stop it did not.
std::uint64_t own_switches() {
  rusage usage{};
  return sys::failed(sys::call(__NR_getrusage, RUSAGE_THREAD, sys::arg(&usage))) ? 0 : static_cast<std::uint64_t>(usage.ru_nvcsw);
}

std::uint64_t own_run_delay() {
  char buffer[128];
  Scanner numbers(read_kernel_file("/proc/thread-self/schedstat", buffer, sizeof buffer));
  numbers.number();
  return numbers.number();
}

// What cannot be read any more, after chroot or in another namespace of mounts, is 0.
std::uint64_t grown(std::uint64_t from, std::uint64_t to) { return to > from ? to - from : 0; }

}  // namespace

void PauseSentinel::begin(const SystemSampler& system, const capture::ThreadTable& threads, std::uint64_t session_start_ns) {
  system_ = &system;
  session_start_ns_ = session_start_ns;
  world_.begin(threads, session_start_ns);
  count_ = world_count_ = 0;
  slice_ns_ = kSliceNs;  // until the first tick knows more
  last_tick_ns_ = capture::monotonic_ns();
  read_ns_ = last_tick_ns_;
  before_ = counters();
  before_.steal_ns = system.steal_ns();
  program_cpu_ns_ = before_.process_cpu_ns;
}

PauseSentinel::Counters PauseSentinel::counters() const {
  return {capture::process_cpu_ns(), own_run_delay(), system_->throttled_ns(), before_.steal_ns, own_switches()};
}

std::uint64_t PauseSentinel::sleeps() {
  process_cpu_ns_ = capture::process_cpu_ns();
  switches_ = own_switches();
  return begun_ns_ = capture::monotonic_ns();
}

void PauseSentinel::woke(std::uint64_t due_ns, std::uint64_t now_ns) {
  if (now_ns > due_ns + kLateNs && count_ < kSeen) {
    const Counters now = counters();
    const std::uint64_t asked = due_ns - begun_ns_, slept = grown(switches_, now.switches);
    const std::uint64_t begin = begun_ns_ + asked / 2;  // somewhere in the sleep
    trace::PauseSeen& pause = seen_[count_++];
    pause.begin = begin > session_start_ns_ ? begin - session_start_ns_ : 0;
    pause.end = now_ns - session_start_ns_;
    pause.source = 0;
    pause.within_ns = asked / 2;
    pause.process_cpu_ns = grown(process_cpu_ns_, now.process_cpu_ns);
    pause.run_delay_ns = grown(before_.run_delay_ns, now.run_delay_ns);
    pause.stops = slept > 1 ? slept - 1 : 0;
    pause.throttled_ns = grown(before_.throttled_ns, now.throttled_ns);
    const std::uint64_t steal = system_->steal_ns();
    pause.steal_ns = grown(before_.steal_ns, steal);
    before_ = now;
    before_.steal_ns = steal;
    read_ns_ = now_ns;
  }
  if (slice_ns_ && world_count_ < kSeen && world_.look(begun_ns_, now_ns, worlds_[world_count_])) ++world_count_;
}

void PauseSentinel::tick(std::uint64_t now_ns, std::uint64_t agent_cpu_ns) {
  const std::uint64_t cpu = capture::process_cpu_ns(), program = cpu > agent_cpu_ns ? cpu - agent_cpu_ns : 0;
  const std::uint64_t used = program > program_cpu_ns_ ? program - program_cpu_ns_ : 0, passed = now_ns - last_tick_ns_;
  slice_ns_ = used * kBusyPart >= passed ? kSliceNs : used * kActivePart >= passed ? kLongSliceNs : 0;
  program_cpu_ns_ = program;
  last_tick_ns_ = now_ns;
  const bool second = now_ns - read_ns_ >= kSecondNs;
  if (!busy() && !second) return;  // each costs a few reads of files
  before_ = counters();
  if (second) before_.steal_ns = system_->steal_ns(), read_ns_ = now_ns;
}

void PauseSentinel::write(DumpFile& dump, Detail& detail) {
  for (std::uint32_t i = 0; i < count_; ++i) {
    dump.append(seen_[i]);
    detail.anomaly(dump, seen_[i].begin > kSecondNs / 2 ? seen_[i].begin - kSecondNs / 2 : 0, seen_[i].end, "the process stood still");
  }
  for (std::uint32_t i = 0; i < world_count_; ++i) dump.append(worlds_[i]);
  count_ = world_count_ = 0;
}

}  // namespace tailback::engine
