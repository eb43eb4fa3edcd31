// SPDX-License-Identifier: Apache-2.0
// Locks as the threads that hold them know them: a list for each thread, kept exactly, by stores into the thread's own block alone. An
// acquisition has no stack and no time stamp of its own, which would cost more than the lock: those have that were waited for, and a
// random one in 256. Which lock was taken while which was held is noted once for each pair and thread (LockOrders). One writer, the
// thread itself; its own signal handler and the engine read. No lock, no system call.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/stacks.h"
#include "agent/trace/calls.h"

namespace tailback::capture {

struct ThreadBlock;

struct HeldLock {
  std::uint64_t object;     // its address
  const void* caller;       // where it was taken: the return address of the hook
  std::uint64_t since;      // ticks; 0 not known, and then the next two are 0 as well, also in entries that are free
  StackId stack;            // where it was taken; 0 not known
  std::uint32_t weight;     // not 0: a random acquisition that stands for so many
  trace::Call call;         // the one that waits for it, whichever took it
  std::uint16_t again;      // times that the thread took it while it had it
  std::uint32_t woken;      // a mutex taken up at the end of a wait: 1, the thread was woken
};

struct ThreadLocks {
  static constexpr std::uint32_t kHeld = 16, kOrders = 128;
  std::uint32_t count;        // beyond kHeld they are not told
  std::uint32_t until_timed;  // acquisitions until the next random one
  std::uint32_t random;       // 0: none so far
  std::uint64_t woken_from;   // the condition that it was woken from last; 0: none
  HeldLock held[kHeld];
  std::uint64_t orders[kOrders];  // pairs noted lately

  // 0: none.
  std::uint64_t innermost() const { return count ? held[count - 1].object : 0; }
};

// How a lock was taken. Only who waits without end can be part of a deadlock, and is of interest for the order of locks.
enum class Taking : std::uint8_t { waiting, waiting_for_a_while, trying };

// Where a lock was taken: the stack where that is known, else the caller alone, which is the line. 0: neither.
StackId place_of(const HeldLock& held);

// The thread has got a lock; `waited`: where and since when, when it had to wait.
struct Waited {
  StackId stack = 0;
  std::uint64_t end = 0;  // ticks
};
void took_lock(ThreadBlock& thread, trace::Call call, std::uint64_t object, const void* caller, Taking taking, Waited waited = {});
// The usual case, in few instructions: a lock that nobody had, by a thread that holds no other, while until_timed is not 0. False: it is
// not that case.
[[gnu::always_inline]] inline bool took_lone_lock(ThreadLocks& own, trace::Call call, std::uint64_t object, const void* caller) {
  if (own.count != 0) [[unlikely]] return false;
  --own.until_timed;
  HeldLock& entry = own.held[0];
  entry.object = object;
  entry.caller = caller;
  entry.call = call;
  entry.again = 0;
  entry.woken = 0;
  std::atomic_signal_fence(std::memory_order_release);
  own.count = 1;
  return true;
}

// The thread gives a lock back. What it knew of it; its object is 0 when it goes on holding it, or when it took it unseen.
HeldLock gave_lock(ThreadLocks& own, std::uint64_t object);
// The usual case: the lock taken last, of which nothing more is known. False: it is not that case, and nothing was done.
[[gnu::always_inline]] inline bool gave_plain_lock(ThreadLocks& own, std::uint64_t object) {
  const std::uint32_t last = own.count - 1;
  if (last >= ThreadLocks::kHeld) return own.count == 0;
  const HeldLock& entry = own.held[last];
  if (entry.object != object || entry.again != 0 || entry.since != 0) [[unlikely]] return false;
  own.count = last;
  return true;
}
// Takes it up again as it was: around a wait on a condition, which gives the lock back meanwhile.
void take_up(ThreadLocks& own, const HeldLock& held);

// Locks that somebody waits for, with the time from which on: whoever gives one back learns how long he held others up. A table by
// address; where two contended locks fall together, the later one is not looked at.
class Contended {
 public:
  bool init();  // reserves memory, which a forked child finds empty; without it nothing is known
  void begin_wait(std::uint64_t object, std::uint64_t now_ticks);
  void end_wait(std::uint64_t object);
  bool waited_for(std::uint64_t object) const {
    if (!places_) [[unlikely]] return false;
    const Place& place = places_[place_of(object)];
    return place.object.load(std::memory_order_relaxed) == object && place.waiters.load(std::memory_order_relaxed) != 0;
  }
  // From when on somebody was held up by whoever gives the lock back now, which is from when on those that still wait are held up by the
  // next; 0 not known.
  std::uint64_t hand_over(std::uint64_t object, std::uint64_t now_ticks);

  // For words that may be locks: how often one was given on by a thread that had waited for it itself, as far as its place in the table
  // remembers. Who has to wait for what he gives on waits for a lock; who sleeps until there is work never gives that on.
  void note_waiter(std::uint64_t object, std::uint64_t thread);
  void note_giver(std::uint64_t object, std::uint64_t thread);
  std::uint32_t given_on_by_waiters(std::uint64_t object) const;

 private:
  static constexpr std::uint32_t kPlaces = 1024;
  static std::uint32_t place_of(std::uint64_t object) { return static_cast<std::uint32_t>(object * 0x9e3779b97f4a7c15u >> 54); }
  struct Place {
    std::atomic<std::uint64_t> object, since;
    std::atomic<std::uint32_t> waiters, given_on;
    std::atomic<std::uint64_t> waited;  // two bits for each thread that waited
  };
  Place* find(std::uint64_t object) const;
  Place* places_ = nullptr;
};
extern Contended contended_locks;

// One lock taken while another was held, by one thread: the first such moment, and the last to half a second.
struct LockOrder {
  std::uint64_t held, taken, thread;
  StackId held_stack, taken_stack;
  trace::Call held_call, taken_call;
  std::uint64_t gates[3];  // further locks that were held each time
  std::uint64_t first_ns;  // CLOCK_MONOTONIC
  std::atomic<std::uint64_t> last_ns;
  std::atomic<std::uint32_t> complete;
  std::uint64_t written_ns;  // of the engine
};

class LockOrders {
 public:
  static constexpr std::uint32_t kMost = 2048;

  bool init();        // reserves memory; without it nothing is noted
  void after_fork();  // in the child, where the memory is wiped
  bool on() const { return orders_ != nullptr; }
  void note(ThreadBlock& thread, const HeldLock& held, const HeldLock& taken);
  std::uint32_t count() const;
  LockOrder& at(std::uint32_t index) { return orders_[index]; }
  // Threads that met pairs for which there was no room, one for each epoch of half a second.
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint32_t kSlots = 2 * kMost, kIndexMask = kSlots - 1;
  static_assert(kMost < kIndexMask && (kSlots & kIndexMask) == 0);
  LockOrder* orders_ = nullptr;
  std::atomic<std::uint32_t>* slots_ = nullptr;  // index + 1, in the upper bits some of the hash: others' entries need not be looked at
  std::atomic<std::uint32_t> used_{0};
  std::atomic<std::uint64_t> lost_{0};
};
extern LockOrders lock_orders;

}  // namespace tailback::capture
