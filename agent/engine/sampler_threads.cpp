// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/sampler_threads.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstring>

#include "agent/capture/clock.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::ThreadBlock;
using capture::ThreadCounters;
using capture::ThreadState;

namespace {

constexpr std::uint64_t kKernelTickNs = 10'000'000;  // USER_HZ is 100 on every Linux architecture we run on

// Under the drain lock, possibly on a small signal stack: the buffer is static.
constinit char file_buffer[4096];

std::string_view read_task_file(int tid, const char* name) {
  char path[64];
  Text text(path, sizeof path);
  text.add("/proc/self/task/").add_number(static_cast<std::uint64_t>(tid)).add("/").add(name);
  return read_kernel_file(path, file_buffer, sizeof file_buffer);
}

std::uint64_t timeval_ns(const timeval& t) {
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_usec) * 1000u;
}

// Second number of schedstat: nanoseconds runnable but not running.
std::uint64_t run_delay_of(std::string_view schedstat) {
  Scanner scanner(schedstat);
  scanner.number();
  return scanner.number();
}

void take_name(std::string_view text, char (&name)[16]) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  const std::size_t size = text.size() < sizeof name - 1 ? text.size() : sizeof name - 1;
  std::memcpy(name, text.data(), size);
  std::memset(name + size, 0, sizeof name - size);
}

}  // namespace

RunDelaySource probe_run_delay_source() {
  char buffer[128];
  Scanner scanner(read_kernel_file("/proc/thread-self/schedstat", buffer, sizeof buffer));
  return scanner.number() != 0 ? RunDelaySource::schedstat : RunDelaySource::none;
}

void read_own_counters(ThreadBlock& block, bool long_lived, bool run_delay) {
  ThreadCounters& counters = block.last;
  counters.cpu_ns = capture::thread_cpu_ns() - block.cpu_base_ns;  // getrusage leaves out what ran since the last tick
  rusage usage{};
  if (!sys::failed(sys::call(__NR_getrusage, RUSAGE_THREAD, sys::arg(&usage)))) {
    counters.user_ns = timeval_ns(usage.ru_utime);
    counters.system_ns = timeval_ns(usage.ru_stime);
    counters.voluntary_switches = static_cast<std::uint64_t>(usage.ru_nvcsw);
    counters.involuntary_switches = static_cast<std::uint64_t>(usage.ru_nivcsw);
    counters.minor_faults = static_cast<std::uint64_t>(usage.ru_minflt);
    counters.major_faults = static_cast<std::uint64_t>(usage.ru_majflt);
  }
  block.name[0] = 0;
  if (!long_lived) return;
  char buffer[128];
  if (run_delay) counters.run_delay_ns = run_delay_of(read_kernel_file("/proc/thread-self/schedstat", buffer, sizeof buffer));
  std::memset(block.name, 0, sizeof block.name);
  sys::call(__NR_prctl, PR_GET_NAME, sys::arg(block.name));
}

void ThreadSampler::init(capture::ThreadTable& threads, Drain& drain, RunDelaySource source) {
  threads_ = &threads;
  drain_ = &drain;
  source_ = source;
  next_slot_ = 0;
}

void ThreadSampler::sample(std::uint64_t now_ns, std::uint64_t session_start_ns, std::uint64_t budget_ns) {
  const std::uint32_t slots = threads_->slots();
  const std::uint64_t end = session_start_ns + now_ns + budget_ns;
  for (std::uint32_t n = 0; n < slots; ++n) {
    if (next_slot_ >= slots) next_slot_ = 0;
    ThreadBlock* block = threads_->at(next_slot_++);
    if (block && block->state.load(std::memory_order_acquire) == ThreadState::live) sample_one(*block, now_ns);
    if (capture::monotonic_ns() > end) return;
  }
}

void ThreadSampler::sample_all(std::uint64_t now_ns) {
  const std::uint32_t slots = threads_->slots();
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    ThreadBlock* block = threads_->at(slot);
    if (block && block->state.load(std::memory_order_acquire) == ThreadState::live) sample_one(*block, now_ns);
  }
}

void ThreadSampler::sample_one(ThreadBlock& block, std::uint64_t now_ns) {
  ThreadCounters counters = block.last;
  const std::uint64_t cpu = capture::thread_cpu_ns(block.tid);
  if (cpu <= block.cpu_base_ns) return;  // gone, or has not run
  counters.cpu_ns = cpu - block.cpu_base_ns;
  if (counters.cpu_ns == block.written_cpu_ns) return;
  read_counters(block, counters);
  char name[16];
  const auto comm = read_task_file(block.tid, "comm");
  if (!comm.empty()) {
    take_name(comm, name);
    drain_->write_name(block, name, now_ns);
  }
  drain_->write_state(block, counters, false, now_ns);
}

void ThreadSampler::read_counters(ThreadBlock& block, ThreadCounters& counters) {
  if (source_ == RunDelaySource::schedstat)
    if (const auto text = read_task_file(block.tid, "schedstat"); !text.empty())
      counters.run_delay_ns = run_delay_of(text);
  // stat: fields after the command in parentheses, which may itself hold parentheses: 3 state ... 10 minflt 12 majflt
  // 14 utime 15 stime (proc(5)).
  const auto stat = read_task_file(block.tid, "stat");
  if (const auto close = stat.rfind(')'); close != std::string_view::npos) {
    Scanner fields(std::string_view(stat.data() + close + 1, stat.size() - close - 1));
    for (int field = 3; field < 10; ++field) fields.word();
    counters.minor_faults = Scanner(fields.word()).number();
    fields.word();
    counters.major_faults = Scanner(fields.word()).number();
    fields.word();
    const std::uint64_t user = Scanner(fields.word()).number() * kKernelTickNs;
    const std::uint64_t system = Scanner(fields.word()).number() * kKernelTickNs;
    // The kernel gives ticks; the clock gives the exact sum: keep the ratio.
    const std::uint64_t sum = user + system;
    counters.user_ns = sum ? static_cast<std::uint64_t>(static_cast<double>(counters.cpu_ns) * static_cast<double>(user) / static_cast<double>(sum)) : counters.cpu_ns;
    counters.system_ns = counters.cpu_ns - counters.user_ns;
  }
  const auto status = read_task_file(block.tid, "status");
  if (!status.empty()) {
    counters.voluntary_switches = number_after(status, "voluntary_ctxt_switches:");
    counters.involuntary_switches = number_after(status, "nonvoluntary_ctxt_switches:");
  }
}

}  // namespace tailback::engine
