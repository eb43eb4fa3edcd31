// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/locks.h"

#include "agent/capture/pages.h"
#include "agent/capture/sampling.h"
#include "agent/capture/thread.h"

namespace tailback::capture {

constinit Contended contended_locks{};
constinit LockOrders lock_orders{};

namespace {

constexpr std::uint32_t kMeanUntilTimed = 256;

std::uint64_t pair_hash(std::uint64_t held, std::uint64_t taken) {
  return (held * 0x9e3779b97f4a7c15u ^ (taken << 1 | 1) * 0xc2b2ae3d27d4eb4fu) * 0xff51afd7ed558ccdu;
}

// A known pair is noted again in each epoch, for the time when it was last seen.
bool noted_lately(ThreadLocks& own, std::uint64_t held, std::uint64_t taken) {
  const std::uint64_t pair = pair_hash(held, taken) ^ call_epoch.load(std::memory_order_relaxed);
  std::uint64_t& known = own.orders[pair >> 32 & (ThreadLocks::kOrders - 1)];
  if (known == pair) return true;
  known = pair;
  return false;
}

}  // namespace

StackId place_of(const HeldLock& held) {
  if (held.stack || !sampling.unwinder) return held.stack;
  StackTable& stacks = sampling.unwinder->stacks();
  const StackId beyond = stacks.intern(0, 0, NodeKind::unknown_beyond);
  return beyond ? stacks.intern(beyond, reinterpret_cast<std::uint64_t>(held.caller) - 1) : 0;
}

namespace {

void time_acquisition(ThreadBlock& thread, HeldLock& taken) {
  ThreadLocks& own = thread.locks;
  taken.weight = own.random == 0 ? 1 : kMeanUntilTimed;  // a thread's first is always one
  if (own.random == 0) own.random = static_cast<std::uint32_t>(thread.id * 2654435761u) | 1;
  own.random = own.random * 1664525u + 1013904223u;
  own.until_timed = kMeanUntilTimed / 2 + (own.random >> 16) % (kMeanUntilTimed + 1);
  if (taken.since == 0) taken.since = tick_clock.now();
}

// False: the thread had it already.
bool took_another(ThreadBlock& thread, const HeldLock& taken, Taking taking) {
  ThreadLocks& own = thread.locks;
  for (std::uint32_t i = 0; i < own.count; ++i) {
    if (own.held[i].object != taken.object) continue;
    if (own.held[i].again != 0xffff) ++own.held[i].again;
    return false;
  }
  if (taking != Taking::waiting || !lock_orders.on()) return true;
  for (std::uint32_t i = 0; i < own.count; ++i)
    if (!noted_lately(own, own.held[i].object, taken.object)) lock_orders.note(thread, own.held[i], taken);
  return true;
}

}  // namespace

void took_lock(ThreadBlock& thread, trace::Call call, std::uint64_t object, const void* caller, Taking taking, Waited waited) {
  ThreadLocks& own = thread.locks;
  HeldLock taken{object, caller, waited.end, waited.stack, 0, call, 0, 0};
  if (own.until_timed == 0) time_acquisition(thread, taken);
  else --own.until_timed;
  if (own.count >= ThreadLocks::kHeld || !took_another(thread, taken, taking)) return;
  take_up(own, taken);
}

HeldLock gave_lock(ThreadLocks& own, std::uint64_t object) {
  for (std::uint32_t i = own.count; i-- > 0;) {
    if (own.held[i].object != object) continue;
    if (own.held[i].again != 0) return --own.held[i].again, HeldLock{};
    const HeldLock given = own.held[i];
    for (std::uint32_t next = i + 1; next < own.count; ++next) own.held[next - 1] = own.held[next];
    std::atomic_signal_fence(std::memory_order_release);
    --own.count;
    own.held[own.count] = {};
    return given;
  }
  return {};
}

void take_up(ThreadLocks& own, const HeldLock& held) {
  if (own.count >= ThreadLocks::kHeld) return;
  own.held[own.count] = held;
  std::atomic_signal_fence(std::memory_order_release);
  ++own.count;
}

bool Contended::init() {
  if (!places_) places_ = static_cast<Place*>(map_own_pages(kPlaces * sizeof(Place)));
  return places_ != nullptr;
}

void Contended::begin_wait(std::uint64_t object, std::uint64_t now_ticks) {
  if (!places_) return;
  Place& place = places_[place_of(object)];
  std::uint64_t known = place.object.load(std::memory_order_relaxed);
  if (known != object) {
    if (place.waiters.load(std::memory_order_relaxed) != 0 || !place.object.compare_exchange_strong(known, object, std::memory_order_relaxed)) return;
    place.given_on.store(0, std::memory_order_relaxed);
    place.waited.store(0, std::memory_order_relaxed);
  }
  if (place.waiters.fetch_add(1, std::memory_order_relaxed) == 0) place.since.store(now_ticks, std::memory_order_relaxed);
}

Contended::Place* Contended::find(std::uint64_t object) const {
  if (!places_) return nullptr;
  Place& place = places_[place_of(object)];
  return place.object.load(std::memory_order_relaxed) == object ? &place : nullptr;
}

void Contended::end_wait(std::uint64_t object) {
  Place* place = find(object);
  if (!place) return;
  std::uint32_t waiters = place->waiters.load(std::memory_order_relaxed);
  while (waiters != 0 && !place->waiters.compare_exchange_weak(waiters, waiters - 1, std::memory_order_relaxed)) {}
}

std::uint64_t Contended::hand_over(std::uint64_t object, std::uint64_t now_ticks) {
  Place* place = find(object);
  return place ? place->since.exchange(now_ticks, std::memory_order_relaxed) : 0;
}

namespace {

std::uint64_t bits_of(std::uint64_t thread) { return std::uint64_t{1} << (thread & 63) | std::uint64_t{1} << (thread * 0x9e3779b97f4a7c15u >> 58); }

}  // namespace

void Contended::note_waiter(std::uint64_t object, std::uint64_t thread) {
  if (Place* place = find(object)) place->waited.fetch_or(bits_of(thread), std::memory_order_relaxed);
}

void Contended::note_giver(std::uint64_t object, std::uint64_t thread) {
  Place* place = find(object);
  if (place && (place->waited.load(std::memory_order_relaxed) & bits_of(thread)) == bits_of(thread)) place->given_on.fetch_add(1, std::memory_order_relaxed);
}

std::uint32_t Contended::given_on_by_waiters(std::uint64_t object) const {
  const Place* place = find(object);
  return place ? place->given_on.load(std::memory_order_relaxed) : 0;
}

bool LockOrders::init() {
  if (orders_) return true;
  auto* memory = static_cast<char*>(map_own_pages(kMost * sizeof(LockOrder) + kSlots * sizeof *slots_));
  if (!memory) return false;
  slots_ = reinterpret_cast<std::atomic<std::uint32_t>*>(memory);
  orders_ = reinterpret_cast<LockOrder*>(memory + kSlots * sizeof *slots_);
  return true;
}

void LockOrders::after_fork() {
  used_.store(0);
  lost_.store(0);
}

std::uint32_t LockOrders::count() const {
  const std::uint32_t used = used_.load(std::memory_order_acquire);
  return used < kMost ? used : kMost;
}

// No two threads note the same entry: the thread is part of the key.
void LockOrders::note(ThreadBlock& thread, const HeldLock& held, const HeldLock& taken) {
  const std::uint64_t hash = pair_hash(held.object, taken.object) ^ thread.id * 0x9e3779b97f4a7c15u;
  const auto tag = static_cast<std::uint32_t>(hash >> 12) & ~kIndexMask;
  auto slot = static_cast<std::uint32_t>(hash >> 40) % kSlots;
  for (;; slot = (slot + 1) % kSlots) {
    const std::uint32_t entry = slots_[slot].load(std::memory_order_acquire);
    if (entry == 0) break;
    if ((entry & ~kIndexMask) != tag) continue;
    LockOrder& known = orders_[(entry & kIndexMask) - 1];
    if (known.held != held.object || known.taken != taken.object || known.thread != thread.id) continue;
    for (std::uint64_t& gate : known.gates) {
      bool still = false;
      for (std::uint32_t i = 0; i < thread.locks.count; ++i) still |= thread.locks.held[i].object == gate;
      if (!still) gate = 0;
    }
    known.last_ns.store(tick_clock.monotonic_at(tick_clock.now()), std::memory_order_release);
    return;
  }
  const std::uint32_t index = used_.load(std::memory_order_relaxed) < kMost ? used_.fetch_add(1, std::memory_order_acq_rel) : kMost;
  if (index >= kMost) {  // a program with a lock for each object comes here all the time: its threads must not meet at a counter
    if (!noted_lately(thread.locks, 0, 0)) lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  LockOrder& order = orders_[index];
  order.held = held.object, order.taken = taken.object, order.thread = thread.id;
  order.held_call = held.call, order.taken_call = taken.call;
  order.held_stack = place_of(held);
  order.taken_stack = taken.stack ? taken.stack : stack_of_call(thread);
  std::uint32_t gates = 0;
  for (std::uint32_t i = 0; i < thread.locks.count && gates < 3; ++i)
    if (thread.locks.held[i].object != held.object) order.gates[gates++] = thread.locks.held[i].object;
  order.first_ns = tick_clock.monotonic_at(tick_clock.now());
  order.last_ns.store(order.first_ns, std::memory_order_relaxed);
  order.complete.store(1, std::memory_order_release);
  std::uint32_t free = 0;
  while (!slots_[slot].compare_exchange_strong(free, tag | (index + 1), std::memory_order_acq_rel)) slot = (slot + 1) % kSlots, free = 0;
}

}  // namespace tailback::capture
