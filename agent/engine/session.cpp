// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/session.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <cstring>

#include "agent/capture/clock.h"
#include "agent/capture/dormant.h"
#include "agent/capture/pages.h"
#include "agent/engine/helper.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/mappings.h"
#include "agent/engine/signals.h"
#include "agent/engine/text.h"

extern "C" void* __libc_stack_end;  // ld.so: the main thread's stack as the kernel handed it over

#ifndef TAILBACK_VERSION
#define TAILBACK_VERSION "test"
#endif

namespace tailback::engine {

namespace sys = capture::sys;
using capture::ThreadBlock;
using capture::ThreadState;
using capture::thread_local_state;

constinit RecordingParts recording_parts;
TAILBACK_DORMANT_DATA constinit Session session;

namespace {

constexpr std::uint32_t kMaxNodes = 384 * 1024, kMaxNodesExact = 2048 * 1024;  // exact: every stack that allocates
constexpr std::uint64_t kLockWaitNs = 200'000'000;
constexpr std::uint64_t kAskingNs = 1'000'000'000;  // until the allocator is first asked for its statistics

// Under the drain lock, or before any other thread runs; static since a signal stack may be small.
constinit char text_buffer[8192];
constinit utsname machine_names;

const utsname& read_machine_names() {
  sys::call(__NR_uname, sys::arg(&machine_names));
  return machine_names;
}

// Start of the process on CLOCK_BOOTTIME: field 22 of /proc/self/stat, in ticks of USER_HZ (proc(5)).
std::uint64_t process_start_ns() {
  const auto stat = read_kernel_file("/proc/self/stat", text_buffer, sizeof text_buffer);
  const auto close = stat.rfind(')');
  if (close == std::string_view::npos) return 0;
  Scanner fields(std::string_view(stat.data() + close + 1, stat.size() - close - 1));
  for (int field = 3; field < 22; ++field) fields.word();
  return Scanner(fields.word()).number() * 10'000'000;
}

void read_link(const char* path, char* buffer, std::size_t size) {
  const long got = sys::call(__NR_readlink, sys::arg(path), sys::arg(buffer), static_cast<long>(size - 1));
  buffer[sys::failed(got) ? 0 : got] = 0;
}

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : std::string_view(path.data() + slash + 1, path.size() - slash - 1);
}

// What the user typed: the name given to exec (a link or a script keeps its own), of the file otherwise.
std::string_view program_name() {
  const auto* given = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  return base_name(given && *given ? given : "program");
}

}  // namespace

void Session::start(char** environment, const RealCalls& real) {
  options_.read(environment);
  if (!options_.enabled) return;
  real_ = real;
  pid_ = static_cast<std::uint64_t>(sys::getpid());
  const bool child = options_.root_pid != 0 && options_.root_pid != pid_;
  if (child && !options_.follow_children) return;
  lazy_ = child;
  capture::init_clock();
  const bool relative = options_.output[0] != '/';
  if (relative && sys::failed(sys::call(__NR_getcwd, sys::arg(folder_), sizeof folder_))) folder_[0] = 0;
  Text(program_, sizeof program_).add(program_name());  // now: the program may write over what it was started with
  if (!install_handler()) return;
  started_ns_ = capture::monotonic_ns_once();
  root_pid_ = child ? options_.root_pid : pid_;
  followed_ = true;
  if (!lazy_ || !begin_dormant()) wake();
}

bool Session::init_tables() {
  capture::sampling.tick_ns = capture::cpu_timer_tick_ns();
  auto* page = capture::map_own_pages(capture::kPageBytes);
  if (!page) return false;
  master_ = static_cast<std::atomic<std::uint32_t>*>(page);
  lock_ = reinterpret_cast<DrainLock*>(static_cast<char*>(page) + capture::kPageBytes / 2);
  read_link("/proc/self/exe", executable_, sizeof executable_);
  const std::uint32_t most_nodes = allocation_mode() == capture::AllocationMode::exact ? kMaxNodesExact : kMaxNodes;
  return code.init(executable_) && stacks_.init(most_nodes) && unwinder.init(code, stacks_) && threads_.init() &&
         stack_writer_.init(code, stacks_, unwinder, dump_, most_nodes) && aggregate_.init() && detail_.init() &&
         recording_parts.stretches.init(stacks_, stack_writer_, dump_) &&
         drain_.init(threads_, stack_writer_, aggregate_, detail_, dump_, call_writer_, recording_parts.stretches) && init_calls() && init_allocations(most_nodes);
}

bool Session::init_calls() {
  looker_.init(threads_, unwinder, stack_writer_, drain_, dump_);
  char clocksource[64];
  const auto source = read_kernel_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", clocksource, sizeof clocksource);
  capture::tick_clock.init(source == "tsc\n");
  if (!options_.io) return true;
  call_writer_.init(endpoints, stack_writer_, detail_, dump_);
  lock_writer_.init(threads_, stack_writer_, call_writer_, drain_, dump_);
  stuck_threads_.init(threads_, endpoints, unwinder, stack_writer_, call_writer_, drain_, dump_);
  if (switches() & capture::kTimingLocks && !capture::contended_locks.init()) return false;
  if (std::string_view(options_.locks) == "order" && !capture::lock_orders.init()) return false;
  return endpoints.init() && descriptors.init();
}

capture::AllocationMode Session::allocation_mode() const {
  if (real_.hidden_allocator) return capture::AllocationMode::off;
  const std::string_view mode(options_.alloc);
  return mode == "off" ? capture::AllocationMode::off : mode == "exact" ? capture::AllocationMode::exact : capture::AllocationMode::sampled;
}

bool Session::init_allocations(std::uint32_t most_nodes) {
  allocation_writer_.init(allocations, stack_writer_, dump_);
  if (allocation_mode() == capture::AllocationMode::exact) stacks_.prefer_large_pages();
  return allocations.init(allocation_mode(), options_.alloc_interval, most_nodes);
}

bool Session::install_handler() {
  capture::sampling.unwinder = &unwinder;
  capture::sampling.most_timers = capture::affordable_timers();
  capture::sampling.period_ns.store(1'000'000'000 / options_.frequency);
  capture::sampling.hooks.used = [] { session.wake_up(); };
  capture::sampling.hooks.after_sample = [](ThreadBlock& thread) { session.after_sample(thread); };
  return install_sample_handler(real_.sigaction);
}

namespace {

// The kernel keeps mappings out of the stack's room to grow, as far as the limit goes; with no limit, trust 8 MiB.
capture::StackBounds initial_stack() {
  rlimit limit{};
  sys::call(__NR_prlimit64, 0, RLIMIT_STACK, 0, sys::arg(&limit));
  constexpr std::uint64_t kUsual = 8 << 20;
  const std::uint64_t room = limit.rlim_cur == 0 || limit.rlim_cur > (std::uint64_t{64} << 20) ? kUsual : limit.rlim_cur;
  const auto top = reinterpret_cast<std::uint64_t>(__libc_stack_end) + 16;
  return {top - room, top};
}

}  // namespace

void Session::adopt_main_thread() {
  ThreadBlock* block = threads_.acquire();
  if (!block) return;
  block->id = threads_.next_id();
  block->tid = static_cast<std::int32_t>(pid_);
  block->flags = capture::kThreadMain;
  block->start_ns = started_ns_;
  block->handle = reinterpret_cast<std::uint64_t>(__builtin_thread_pointer());
  block->stack = thread_local_state.stack_at_fork.high ? thread_local_state.stack_at_fork : initial_stack();
  block->state.store(ThreadState::live, std::memory_order_release);
  thread_local_state.block = block;
  allocations.begin_thread(*block);
}

// The common part of a start and of a forked child: a recording of the calling thread and whatever it creates.
void Session::begin_recording() {
  capture::sampling.session_start_ns = started_ns_;
  last_second_ns_ = last_tick_ns_ = idle_ticks_ = seconds_ = 0;
  alone_until_ns_ = handler_drain_ns_ = 0;
  drain_.begin(started_ns_);
  detail_.reset();
  governor_.begin(capture::sampling.period_ns.load());
  dump_failed_ = opened_early_ = false;
  ThreadBlock* block = thread_local_state.block;
  if (!lazy_ && options_.delay_ns == 0) open_dump();
  call_writer_.begin(started_ns_);
  lock_writer_.begin(started_ns_);
  stuck_threads_.begin(started_ns_);
  allocation_writer_.begin();
  asking_.begin();
  asking_due_.store(capture::tick_clock.now() + capture::tick_clock.from_ns(kAskingNs), std::memory_order_relaxed);
  leak_scan_ = {};
  last_allocator_state_ = {};
  call_due_.store(0, std::memory_order_relaxed);
  master_->store(switches(), std::memory_order_release);
  capture::master_switch = master_;
  if (block && dormant_timer_ >= 0) capture::own_timer(*block, dormant_timer_);
  else if (block && options_.delay_ns == 0 && !arm(*block)) block->flags |= capture::kThreadUnsampled;
  dormant_timer_ = -1;
  if (options_.delay_ns || options_.duration_ns) helper.start(*this);
}

std::uint32_t Session::switches() const {
  const bool locks = std::string_view(options_.locks) != "off";
  return capture::kRecording | (options_.io ? capture::kTimingCalls : 0) | (options_.io && locks ? capture::kTimingLocks : 0);
}

bool Session::arm(ThreadBlock& block) {
  if (options_.delay_ns && since_start() < options_.delay_ns) return true;  // the helper arms it when the delay is over
  return capture::arm_timer(block);
}

std::uint64_t Session::since_start() const { return capture::monotonic_ns() - started_ns_; }
bool Session::is_this_process() const { return static_cast<std::uint64_t>(sys::getpid()) == pid_; }

std::uint64_t Session::live_threads() const {
  std::uint64_t live = 0;
  for (std::uint32_t slot = 0; slot < threads_.slots(); ++slot) {
    const ThreadBlock* block = threads_.at(slot);
    live += block && block->state.load(std::memory_order_relaxed) == ThreadState::live;
  }
  return live;
}

void Session::expand_output(char* path, std::size_t size) const {
  Text text(path, size);
  const std::string_view pattern(options_.output);
  if (!pattern.starts_with('/') && folder_[0]) text.add(folder_).add("/");
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%' || i + 1 == pattern.size()) {
      text.add_char(pattern[i]);
      continue;
    }
    switch (pattern[++i]) {
      case 'p': text.add_number(pid_); break;
      case 'e': text.add(program_); break;
      case 'h': text.add(read_machine_names().nodename); break;
      default: text.add_char(pattern[i]);
    }
  }
}

// Under the drain lock, or before any other thread runs.
bool Session::open_dump() {
  if (dump_.state() == DumpState::open) return true;
  if (dump_failed_) return false;
  const std::uint64_t realtime = capture::realtime_ns() - since_start();
  expand_output(text_buffer, sizeof text_buffer);
  if (sys::failed(dump_.create(text_buffer, options_.max_size, static_cast<std::uint32_t>(pid_), realtime))) {
    dump_failed_ = true;  // nothing can be kept; the launcher sees that no dump appeared and says why
    return false;
  }
  stack_writer_.reset();
  write_preamble();
  return true;
}

void Session::write_hidden_allocator() {
  if (!real_.hidden_allocator || std::string_view(options_.alloc) == "off") return;
  Text text(text_buffer, sizeof text_buffer);
  text.add("allocations are not recorded: malloc is defined in ").add(*real_.hidden_allocator ? real_.hidden_allocator : executable_);
  text.add(*real_.hidden_allocator ? ", which is preloaded before libtailback.so; name it after libtailback.so in LD_PRELOAD"
                                   : " itself and cannot be seen from outside; link the allocator as a shared library to have them recorded");
  dump_.append(trace::Note{since_start(), text.view()});
}

void Session::write_preamble() {
  const utsname& names = read_machine_names();
  trace::Session record;
  record.pid = pid_;
  record.parent_pid = static_cast<std::uint64_t>(sys::call(__NR_getppid));
  record.started_mono_ns = started_ns_;
  record.started_realtime_ns = capture::realtime_ns() - since_start();
  record.process_started_mono_ns = process_start_ns();
  record.hostname = names.nodename;
  record.program = executable_;
  record.command = read_kernel_file("/proc/self/cmdline", text_buffer, sizeof text_buffer);
  record.tool_version = TAILBACK_VERSION;
  record.origin = static_cast<std::uint64_t>(origin_);
  dump_.append(record);

  options_.for_each([](void* dump, std::string_view name, std::string_view value) {
    static_cast<DumpFile*>(dump)->append(trace::Option{name, value});
  }, &dump_);
  if (options_.rejected) {
    Text text(text_buffer, sizeof text_buffer);
    text.add("the value of ").add(options_.rejected).add(" could not be read; the default was used");
    dump_.append(trace::Note{since_start(), text.view()});
  }
  write_hidden_allocator();
  const MachineFacts facts = read_machine_facts();
  run_delay_ = probe_run_delay_source();
  char clocksource[64];
  auto source = read_kernel_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", clocksource, sizeof clocksource);
  if (!source.empty()) source.remove_suffix(1);
  trace::Machine machine{facts.cpus_online, facts.cpus_allowed, capture::sampling.tick_ns, capture::kPageBytes, facts.memory_bytes,
                         static_cast<std::uint64_t>(run_delay_), names.release, source};
  dump_.append(machine);
  thread_sampler_.init(threads_, drain_, run_delay_);
  system_sampler_.init();
  system_sampler_.sample(dump_, since_start(), live_threads());
}

void Session::end(EndReason reason, std::uint64_t status) {
  if (dormant_ && is_this_process()) {
    if (lived_long()) {
      wake();
    } else {
      dormant_ = false;
      if (reason == EndReason::stopped) sys::call(__NR_timer_delete, dormant_timer_);
    }
  }
  if (!ready_ || !capture::recording() || !is_this_process()) return;
  ++thread_local_state.in_agent;
  helper.stop(kLockWaitNs);
  if (lock_->lock_within(kLockWaitNs)) {
    master_->store(0, std::memory_order_release);
    followed_ = reason == EndReason::exec;  // which may fail
    if (reason == EndReason::stopped) disarm_all();
    const bool worth = worth_a_file();
    if (opened_early_ && !worth) dump_.discard();
    else if (dump_.state() != DumpState::closed || (worth && open_dump())) write_last_records(reason, status);
    lock_->unlock();
  }
  --thread_local_state.in_agent;
}

void Session::write_last_records(EndReason reason, std::uint64_t status) {
  const std::uint64_t now = since_start();
  const bool was_full = dump_.state() == DumpState::full;
  dump_.open_reserve();
  if (was_full) dump_.append(trace::Note{now, "the dump reached its size limit (--max-size) or the disk was full: recording stopped early"});
  drain_.all_threads(!helper.running() && alone_until_ns_ == 0);
  recording_parts.stretches.end_all();
  sentinel().write(dump_, detail_);
  if (options_.io) drain_.all_calls(true, now);
  write_sums(now);
  if (last_allocator_state_.t) dump_.append(last_allocator_state_);
  if (leak_scan_.t) allocation_writer_.write_leaks(now, leak_scan_, leaks_);
  if (alone_until_ns_ == 0) dump_.append(trace::DetailWindow{0, now, 2, {}});
  else detail_.close_windows(dump_, now, true);
  stack_writer_.write_unloads(now);
  if (stack_writer_.take_unknown_code()) write_executable_mappings(dump_);
  governor_.write(dump_, now, cost());
  if (allocations.lost()) dump_.append(trace::Loss{now, "allocations", allocations.lost()});
  if (capture::lock_orders.lost()) dump_.append(trace::Loss{now, "pairs of locks", capture::lock_orders.lost()});
  if (call_writer_.lost()) dump_.append(trace::Loss{now, "objects of calls", call_writer_.lost()});
  if (call_writer_.events_lost()) dump_.append(trace::Loss{now, "call events", call_writer_.events_lost()});
  if (drain_.lost_records()) dump_.append(trace::Loss{now, "records", drain_.lost_records()});
  if (threads_.refused()) dump_.append(trace::Loss{now, "threads", threads_.refused()});
  if (stacks_.rejected()) dump_.append(trace::Loss{now, "stacks", stacks_.rejected()});
  dump_.append(trace::ClockPair{now, capture::realtime_ns()});
  dump_.append(trace::SessionEnd{now, static_cast<std::uint64_t>(reason), status});
  dump_.finish();
}

}  // namespace tailback::engine
