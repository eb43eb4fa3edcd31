// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/thread_look.h"

#include "agent/capture/clock.h"

namespace tailback::engine {

using capture::HeldLock;
using capture::StackId;
using capture::ThreadBlock;
using capture::ThreadState;
using trace::Call;

namespace {

constexpr std::uint64_t kWalkingNs = 500'000'000;  // thousands of threads: the later ones are told without a stack

std::uint64_t since_start(std::uint64_t ticks, std::uint64_t session_start_ns) {
  const std::uint64_t at = capture::tick_clock.monotonic_at(ticks);
  return at > session_start_ns ? at - session_start_ns : 0;
}

}  // namespace

void ThreadLooker::init(capture::ThreadTable& threads, capture::Unwinder& unwinder, StackWriter& stacks, Drain& drain, DumpFile& dump) {
  threads_ = &threads;
  stacks_ = &stacks;
  drain_ = &drain;
  dump_ = &dump;
  sleeping_.init(unwinder);
}

void ThreadLooker::pending_call(const ThreadBlock& block, trace::ThreadLook& look, std::uint64_t session_start_ns, const LockWriter* locks) {
  const capture::ThreadCalls& own = block.calls;
  const Call call = own.pending.load(std::memory_order_acquire);
  if (call == Call::none) return;
  look.call = static_cast<std::uint64_t>(call);
  look.object = own.pending_object;
  look.since = since_start(own.pending_since, session_start_ns);
  look.stack = own.pending_stack;
  look.for_a_while = own.pending_for_a_while;
  const LockWriter::Owner owner = locks ? locks->owner_of(call, own.pending_object) : LockWriter::Owner{};
  if (!owner.block) return;
  drain_->announce(*owner.block);
  look.owner = owner.block->id;
  look.owner_stack = owner.taken_at;
}

// A call whose end was not seen (longjmp, cancellation) stays pending: it counts for a thread that sleeps alone. `since`: of the pending call
// before its owner was asked for; if it is over by now, he may be the owner himself.
void ThreadLooker::thread(ThreadBlock& block, trace::ThreadLook& look, std::uint64_t since, bool walk) {
  const SleepingStack::Look sleep = sleeping_.of(block.tid, walk && look.stack == 0);
  const capture::ThreadCalls& own = block.calls;
  const bool same = own.pending.load(std::memory_order_acquire) == static_cast<Call>(look.call) && (!look.call || own.pending_since == since);
  look.asleep = sleep.asleep && same;
  if (look.asleep) {
    if (!look.stack) look.stack = sleep.stack;
    look.stack_t = look.t;
    return;
  }
  look.call = look.object = look.since = look.owner = look.owner_stack = look.for_a_while = 0;
  look.stack = block.last_stack;
  look.stack_t = block.last_sample_ns;
}

void ThreadLooker::held_locks(const ThreadBlock& block, std::uint32_t request, std::uint64_t session_start_ns) {
  const std::uint32_t count = block.locks.count < capture::ThreadLocks::kHeld ? block.locks.count : capture::ThreadLocks::kHeld;
  for (std::uint32_t i = 0; i < count; ++i) {
    const HeldLock held = block.locks.held[i];  // of a thread that runs it may have changed meanwhile
    if (!held.object) continue;
    const StackId stack = capture::place_of(held);
    if (stack) stacks_->write(stack);
    dump_->append(trace::HeldLock{request, block.id, static_cast<std::uint64_t>(held.call), held.object, stack,
                                  held.since ? since_start(held.since, session_start_ns) : 0});
  }
}

void ThreadLooker::all_threads(std::uint32_t request, std::uint64_t session_start_ns, std::uint64_t now_ns, CallWriter* calls, const LockWriter* locks) {
  const std::uint64_t end = capture::monotonic_ns() + kWalkingNs;
  for (std::uint32_t slot = 0; slot < threads_->slots(); ++slot) {
    ThreadBlock* block = threads_->at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != ThreadState::live) continue;
    drain_->announce(*block);
    trace::ThreadLook look{};
    look.t = now_ns;
    look.request = request;
    look.thread = block->id;
    const std::uint64_t since = block->calls.pending_since;
    if (calls) pending_call(*block, look, session_start_ns, locks);
    thread(*block, look, since, capture::monotonic_ns() < end);
    if (calls && look.call) calls->write_endpoint(static_cast<Call>(look.call), look.object);
    for (const std::uint64_t stack : {look.stack, look.owner_stack})
      if (stack) stacks_->write(static_cast<StackId>(stack));
    dump_->append(look);
    if (locks) held_locks(*block, request, session_start_ns);
  }
}

}  // namespace tailback::engine
