// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/stopped_world.h"

#include "agent/capture/ticks.h"

namespace tailback::engine {

using capture::ThreadBlock;
using trace::Call;

namespace {

constexpr std::uint64_t kTogetherNs = 3'000'000;
constexpr std::uint64_t kLongNs = 10'000'000;
constexpr std::uint32_t kFewestWaiters = 2;

// Waits that another thread ends. A read or a sleep ends by itself.
bool waits_for_a_thread(Call call) {
  switch (trace::group_of(call)) {
    case trace::CallGroup::condition: case trace::CallGroup::semaphore: case trace::CallGroup::futex: case trace::CallGroup::lock: return true;
    default: return false;
  }
}

}  // namespace

void StoppedWorld::begin(const capture::ThreadTable& threads, std::uint64_t session_start_ns) {
  threads_ = &threads;
  session_start_ns_ = session_start_ns;
  count_ = 0;
}

bool StoppedWorld::still_waits(const Waiter& waiter) const {
  const ThreadBlock* block = threads_->at(waiter.slot);
  return block && block->id == waiter.id && block->calls.pending.load(std::memory_order_acquire) != Call::none && block->calls.pending_since == waiter.since;
}

bool StoppedWorld::look(std::uint64_t last_ns, std::uint64_t now_ns, trace::WorldStopped& told) {
  std::uint32_t waiting = 0;
  for (std::uint32_t i = 0; i < count_; ++i) waiting += still_waits(waiters_[i]);
  const bool together = count_ && waiting == 0;
  if (together) {
    const std::uint64_t end = last_ns > begin_ns_ ? last_ns + (now_ns - last_ns) / 2 : now_ns;  // somewhere between the two looks
    told = {begin_ns_ - session_start_ns_, end - session_start_ns_, (now_ns - last_ns) / 2, runner_, count_, waiters_[0].id};
  }
  if (waiting != count_) count_ = 0;
  if (count_ == 0) find(now_ns);
  return together;
}

void StoppedWorld::find(std::uint64_t now_ns) {
  const std::uint32_t slots = threads_->slots();
  if (slots > kMostThreads) return;
  std::uint32_t found = 0, running = 0;
  std::uint64_t latest = 0, runner = 0;
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const ThreadBlock* block = threads_->at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != capture::ThreadState::live) continue;
    const Call call = block->calls.pending.load(std::memory_order_acquire);
    const std::uint64_t since = block->calls.pending_since;
    if (call == Call::none && ++running > 1) return;
    if (call == Call::none) runner = block->id;
    if (!waits_for_a_thread(call)) continue;
    waiters_[found++] = {slot, block->id, since};
    if (since > latest) latest = since;
  }
  const std::uint64_t begin = latest ? capture::tick_clock.monotonic_at(latest) : 0;
  if (running != 1 || begin < session_start_ns_ || now_ns < begin + kLongNs) return;
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < found; ++i)
    if (capture::tick_clock.to_ns(latest - waiters_[i].since) <= kTogetherNs) waiters_[kept++] = waiters_[i];
  if (kept < kFewestWaiters) return;
  count_ = kept;
  begin_ns_ = begin;
  runner_ = runner;
}

}  // namespace tailback::engine
