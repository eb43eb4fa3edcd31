// SPDX-License-Identifier: Apache-2.0
// One recording of one process: the contents page of the in-process half. There is one Session object, constant-initialised,
// usable before any constructor has run. Everything that can fail leaves the agent off and the program untouched.
//
//   start()            options -> tables -> signal handler -> main thread -> dump -> master switch on
//   sample (handler)   ring -> [alone: drain -> dump]                     agent/capture/sampling
//   tick (helper)      rings -> drain -> aggregate -> dump; counters; governor
//   end()              master switch off -> last drain -> last counters -> dump closed in order
//
// "Alone": a process with one thread has no helper; its own samples carry the work. The helper starts with the second thread.
// A forked child, and an exec'd child of a recorded process, is "lazy": no file until it used or lived 50 ms. Until its first
// sample, thread or late end it is "dormant": it has a timer, and nothing else of the agent is there or touched.
#pragma once
#include <pthread.h>
#include <signal.h>

#include "agent/capture/allocations.h"
#include "agent/capture/endpoints.h"
#include "agent/capture/file_locks.h"
#include "agent/capture/sampling.h"
#include "agent/capture/scope.h"
#include "agent/engine/allocation_writer.h"
#include "agent/engine/allocator_calls.h"
#include "agent/engine/call_writer.h"
#include "agent/engine/drain.h"
#include "agent/engine/drain_lock.h"
#include "agent/engine/lock_writer.h"
#include "agent/engine/options.h"
#include "agent/engine/overhead.h"
#include "agent/engine/pause_sentinel.h"
#include "agent/engine/sampler_system.h"
#include "agent/engine/sampler_threads.h"
#include "agent/engine/stretches.h"
#include "agent/engine/stuck_threads.h"
#include "agent/engine/thread_look.h"

namespace tailback::engine {

// The program's libc as the agent calls it, past the hooks, and what is known of its surroundings.
struct RealCalls {
  int (*sigaction)(int, const struct sigaction*, struct sigaction*);
  int (*pthread_create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  AllocatorCalls allocator;
  const char* hidden_allocator = nullptr;  // path of an object whose malloc is found before ours, "" for the executable; nullptr: none
};

enum class EndReason { exit = 0, quick_exit = 1, duration = 2, stopped = 3, exec = 4 };
enum class Origin { preloaded = 0, forked = 1, attached = 2 };

// What only a recorded process uses and is too large to lie next to what each one touches.
struct RecordingParts {
  DumpFile dump;
  StackWriter stack_writer;
  CallWriter call_writer;
  LockWriter lock_writer;
  StuckThreads stuck_threads;
  SystemSampler system_sampler;
  ThreadLooker looker;
  Stretches stretches;
  PauseSentinel sentinel;
  char executable[4096] = {};
  char folder[4096] = {};  // current folder at the start, for a relative output
};
extern RecordingParts recording_parts;

class Session {
 public:
  void start(char** environment, const RealCalls& real);
  void end(EndReason reason, std::uint64_t status);
  // By exit(), after the program's own handlers: what can only be learnt of the heap now, then the end.
  void end_at_exit();

  // A dormant process is about to do what must be recorded.
  void wake_up() {
    if (dormant_) wake();
  }

  // Threads (agent/engine/threads.cpp). prepare_thread: in the creating thread; nullptr: the new thread goes unrecorded.
  capture::ThreadBlock* prepare_thread(const capture::Scope& scope, void* (*entry)(void*), void* argument, std::uint64_t stack_bytes);
  void cancel_thread(capture::ThreadBlock* block);         // creation failed
  void begin_thread(capture::ThreadBlock* block);          // first thing in the new thread
  void end_thread();                                       // last thing in it
  void watch_deadlock();                                   // the calling thread waits for a lock that it has
  void main_thread_leaves();                               // main called pthread_exit: the process goes on without it

  // fork: around it in the parent, and in the child.
  void before_fork();
  void after_fork_in_parent();
  void after_fork_in_child();

  // exec in place: everything to the dump before, as if nothing had been after a failure. Also called in vfork children.
  void before_exec();
  void after_failed_exec();

  // The process is about to lose rights or its view of the file system: a dump that waits to be worth it is opened now.
  void open_dump_early();
  // Until the matching call the agent has no thread; false: it had none. Returns when the kernel has forgotten the thread.
  bool pause_helper();
  void resume_helper();
  void end_before_sandbox();
  // Around mlockall: what is not used of the dump's window must not be made resident.
  void before_locking_memory();
  void after_locking_memory();

  // The sampling handler's epilogue in a process with one thread.
  void after_sample(capture::ThreadBlock& thread);
  // The helper's work, each quarter of a second. Returns false when it should end (nothing left to record).
  bool tick();
  // Between two ticks: notices pauses.
  PauseSentinel& sentinel() { return recording_parts.sentinel; }
  void begin_watching();
  // Until the helper should look again: at the events of an open detail window more often (look_at_window), else for a tick.
  std::uint64_t until_look_ns();
  void look_at_window();

  // The end of a call that may have blocked: in a process with one thread, also where the dump is written.
  void after_call(capture::ThreadBlock& thread, std::uint64_t end_ticks) {
    if (end_ticks >= call_due_.load(std::memory_order_relaxed)) write_calls(thread, end_ticks);
  }

  // The end of an allocation that was looked at closely: in a process with one thread, where the allocator is asked for its statistics.
  void after_allocation(capture::ThreadBlock& thread, std::uint64_t end_ticks) {
    if (end_ticks >= asking_due_.load(std::memory_order_relaxed)) ask_in_hook(thread, end_ticks);
  }

  bool dormant() const { return dormant_; }
  bool followed() const { return followed_; }
  bool is_this_process() const;
  bool is_child() const { return root_pid_ != pid_; }   // whose environment says so
  std::uint64_t root_pid() const { return root_pid_; }  // of the process that was started to be recorded; 0: nothing is
  void set_real(const RealCalls& real) { real_ = real; }
  const RealCalls& real() const { return real_; }

  capture::CodeMap code;
  capture::Unwinder unwinder;
  capture::Endpoints endpoints;
  capture::Descriptors descriptors;
  capture::Allocations allocations;

 private:
  friend class Helper;
  bool init_tables();
  bool init_calls();
  bool init_allocations(std::uint32_t most_nodes);
  capture::AllocationMode allocation_mode() const;
  bool begin_dormant();
  void wake();
  void forget_parent();
  bool lived_long() const;
  bool install_handler();
  void adopt_main_thread();
  std::uint32_t switches() const;
  bool arm(capture::ThreadBlock& block);
  bool open_dump();
  bool worth_a_file() const;
  void expand_output(char* path, std::size_t size) const;
  void write_preamble();
  void write_hidden_allocator();
  void write_failure(const char* what, long error);
  void begin_recording();
  void drain(std::uint64_t now_ns);
  void write_calls(capture::ThreadBlock& thread, std::uint64_t end_ticks);
  void every_second(std::uint64_t now_ns);
  void serve_requests(std::uint64_t now_ns);
  void write_sums(std::uint64_t now_ns);
  bool end_when_due(std::uint64_t now_ns);
  // The heap (agent/engine/heap_end.cpp).
  void ask_in_hook(capture::ThreadBlock& thread, std::uint64_t end_ticks);
  bool ask_the_allocator(std::uint64_t now_ns, std::uint64_t most_ns, trace::AllocatorState& state);
  void ask_while_running();
  void look_for_leaks(const capture::ThreadBlock* thread);
  void search_leaks(const capture::StackBounds& stack);
  void write_last_records(EndReason reason, std::uint64_t status);
  void rearm_all();
  void disarm_all();
  AgentCost cost() const;
  std::uint64_t live_threads() const;
  std::uint64_t since_start() const;

  Options options_;
  RealCalls real_{};
  capture::StackTable stacks_;
  capture::ThreadTable threads_;
  DrainLock* lock_ = nullptr;  // on the page of the master switch: taken around each fork, it would have a page of the library copied
  DumpFile& dump_ = recording_parts.dump;
  StackWriter& stack_writer_ = recording_parts.stack_writer;
  CpuAggregate aggregate_;
  Detail detail_;
  CallWriter& call_writer_ = recording_parts.call_writer;
  LockWriter& lock_writer_ = recording_parts.lock_writer;
  StuckThreads& stuck_threads_ = recording_parts.stuck_threads;
  ThreadLooker& looker_ = recording_parts.looker;
  AllocationWriter allocation_writer_;
  Drain drain_;
  ThreadSampler thread_sampler_;
  SystemSampler& system_sampler_ = recording_parts.system_sampler;
  OverheadGovernor governor_;
  AskingBudget asking_;
  LeakFinder leaks_;
  trace::LeakScan leak_scan_{};  // its time 0: none
  trace::AllocatorState last_allocator_state_{};  // likewise
  RunDelaySource run_delay_ = RunDelaySource::none;

  std::atomic<std::uint32_t>* master_ = nullptr;  // on its own page, zero in forked children
  Origin origin_ = Origin::preloaded;
  bool ready_ = false;       // tables exist
  bool followed_ = false;    // this process is recorded, or will be once it is worth it
  bool dormant_ = false;
  int dormant_timer_ = -1;
  bool lazy_ = false;        // a file only when worth it
  bool dump_failed_ = false;
  bool opened_early_ = false;  // before the process was worth a file
  std::atomic<bool> main_left_{false};
  std::uint64_t pid_ = 0, root_pid_ = 0;
  std::uint64_t started_ns_ = 0;      // CLOCK_MONOTONIC
  std::uint64_t last_second_ns_ = 0;  // since start
  std::uint64_t last_tick_ns_ = 0;
  std::uint64_t idle_ticks_ = 0;
  std::uint64_t seconds_ = 0;
  std::uint64_t hooked_threads_ = 0;
  std::uint64_t alone_until_ns_ = 0;  // end of the stretch in which each sample was kept singly
  std::uint64_t handler_drain_ns_ = 0;
  std::atomic<std::uint64_t> asking_due_{0};  // ticks from which the end of an allocation looks whether the allocator may be asked
  std::atomic<std::uint64_t> call_due_{0};  // ticks from which a call may write to the dump itself
  char (&executable_)[4096] = recording_parts.executable;
  char (&folder_)[4096] = recording_parts.folder;
  char program_[256] = {};
};

extern Session session;

}  // namespace tailback::engine
