// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/sampling.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <ucontext.h>

#include "agent/capture/clock.h"
#include "agent/capture/dormant.h"
#include "agent/capture/scope.h"
#include "agent/capture/syscalls.h"

namespace tailback::capture {

namespace {
TAILBACK_DORMANT_DATA constinit std::atomic<std::uint32_t> switched_off{0};

constexpr std::uint64_t kLateTicks = 4;  // a virtual machine's tick comes late now and then; beyond that the signal was held back

// A handler that was preempted did not cost that time: more than this is not counted as its own.
constexpr std::uint64_t kLongestHandlerNs = 100'000;

// Tells our timers' signals from any other SIGURG.
constexpr std::uintptr_t kTimerCookie = 0x7461696c6261636bu;  // "tailback"

std::uint32_t random_below(std::uint32_t limit, std::uint64_t seed) {
  seed ^= seed >> 33;
  seed *= 0xff51afd7ed558ccdu;
  seed ^= seed >> 33;
  seed *= 0xc4ceb9fe1a85ec53u;
  seed ^= seed >> 33;
  return static_cast<std::uint32_t>((seed >> 32) * limit >> 32);
}

Registers registers_of(const ucontext_t& context) {
  const auto& registers = context.uc_mcontext.gregs;
  return {static_cast<std::uint64_t>(registers[REG_RIP]), static_cast<std::uint64_t>(registers[REG_RSP]),
          static_cast<std::uint64_t>(registers[REG_RBP]), reinterpret_cast<const std::uint64_t*>(registers)};
}

// The instruction before pc is `syscall`: the signal came at the return from one. Reads only the page that is executing.
bool after_syscall(std::uint64_t pc) {
  if ((pc & 0xfff) < 2) return false;
  const auto* code = reinterpret_cast<const unsigned char*>(pc - 2);
  return code[0] == 0x0f && code[1] == 0x05;
}

StackBounds alternate_stack(const ucontext_t& context) {
  if (context.uc_stack.ss_flags & SS_DISABLE) return {0, 0};
  const auto low = reinterpret_cast<std::uint64_t>(context.uc_stack.ss_sp);
  return {low, low + context.uc_stack.ss_size};
}

std::uint16_t current_cpu() {
  const int cpu = sched_getcpu();  // reads the rseq area, 3 ns
  return static_cast<std::uint16_t>(cpu < 0 ? 0 : cpu);
}

struct Weight {
  std::uint64_t sampled, lost;
};

Weight weigh(int overrun, bool at_syscall) {
  const std::uint64_t period = sampling.period_ns.load(std::memory_order_relaxed);
  const std::uint64_t periods = 1 + static_cast<std::uint64_t>(overrun > 0 ? overrun : 0);
  const std::uint64_t plausible = kLateTicks * sampling.tick_ns / period + 1;
  const std::uint64_t counted = at_syscall || periods < plausible ? periods : plausible;
  return {counted * period, (periods - counted) * period};
}

void take_sample(ThreadBlock& thread, const siginfo_t& info, const ucontext_t& context) {
  const std::uint64_t begun = monotonic_ns();
  const Registers registers = registers_of(context);
  const bool at_syscall = after_syscall(registers.pc);
  const Weight weight = weigh(info.si_overrun, at_syscall);
  const Walk walk = sampling.unwinder->walk(registers, true, thread.stack, alternate_stack(context), *thread.handler_cache);

  Sample sample{};
  sample.t = begun - sampling.session_start_ns;
  sample.stack = walk.stack;
  sample.weight_ns = static_cast<std::uint32_t>(weight.sampled < 0xffffffffu ? weight.sampled : 0xffffffffu);
  sample.cpu = current_cpu();
  const bool waited = thread.calls.waits_for_work != thread.calls.waits_at_sample;
  sample.flags = static_cast<std::uint16_t>((at_syscall ? kSampleAtSyscall : 0) | (walk.partial ? kSamplePartialStack : 0) | (waited ? kSampleAfterWait : 0));
  thread.calls.waits_at_sample = thread.calls.waits_for_work;
  sample.lock = thread.locks.innermost();
  std::uint64_t lost = weight.lost + (weight.sampled - sample.weight_ns);
  if (walk.stack != 0 && thread.ring.push(sample)) {
    thread.samples.fetch_add(1, std::memory_order_relaxed);
    thread.sampled_ns.fetch_add(sample.weight_ns, std::memory_order_relaxed);
  } else {
    lost += sample.weight_ns;
  }
  if (lost) thread.lost_ns.fetch_add(lost, std::memory_order_relaxed);
  if (sampling.hooks.after_sample) sampling.hooks.after_sample(thread);
  const std::uint64_t spent = monotonic_ns() - begun;
  thread.handler_ns.fetch_add(spent < kLongestHandlerNs ? spent : kLongestHandlerNs, std::memory_order_relaxed);
}

bool set_timer(int timer, std::uint64_t first_ns, std::uint64_t period_ns) {
  itimerspec spec{};
  spec.it_value = {static_cast<time_t>(first_ns / 1'000'000'000), static_cast<long>(first_ns % 1'000'000'000)};
  spec.it_interval = {static_cast<time_t>(period_ns / 1'000'000'000), static_cast<long>(period_ns % 1'000'000'000)};
  return !sys::failed(sys::call(__NR_timer_settime, timer, 0, sys::arg(&spec), 0));
}

// A timer on the thread's CPU clock, its first expiry at a random phase after a rest; -1: the kernel refused.
int create_timer(int tid, std::uint64_t seed, std::uint64_t rest_ns) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kSampleSignal;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(kTimerCookie);
  event._sigev_un._tid = tid;
  int timer = -1;
  const clockid_t clock = (~static_cast<clockid_t>(tid) << 3) | 6;  // that thread's scheduler clock
  if (sys::failed(sys::call(__NR_timer_create, clock, sys::arg(&event), sys::arg(&timer)))) return -1;
  const std::uint64_t period = sampling.period_ns.load(std::memory_order_relaxed);
  const std::uint64_t first = rest_ns + 1 + random_below(static_cast<std::uint32_t>(period < 0xffffffffu ? period : 0xffffffffu), seed);
  if (set_timer(timer, first, period)) return timer;
  sys::call(__NR_timer_delete, timer);
  return -1;
}

}  // namespace

TAILBACK_DORMANT_DATA constinit std::atomic<std::uint32_t>* master_switch = &switched_off;

void switch_off(bool watching_calls) {
  switched_off.store(watching_calls ? kWatchingCalls : 0, std::memory_order_relaxed);
  master_switch = &switched_off;
}
TAILBACK_DORMANT_DATA constinit SamplingContext sampling{};

void on_sample_signal(int signal, siginfo_t* info, void* context) {
  if (!is_own_signal(*info)) {
    if (sampling.hooks.foreign_signal) sampling.hooks.foreign_signal(signal, info, context);
    return;
  }
  if (!recording() && sampling.hooks.used) sampling.hooks.used();
  ThreadBlock* thread = thread_local_state.block;
  if (!thread || !recording()) return;
  take_sample(*thread, *info, *static_cast<const ucontext_t*>(context));
}

bool arm_timer(ThreadBlock& thread) {
  if (sampling.timers.fetch_add(1, std::memory_order_relaxed) < sampling.most_timers) {
    thread.timer = create_timer(thread.tid, thread.id << 40 ^ monotonic_ns(), 0);
    if (thread.timer >= 0) return true;
  }
  sampling.timers.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

int arm_ownerless_timer(int tid, std::uint64_t rest_ns, std::uint64_t seed) {
  return sampling.most_timers ? create_timer(tid, static_cast<std::uint64_t>(tid) << 40 ^ seed, rest_ns) : -1;
}

void own_timer(ThreadBlock& thread, int timer) {
  thread.timer = timer;
  sampling.timers.fetch_add(1, std::memory_order_relaxed);
  rearm_timer(thread);
}

void disarm_timer(ThreadBlock& thread) {
  if (thread.timer < 0) return;
  sys::call(__NR_timer_delete, thread.timer);
  sampling.timers.fetch_sub(1, std::memory_order_relaxed);
  thread.timer = -1;
}

void rearm_timer(ThreadBlock& thread) {
  const std::uint64_t period = sampling.period_ns.load(std::memory_order_relaxed);
  if (thread.timer >= 0) set_timer(thread.timer, period, period);
}

void pause_timer(ThreadBlock& thread) {
  if (thread.timer >= 0) set_timer(thread.timer, 0, 0);
}

bool is_own_signal(const siginfo_t& info) {
  return info.si_code == SI_TIMER && reinterpret_cast<std::uintptr_t>(info.si_value.sival_ptr) == kTimerCookie;
}

std::uint64_t affordable_timers() {
  constexpr std::uint64_t kTooFew = 64;
  rlimit limit{};
  if (sys::failed(sys::call(__NR_prlimit64, 0, RLIMIT_SIGPENDING, 0, sys::arg(&limit)))) return 0;
  return limit.rlim_cur < kTooFew ? 0 : limit.rlim_cur / 2;
}

std::uint64_t cpu_timer_tick_ns() {
  // With high-resolution timers clock_getres(CLOCK_THREAD_CPUTIME_ID) says 1 ns although CPU timers are checked at the tick;
  // CLOCK_MONOTONIC_COARSE advances once a tick, so its resolution is the tick.
  timespec resolution{};
  sys::call(__NR_clock_getres, CLOCK_MONOTONIC_COARSE, sys::arg(&resolution));
  const auto tick = static_cast<std::uint64_t>(resolution.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(resolution.tv_nsec);
  return tick ? tick : 4'000'000;
}

}  // namespace tailback::capture
