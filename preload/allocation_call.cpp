// SPDX-License-Identifier: Apache-2.0
#include "preload/allocation_call.h"

#include "agent/capture/scope.h"
#include "agent/engine/session.h"
#include "preload/real.h"

namespace tailback::preload {

using capture::Scope;
using capture::thread_local_state;
using capture::tick_clock;
using engine::session;

namespace {

// While nothing is recorded a thread asks again after so many bytes.
constexpr std::uint64_t kAskAgainBytes = 1 << 20;

constinit decltype(&::malloc_usable_size) usable_size_of = nullptr;

std::uint64_t usable_bytes(void* block) {
  constexpr const char* kName = "malloc_usable_size";
  const auto usable_size = real::original(usable_size_of, kName, std::integral_constant<std::uint32_t, real::gnu_hash(kName)>::value);
  return usable_size ? usable_size(block) : 0;
}

}  // namespace

AllocationCall::AllocationCall(std::uint64_t bytes, const capture::Registers& caller) : bytes_(bytes), caller_(caller) {
  if (capture::passes_unseen(bytes)) return;
  const Scope scope;
  if (!scope.on() || !scope.thread() || session.allocations.mode() == capture::AllocationMode::off) {
    if (thread_local_state.in_agent == 1) thread_local_state.allocation_budget = kAskAgainBytes;
    return;
  }
  thread_ = scope.thread();
  if (session.allocations.is_sampled(*thread_, bytes)) begin_ = tick_clock.now();
}

void* AllocationCall::done(void* block) { return done(block, false, 0); }

void* AllocationCall::done(void* block, bool reallocated, std::uint64_t moved_bytes) {
  if (!thread_ || !block) return block;
  const std::uint64_t end = begin_ ? tick_clock.now() : 0;
  const Scope scope;
  if (!scope.on()) return block;
  session.allocations.add(*thread_, {caller_, block, bytes_, begin_, end, reallocated, moved_bytes});
  if (end) session.after_allocation(*thread_, end);
  return block;
}

FreeCall::FreeCall(void* block) {
  const Scope scope;
  if (!scope.on() || !block) return;
  known_ = session.allocations.take(block);
  if (known_.known()) session.allocations.freed(scope.thread(), known_);
  if (known_.sample.at) begin_ = tick_clock.now();
}

void FreeCall::done() {
  if (!begin_) return;
  const std::uint64_t end = tick_clock.now();
  const Scope scope;
  if (scope.on()) session.allocations.add_free_time(known_.sample, tick_clock.to_ns(end - begin_));
}

ReallocationCall::ReallocationCall(void* block, std::uint64_t bytes, const capture::Registers& caller) : old_(block), call_(bytes, caller) {
  if (!block) return;
  const Scope scope;
  if (!scope.on()) return;
  if (capture::may_be_known(block)) known_ = session.allocations.take(block);
  if (known_.live.word) old_bytes_ = known_.live.bytes();
  else if (known_.sample.at) old_bytes_ = known_.sample.bytes;
  else if (call_.begin_) old_bytes_ = usable_bytes(block);
}

void* ReallocationCall::done(void* block) {
  const bool failed = !block && call_.bytes_ != 0;
  if (known_.known()) {
    const Scope scope;
    if (scope.on() && failed) session.allocations.put_back(known_);
    else if (scope.on()) session.allocations.freed(scope.thread(), known_);
  }
  const std::uint64_t moved = block == old_ ? 0 : old_bytes_ < call_.bytes_ ? old_bytes_ : call_.bytes_;
  return call_.done(block, old_ != nullptr, moved);
}

}  // namespace tailback::preload
