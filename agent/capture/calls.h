// SPDX-License-Identifier: Apache-2.0
// Calls that may block, summed up by the thread that makes them: exactly for each (call, object), and by stack for each call that
// blocked, the first of an epoch for each (call, object), and a random one in 64 to 512 of the others. One writer, the thread itself;
// the engine reads what the writer has turned its back on. Signal-safe, no lock, no system call. Cost of a timed call:
// docs/performance.md.
//
// Two sets of sums take turns: the engine advances `call_epoch`, later reads and clears the set of the epoch before, which by then no
// writer is in (`active` says so). A thread held up for longer than an epoch in the middle keeps its set until the next turn.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "agent/capture/ring.h"
#include "agent/capture/ticks.h"
#include "agent/trace/calls.h"

namespace tailback::capture {

struct ThreadBlock;
using trace::Call;

inline constexpr std::size_t kCacheLine = 64;
inline constexpr std::uint64_t kBlockedNs = 20'000;  // from which on each call has its stack

struct alignas(kCacheLine) ChannelSums {  // of one call on one object; what each call changes is in the first line, and in one of either histogram
  static constexpr std::uint32_t kLatencies = 32, kSizes = 28;
  static constexpr std::uint32_t kFirstLatency = 5;  // latencies[0]: below 2^6 ns; [i]: from 2^(i + 5) ns
  std::uint64_t object;
  Call call;  // none: free
  std::uint32_t calls, errors, empty, blocked_calls, apart;
  std::uint64_t ns, longest_ns, blocked_ns, bytes;
  std::uint32_t latencies[kLatencies];
  std::uint32_t sizes[kSizes];  // [0]: nothing; [i]: from 2^(i - 1) bytes
};
static_assert(offsetof(ChannelSums, latencies) == kCacheLine);

struct StackSums {  // of one call on one object from one stack, while one lock was held
  std::uint64_t object;
  std::uint64_t lock;  // 0: none
  StackId stack;
  Call call;  // none: free
  std::uint32_t calls, blocked_calls;
  std::uint64_t ns, bytes, blocked_ns, longest_ns;
};

// Sums in places that a hash finds, behind them one for each kind of call of which some found none (object 0, stack 0).
template <class Sums, std::uint32_t kHashed>
struct CallTable {
  static constexpr std::uint32_t kCrowded = 12;
  Sums places[kHashed + kCrowded];
  Sums& at(std::uint32_t hash) { return places[hash % kHashed]; }
  Sums* crowded() { return places + kHashed; }
  Sums* begin() { return places; }
  Sums* end() { return places + kHashed + kCrowded; }
  const Sums* begin() const { return places; }
  const Sums* end() const { return places + kHashed + kCrowded; }
};

struct CallSums {
  static constexpr std::uint32_t kChannels = 32, kStacks = 128;
  CallTable<ChannelSums, kChannels> channels;
  CallTable<StackSums, kStacks> stacks;
};

enum class CallEventKind : std::uint16_t {
  call,
  turn,       // a long turn of an event loop: `object` the loop, `bytes` descriptors ready in it and, in the upper half, after it
  turn_part,  // behind it: what blocked in it, `bytes` times
};

struct CallEvent {  // one call that blocked, or (ns 0) one that wakes others
  std::uint64_t t;  // CLOCK_MONOTONIC
  std::uint64_t ns, object, bytes;
  StackId stack;
  Call call;
  CallEventKind kind;
};

// A place at which a descriptor is waited for again and again. What is kept of it is of its last wait.
struct LoopWaits {
  std::uint64_t loop;  // the epoll descriptor, or where poll or select is called from; 0: free
  Call call;
  std::uint32_t ready;
  std::int64_t timeout_ms;
  std::uint64_t began, returned;  // ticks
};

struct TurnPart {  // calls that blocked since the last wait, of one kind from one place
  StackId stack;
  Call call;
  std::uint32_t calls;
  std::uint64_t object, ns;
};

struct ThreadTurns {
  LoopWaits loops[4];
  std::uint32_t last;  // of `loops`, the one waited in last
  bool looping;        // any of them is in use
  std::uint32_t used;
  TurnPart parts[8];
  std::uint64_t waited_in;  // the loop whose wait is the first of the parts; 0 none
};

struct alignas(kCacheLine) ThreadCalls {  // what each call changes comes first, in one line
  std::atomic<std::uint32_t> active;  // epoch + 1 while the thread writes into that epoch's set
  std::atomic<std::uint32_t> dirty;   // what the engine has to look at: bits 0 and 1 the sets, bit 2 the events
  std::uint32_t until_sample;  // calls
  std::uint32_t random;
  // The call under way, for whoever asks what a blocked thread waits for. A call left by longjmp or cancellation stays until the next.
  std::atomic<Call> pending;
  StackId pending_stack;  // 0 not known
  bool pending_for_a_while;  // it gives up after a time
  std::uint64_t pending_object, pending_since;  // ticks
  std::uint64_t polled;  // ticks, when the thread last came back from waiting for any of its descriptors
  std::uint64_t waited;  // likewise, from a wait between two pieces of work for which it stood still
  std::uint32_t sample_weight, sample_epoch, samples;  // of the sample to come; the epoch of the last one, samples in it so far
  std::uint64_t woken, woken_at;  // by the thread's last wake: the object, and when (ticks)
  std::uint32_t nobody_epoch, nobody_objects;  // objects of wakes that met nobody, and the epoch in which they were counted
  // Where the thread last blocked: a loop comes back to the same place, whose stack a thread that sleeps cannot tell.
  Call blocked_call;
  StackId blocked_stack;
  std::uint64_t blocked_object;
  std::uint32_t waits_for_work, waits_at_sample;  // times that the thread waited for work; the same when it was last sampled
  // Of sleeps: the last different lengths that were asked for, in turns, and the moment until which the thread slept last; ns, 0 none.
  std::uint64_t slept[8], slept_until;
  std::uint32_t slept_next;
  // For stacks met lately: with the function that jumped to the call (stack_of_call), 0 there is none.
  struct {
    StackId stack, with_jump;
  } jumps[16];
  std::uint64_t lost;     // calls counted without their object or stack, since there was no place for them
  std::uint64_t events_lost;
  ThreadTurns turns;
  Ring<CallEvent, 512> events;  // of calls and wakes inside detail windows, of long turns
  CallSums sets[2];

  bool used() const { return random != 0; }  // the first call sets it
};

// A random acquisition of a lock is over (`lock`: the call that waits for it): the thread held it so long, and stands for `weight`. Not exact, unlike the other sums.
void record_hold(ThreadBlock& thread, Call lock, std::uint64_t object, std::uint64_t begin, std::uint64_t end, std::uint32_t weight, StackId stack);

struct FinishedCall {
  Call call;
  std::uint64_t object;
  std::uint64_t begin, end;  // ticks
  std::uint64_t bytes = 0;
  bool error = false, empty = false, apart = false;  // as in call_aggregate
  StackId stack = 0;                  // walked before; 0: not
};

// Epochs: even and odd ones have a set each.
extern std::atomic<std::uint32_t> call_epoch;

// The detail window that is open or comes next, in ticks; set by the engine well before it begins.
struct DetailSpan {
  std::atomic<std::uint64_t> begin, end;
  bool holds(std::uint64_t ticks) const { return ticks - begin.load(std::memory_order_relaxed) < end.load(std::memory_order_relaxed) - begin.load(std::memory_order_relaxed); }
};
extern DetailSpan detail_span;

inline constexpr std::uint32_t kDirtyEvents = 4;

// A wait for any of several descriptors, by which event loops are known.
struct LoopWait {
  Call call = Call::none;
  std::uint64_t loop = 0;        // as LoopWaits; 0: one descriptor, or none: no loop's wait
  std::int64_t timeout_ms = -1;  // 0 and below: none
};

inline constexpr std::uint64_t kLongTurnNs = 10'000'000;  // from which on each turn is told singly

// A wait of a loop is over: its last turn ended where this wait began. Before the wait itself is recorded.
void record_turn(ThreadBlock& thread, const LoopWait& wait, std::uint64_t begin, std::uint64_t end, std::uint32_t ready);
// After that.
inline void begin_turn(ThreadTurns& turns, std::uint64_t loop) { turns.waited_in = turns.used ? loop : 0; }

// The stack of the caller, for a call that is about to block. A function that makes the call as the last that it does, and so jumps to it,
// is no longer on the stack; it is put there where its own caller called it by its address.
StackId stack_of_call(ThreadBlock& thread);
// Which semaphores and futexes have been waited for, by a bit of a hash: whether waking on one may be word of work. Many programs make locks of
// them, which are given back all the time and waited for hardly ever. Any thread; signal-safe.
class WaitedFor {
 public:
  void note(std::uint64_t object) {
    if (!may_hold(object)) bits_[word_of(object)].fetch_or(bit_of(object), std::memory_order_relaxed);
  }
  bool may_hold(std::uint64_t object) const { return bits_[word_of(object)].load(std::memory_order_relaxed) & bit_of(object); }

 private:
  static constexpr std::uint32_t kWords = 64;
  static std::uint64_t hash(std::uint64_t object) { return object * 0x9e3779b97f4a7c15u; }
  static std::uint32_t word_of(std::uint64_t object) { return static_cast<std::uint32_t>(hash(object) >> 58); }
  static std::uint64_t bit_of(std::uint64_t object) { return std::uint64_t{1} << (hash(object) >> 52 & 63); }
  std::atomic<std::uint64_t> bits_[kWords];
};
extern WaitedFor waited_for;

// A thread did what may wake others: counted, and told singly inside a detail window. Of wakes that met nobody only some objects at a time are
// told apart, so that they leave room for calls that wait.
// `bytes`: as calls.def says.
void record_wake(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t bytes = 0);
// Only the latter, of a call that is recorded as such.
void tell_wake(ThreadBlock& thread, Call call, std::uint64_t object, std::uint64_t at_ticks);

}  // namespace tailback::capture
