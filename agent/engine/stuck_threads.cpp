// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/stuck_threads.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "agent/capture/sampling.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/mappings.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;
using capture::ThreadBlock;
using capture::ThreadState;
using capture::tick_clock;
using trace::Call;
using trace::CallGroup;

namespace {

constexpr std::uint64_t kLongNs = 2'000'000'000;

// Handlers of faults and the like wake nobody; the sampling signal is the agent's, and the last two are the C library's own.
constexpr std::uint64_t bit(int signal) { return std::uint64_t{1} << (signal - 1); }
constexpr std::uint64_t kWakeNobody = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGABRT) | bit(SIGSYS) | bit(SIGPIPE) | bit(32) | bit(33);

struct Sleep {  // what /proc/self/task/T/syscall says (proc(5))
  long call = -1;
  std::uint64_t arguments[4] = {};
};

Sleep sleep_of(std::int32_t tid) {
  char path[64], buffer[256];
  Text(path, sizeof path).add("/proc/self/task/").add_number(static_cast<std::uint64_t>(tid)).add("/syscall");
  Scanner words(read_kernel_file(path, buffer, sizeof buffer));
  const std::string_view number = words.word();
  Sleep sleep;
  if (number.empty() || number[0] < '0' || number[0] > '9') return sleep;
  sleep.call = static_cast<long>(Scanner(number).number());
  for (std::uint64_t& argument : sleep.arguments) {
    std::string_view word = words.word();
    if (word.starts_with("0x")) word.remove_prefix(2);
    argument = Scanner(word).hex();
  }
  return sleep;
}

bool is_pipe_call(long call) { return call == __NR_read || call == __NR_readv || call == __NR_write || call == __NR_writev; }

// Whether only a thread of this process, or the end of one, ends that sleep.
bool ends_from_inside(const Sleep& sleep, Call pending) {
  if (is_pipe_call(sleep.call)) return pending == Call::read || pending == Call::write;
  if (sleep.call != __NR_futex || sleep.arguments[3] != 0) return false;
  const auto operation = static_cast<int>(sleep.arguments[1]);
  const int command = operation & FUTEX_CMD_MASK;
  constexpr int kLockPi2 = 13;
  if (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET && command != FUTEX_WAIT_REQUEUE_PI && command != FUTEX_LOCK_PI && command != kLockPi2) return false;
  return operation & FUTEX_PRIVATE_FLAG || pending == Call::thread_join || !is_shared_memory(sleep.arguments[0]);
}

bool has_children() {
  siginfo_t info;
  return sys::call(__NR_waitid, P_ALL, 0, sys::arg(&info), WEXITED | WNOHANG | WNOWAIT, 0) != -ECHILD;
}

bool has_handlers() {
  char buffer[4096];
  Scanner status(read_kernel_file("/proc/thread-self/status", buffer, sizeof buffer));
  if (!status.skip_past("SigCgt:")) return true;
  std::string_view mask = status.word();
  return (Scanner(mask).hex() & ~kWakeNobody & ~bit(capture::kSampleSignal)) != 0;
}

std::uint64_t threads_of_process() {
  char buffer[4096];
  return number_after(read_kernel_file("/proc/thread-self/status", buffer, sizeof buffer), "Threads:");
}

}  // namespace

void StuckThreads::init(capture::ThreadTable& threads, capture::Endpoints& endpoints, capture::Unwinder& unwinder, StackWriter& stacks, CallWriter& calls, Drain& drain, DumpFile& dump) {
  threads_ = &threads;
  endpoints_ = &endpoints;
  stacks_ = &stacks;
  calls_ = &calls;
  drain_ = &drain;
  dump_ = &dump;
  sleeping_.init(unwinder);
}

void StuckThreads::begin(std::uint64_t session_start_ns) {
  session_start_ns_ = session_start_ns;
  before_ = told_ = number_ = 0;
}

bool StuckThreads::waits_inside(const ThreadBlock& block, std::uint64_t now_ticks) const {
  const Call call = block.calls.pending.load(std::memory_order_acquire);
  if (call == Call::none || block.calls.pending_for_a_while) return false;
  if (call == Call::read || call == Call::write) {
    const capture::Endpoint* endpoint = endpoints_->at(static_cast<capture::EndpointId>(block.calls.pending_object));
    if (!endpoint || endpoint->kind != trace::EndpointKind::pipe || !(endpoint->flags.load(std::memory_order_relaxed) & trace::kOwnPipe)) return false;
  } else {
    const CallGroup group = trace::group_of(call);
    if (group != CallGroup::lock && group != CallGroup::condition && group != CallGroup::barrier && group != CallGroup::join && group != CallGroup::futex && call != Call::sem_wait) return false;
  }
  return now_ticks - block.calls.pending_since >= tick_clock.from_ns(kLongNs);
}

std::uint64_t StuckThreads::gather() {
  const std::uint64_t now = tick_clock.now();
  std::uint64_t signature = 0;
  count_ = 0;
  main_is_in_ = false;
  for (std::uint32_t slot = 0; slot < threads_->slots(); ++slot) {
    ThreadBlock* block = threads_->at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != ThreadState::live) continue;
    if (count_ == kMost || !waits_inside(*block, now)) return 0;
    main_is_in_ |= (block->flags & capture::kThreadMain) != 0;
    members_[count_++] = block;
    signature += (block->id ^ block->calls.pending_object << 20 ^ block->calls.pending_since << 8) * 0x9e3779b97f4a7c15u;
  }
  return signature;
}

// Every thread that the kernel knows is one of them, or the agent's own, or a main thread that has ended before the others.
bool StuckThreads::kernel_agrees() const {
  if (threads_of_process() != count_ + 1u + !main_is_in_) return false;
  bool pipes = false;
  for (std::uint32_t i = 0; i < count_; ++i) {
    const Sleep sleep = sleep_of(members_[i]->tid);
    if (!ends_from_inside(sleep, members_[i]->calls.pending.load(std::memory_order_acquire))) return false;
    pipes |= is_pipe_call(sleep.call);
  }
  return !pipes || !has_children();
}

capture::StackId StuckThreads::stack_of(const ThreadBlock& block) {
  const capture::StackId known = block.calls.pending_stack;
  return known ? known : sleeping_.of(block.tid, true).stack;
}

void StuckThreads::write(std::uint64_t now_ns) {
  ++number_;
  const bool handlers = has_handlers();
  for (std::uint32_t i = 0; i < count_; ++i) {
    const ThreadBlock& block = *members_[i];
    const Call call = block.calls.pending.load(std::memory_order_acquire);
    const std::uint64_t began = tick_clock.monotonic_at(block.calls.pending_since);
    drain_->announce(*members_[i]);
    calls_->write_endpoint(call, block.calls.pending_object);
    const capture::StackId stack = stack_of(block);
    if (stack) stacks_->write(stack);
    dump_->append(trace::StuckWait{now_ns, number_, count_, block.id, static_cast<std::uint64_t>(call), block.calls.pending_object,
                                   began > session_start_ns_ ? began - session_start_ns_ : 0, stack, handlers});
  }
}

void StuckThreads::look(std::uint64_t now_ns) {
  const std::uint64_t signature = gather();
  if (told_ && signature != told_) {
    dump_->append(trace::StuckWait{now_ns, number_, 0, 0, 0, 0, 0, 0, 0});
    told_ = 0;
  }
  const bool again = signature && signature == before_ && signature != told_;
  before_ = signature;
  if (!again || !kernel_agrees()) return;
  write(now_ns);
  told_ = signature;
  dump_->count_deadlock();
}

}  // namespace tailback::engine
