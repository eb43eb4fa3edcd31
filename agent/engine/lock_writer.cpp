// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/lock_writer.h"

#include <sys/uio.h>

#include "agent/capture/file_locks.h"
#include "agent/capture/syscalls.h"
#include "agent/engine/kernel_locks.h"

namespace tailback::engine {

using capture::HeldLock;
using capture::ThreadBlock;
using capture::ThreadState;
using capture::tick_clock;
using trace::Call;

namespace {

constexpr std::uint64_t kLongNs = 2'000'000'000;  // from which on a lock that others may give back is taken for held

bool waits_for_an_owner(Call call) {
  return call == Call::mutex_lock || call == Call::rwlock_rdlock || call == Call::rwlock_wrlock || call == Call::spin_lock || call == Call::thread_join || call == Call::flock;
}

// The entry of a lock in a thread's list. Of a thread that runs it may be torn; what follows from it must hold twice.
const HeldLock* held_by(const ThreadBlock& block, std::uint64_t object) {
  const std::uint32_t count = block.locks.count < capture::ThreadLocks::kHeld ? block.locks.count : capture::ThreadLocks::kHeld;
  for (std::uint32_t i = 0; i < count; ++i)
    if (block.locks.held[i].object == object) return &block.locks.held[i];
  return nullptr;
}

// What glibc keeps in a mutex: the thread that has it (nptl's __owner, the same for all kinds). 0: nobody, or the memory is gone.
std::uint64_t owner_of_mutex(std::uint64_t mutex) {
  std::uint32_t words[3] = {};
  const iovec local{words, sizeof words}, remote{reinterpret_cast<void*>(mutex), sizeof words};
  return capture::sys::process_vm_readv(capture::sys::getpid(), &local, 1, &remote, 1) == static_cast<long>(sizeof words) ? words[2] : 0;
}

// Whether a thread has what such a call on `object` waits for. `owner_tid`: whom the mutex itself names, 0 nobody.
bool has(const ThreadBlock& block, Call call, std::uint64_t object, std::uint64_t owner_tid) {
  if (call == Call::thread_join) return block.handle == object;
  if (call == Call::flock) return capture::file_locks.taken_by(block.id, static_cast<capture::EndpointId>(object)) != nullptr;
  if (owner_tid) return static_cast<std::uint64_t>(block.tid) == owner_tid;
  const HeldLock* held = held_by(block, object);
  return held && (call != Call::rwlock_rdlock || held->call != Call::rwlock_rdlock);  // readers let readers in
}

bool has_waited_long(std::uint64_t since) { return tick_clock.now() - since >= tick_clock.from_ns(kLongNs); }

std::uint64_t signature_of(std::uint64_t thread, std::uint64_t object, std::uint64_t since) { return (thread ^ object << 20 ^ since << 8) * 0x9e3779b97f4a7c15u; }

capture::StackId place_taken(const ThreadBlock& owner, Call call, std::uint64_t object) {
  if (call == Call::flock) {
    const capture::FileLock* lock = capture::file_locks.taken_by(owner.id, static_cast<capture::EndpointId>(object));
    return lock ? lock->stack : 0;
  }
  const HeldLock* held = held_by(owner, object);
  return held ? capture::place_of(*held) : 0;
}

}  // namespace

bool LockWriter::Rings::contains(std::uint64_t signature) const {
  for (std::uint32_t i = 0; i < count; ++i)
    if (signatures[i] == signature) return true;
  return false;
}

void LockWriter::Rings::add(std::uint64_t signature) {
  if (count < kRings) signatures[count++] = signature;
}

void LockWriter::init(capture::ThreadTable& threads, StackWriter& stacks, CallWriter& calls, Drain& drain, DumpFile& dump) {
  threads_ = &threads;
  stacks_ = &stacks;
  calls_ = &calls;
  drain_ = &drain;
  dump_ = &dump;
}

void LockWriter::begin(std::uint64_t session_start_ns) {
  session_start_ns_ = session_start_ns;
  written_ = 0;
  before_.count = now_.count = told_.count = 0;
}

void LockWriter::orders() {
  const std::uint32_t count = capture::lock_orders.count();
  for (std::uint32_t i = 0; i < count; ++i) {
    capture::LockOrder& order = capture::lock_orders.at(i);
    if (!order.complete.load(std::memory_order_acquire)) continue;
    const std::uint64_t last = order.last_ns.load(std::memory_order_acquire);
    if (order.written_ns == last) continue;
    order.written_ns = last;
    if (order.held_stack) stacks_->write(order.held_stack);
    if (order.taken_stack) stacks_->write(order.taken_stack);
    trace::LockOrder record;
    record.held = order.held;
    record.taken = order.taken;
    record.thread = order.thread;
    record.held_stack = order.held_stack;
    record.taken_stack = order.taken_stack;
    record.held_call = static_cast<std::uint64_t>(order.held_call);
    record.taken_call = static_cast<std::uint64_t>(order.taken_call);
    record.gate1 = order.gates[0], record.gate2 = order.gates[1], record.gate3 = order.gates[2];
    record.first = since_start(order.first_ns);
    record.last = since_start(last);
    dump_->append(record);
  }
}

void LockWriter::gather() {
  waiting_count_ = 0;
  for (std::uint32_t slot = 0; slot < threads_->slots() && waiting_count_ < kWaiting; ++slot) {
    ThreadBlock* block = threads_->at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != ThreadState::live) continue;
    const Call call = block->calls.pending.load(std::memory_order_acquire);
    if (!waits_for_an_owner(call) || block->calls.pending_for_a_while) continue;
    waiting_[waiting_count_++] = {block, block->id, block->calls.pending_object, block->calls.pending_since, call, false, false};
  }
}

LockWriter::Owner LockWriter::owner_of(Call call, std::uint64_t object) const {
  if (!waits_for_an_owner(call)) return {};
  const std::uint64_t owner_tid = call == Call::mutex_lock ? owner_of_mutex(object) : 0;
  for (std::uint32_t slot = 0; slot < threads_->slots(); ++slot) {
    ThreadBlock* block = threads_->at(slot);
    if (!block || block->state.load(std::memory_order_acquire) != ThreadState::live || !has(*block, call, object, owner_tid)) continue;
    return {block, place_taken(*block, call, object)};
  }
  return {};
}

void LockWriter::walk(std::uint32_t from, std::uint32_t depth, std::uint64_t now_ns) {
  Waiting& waiting = waiting_[from];
  waiting.seen = waiting.in_path = true;
  path_[depth] = from;
  const std::uint64_t owner_tid = waiting.call == Call::mutex_lock ? owner_of_mutex(waiting.object) : 0;
  for (std::uint32_t next = 0; next < waiting_count_; ++next) {
    if (!has(*waiting_[next].block, waiting.call, waiting.object, owner_tid)) continue;
    if (!waiting_[next].seen) {
      walk(next, depth + 1, now_ns);
    } else if (waiting_[next].in_path) {
      std::uint32_t begin = depth;
      while (path_[begin] != next) --begin;
      found_ring(begin, depth + 1, now_ns);
    }
  }
  waiting.in_path = false;
}

bool LockWriter::is_certain(std::uint32_t begin, std::uint32_t end) const {
  for (std::uint32_t i = begin; i < end; ++i) {
    const Waiting& member = waiting_[path_[i]];
    if (member.call != Call::flock) continue;
    const Waiting& owner = waiting_[path_[i + 1 < end ? i + 1 : begin]];
    const capture::FileLock* lock = capture::file_locks.taken_by(owner.thread, static_cast<capture::EndpointId>(member.object));
    if (!has_waited_long(member.since) || !lock || !has_file_lock(lock->descriptor())) return false;
  }
  return true;
}

// Whether the same ring was there at the look before, and was not told yet.
bool LockWriter::settled(std::uint64_t signature) {
  now_.add(signature);
  return before_.contains(signature) && !told_.contains(signature);
}

void LockWriter::found_ring(std::uint32_t begin, std::uint32_t end, std::uint64_t now_ns) {
  std::uint64_t signature = 0;  // whichever member the walk came to first
  for (std::uint32_t i = begin; i < end; ++i) signature += signature_of(waiting_[path_[i]].thread, waiting_[path_[i]].object, waiting_[path_[i]].since);
  if (!settled(signature) || !is_certain(begin, end)) return;
  told_.add(signature);
  write_ring(begin, end, now_ns);
}

// A thread that waits for a lock of another process, which waits for one that this thread has.
void LockWriter::through_process(std::uint32_t waiting, std::uint64_t now_ns) {
  const Waiting& member = waiting_[waiting];
  if (member.call != Call::flock || !has_waited_long(member.since)) return;
  const std::uint64_t signature = signature_of(member.thread, ~member.object, member.since);
  if (!settled(signature)) return;
  for (std::uint32_t i = 0; i < capture::FileLocks::kMost; ++i) {
    const capture::FileLock& lock = capture::file_locks.at(i);
    if (lock.descriptor() < 0 || lock.thread != member.thread) continue;
    const std::uint32_t process = process_waiting_in_turn(lock.descriptor());
    if (process == 0) continue;
    told_.add(signature);
    ++written_;
    write_member(member, 1, 0, process, 0, now_ns);
    dump_->count_deadlock();
    return;
  }
}

void LockWriter::write_ring(std::uint32_t begin, std::uint32_t end, std::uint64_t now_ns) {
  ++written_;
  for (std::uint32_t i = begin; i < end; ++i) {
    const Waiting& member = waiting_[path_[i]];
    const Waiting& owner = waiting_[path_[i + 1 < end ? i + 1 : begin]];
    write_member(member, end - begin, owner.thread, 0, place_taken(*owner.block, member.call, member.object), now_ns);
  }
  dump_->count_deadlock();
}

void LockWriter::write_member(const Waiting& member, std::uint64_t members, std::uint64_t owner, std::uint64_t process, capture::StackId taken_at, std::uint64_t now_ns) {
  drain_->announce(*member.block);
  calls_->write_endpoint(member.call, member.object);
  const capture::StackId stack = member.block->calls.pending_stack;
  if (stack) stacks_->write(stack);
  if (taken_at) stacks_->write(taken_at);
  trace::Deadlock record;
  record.t = now_ns;
  record.number = written_;
  record.members = members;
  record.thread = member.thread;
  record.call = static_cast<std::uint64_t>(member.call);
  record.object = member.object;
  record.since = since_start(tick_clock.monotonic_at(member.since));
  record.stack = stack;
  record.owner = owner;
  record.owner_stack = taken_at;
  record.process = process;
  dump_->append(record);
}

void LockWriter::look_for_deadlocks(std::uint64_t now_ns) {
  gather();
  now_.count = 0;
  for (std::uint32_t i = 0; i < waiting_count_; ++i)
    if (!waiting_[i].seen) walk(i, 0, now_ns);
  for (std::uint32_t i = 0; i < waiting_count_; ++i) through_process(i, now_ns);
  before_ = now_;
}

}  // namespace tailback::engine
