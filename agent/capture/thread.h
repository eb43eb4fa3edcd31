// SPDX-License-Identifier: Apache-2.0
// What the agent keeps for each thread of the program: one block of its own pages, found through one thread-local pointer
// (initial-exec, no constructor, no destructor). Blocks are never unmapped: a thread's last frees and signals may come after
// its end was seen. They are reused once the engine has collected them.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/calls.h"
#include "agent/capture/locks.h"
#include "agent/capture/poisson.h"
#include "agent/capture/ring.h"
#include "agent/capture/unwind.h"

namespace tailback::capture {

enum class ThreadState : std::uint32_t {
  free,      // in the pool
  starting,  // handed to a thread that is being created
  live,      // its thread runs
  ended,     // its thread is over, final figures are in place; the engine has not collected it yet
};

struct ThreadCounters {  // cumulative, as in thread_state
  std::uint64_t cpu_ns, user_ns, system_ns, run_delay_ns;
  std::uint64_t voluntary_switches, involuntary_switches, minor_faults, major_faults;
};

enum ThreadFlag : std::uint32_t { kThreadMain = 1, kThreadFoundLate = 2, kThreadUnsampled = 4 };  // as in thread.flags

struct ThreadAllocations {
  Random random;              // state 0: not seeded yet
  std::uint32_t group;        // of Allocations, plus 1; 0: none yet
  std::uint64_t until_sample; // exact mode: as ThreadLocal::allocation_budget in sampled mode
  std::uint64_t last;         // exact mode: address of the block allocated last
};

struct ThreadBlock {
  std::atomic<ThreadState> state;
  std::uint32_t slot;  // index in the table of blocks
  std::uint32_t next_free;

  // Written by the creating thread and the thread itself before `live`, read by anyone after.
  std::uint64_t id;
  std::int32_t tid;
  std::uint32_t flags;  // ThreadFlag
  std::uint64_t start_ns, end_ns;  // CLOCK_MONOTONIC
  std::uint64_t creator;
  StackId creation_stack;
  std::uint64_t start_routine, start_argument;  // the second: the first word behind the argument
  void* (*entry)(void*);                        // what the new thread is to call
  void* entry_argument;
  std::uint64_t inherited_mask;                 // its creator's ThreadLocal::wanted_mask
  bool inherits_given_back;                     // and given_back
  StackBounds stack;
  std::uint64_t handle;  // its pthread_t, which is what it is joined by
  std::uint64_t cpu_base_ns;  // CPU time before the recording began

  std::int32_t timer;  // kernel timer id, -1 none
  std::atomic<std::uint64_t> samples, sampled_ns, lost_ns, handler_ns;
  SampleRing ring;

  ThreadCounters last;  // final figures once ended
  char name[16];

  // Of the engine: which records of this thread are in the dump, the state last written, the sample drained last.
  bool announced;
  std::uint64_t written_cpu_ns;
  char written_name[16];
  StackId last_stack;  // of its last sample; 0: none so far
  std::uint64_t last_sample_ns;

  WalkCache* handler_cache;  // two contexts that may interrupt each other
  WalkCache* hook_cache;

  ThreadLocks locks;
  ThreadCalls calls;
  ThreadAllocations allocations;
};

// Agent state of the running thread. Zero until its block is set.
struct ThreadLocal {
  ThreadBlock* block;
  std::uint32_t in_agent;      // depth of agent code on this thread: hooks inside hooks pass straight through
  std::uint32_t holds_drain;   // this thread took the drain lock around a fork
  std::uint32_t given_back;    // the sampling signal is really blocked here: one of the program's own waits for it
  std::uint32_t wait_mask;     // in a call that waits with a mask of its own: 1, once the signal was given back before: 2
  std::uint64_t wanted_mask;   // bits of our signals that the program believes it has blocked
  std::uint64_t waiting_set;   // of a sigwait under way, without our bit, which comes in when the signal is given back
  std::uint64_t allocation_budget;  // bytes that pass unseen before the next allocation is looked at
  std::uint64_t fork_began;    // ticks, of a fork under way
  StackBounds stack_at_fork;   // of the thread that forked this process; zero in one that was executed
};
static_assert(sizeof(ThreadLocal) <= 128);

extern thread_local constinit ThreadLocal thread_local_state __attribute__((tls_model("initial-exec")));

// All blocks. Lock-free; any thread, any signal handler.
class ThreadTable {
 public:
  static constexpr std::uint32_t kMaxThreads = 32768;

  bool init();
  void after_fork();                  // in the child, where the blocks are wiped and may be mapped anew
  ThreadBlock* acquire();             // nullptr: no memory, or kMaxThreads live (counted in refused())
  void release(ThreadBlock* block);   // after collection
  std::uint32_t slots() const { return slots_used_.load(std::memory_order_acquire); }
  ThreadBlock* at(std::uint32_t slot) const { return blocks_[slot].load(std::memory_order_acquire); }
  std::uint64_t started() const { return next_id_.load(std::memory_order_relaxed) - 1; }  // threads so far
  std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  std::uint64_t next_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<ThreadBlock*>* blocks_ = nullptr;
  std::atomic<std::uint32_t> slots_used_{0};
  std::atomic<std::uint64_t> free_head_{0};  // slot + 1 in the low half, a tag against ABA in the high half
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> next_id_{1};
};

}  // namespace tailback::capture
