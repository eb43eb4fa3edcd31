// SPDX-License-Identifier: Apache-2.0
// Writes the hand-made part of the fuzzer's corpus: make_corpus tests/fuzz/corpus. Small files that between them hold every
// kind of record, more than one block, an unfinished end, and what a hostile writer would claim.
#include <cstdio>
#include <string>

#include "tests/support/trace_builder.h"

namespace {

using tailback::testing::kSecond;
using tailback::testing::TraceBuilder;
namespace trace = tailback::trace;

TraceBuilder threads_and_inlining() {
  TraceBuilder builder(4);
  builder.define("hash", {.file = "hash.h", .line = 12, .inlined_into = "lookup"});
  builder.define("unknown", {.known = false});
  const auto worker = builder.thread({.name = "worker-1", .start = 0.5, .start_routine = "work", .creation_stack = {"main", "spawn"}});
  builder.run(1, 0, 2, builder.stack({"main", "hash"}), {.busy = 0.5, .waiting = 0.2});
  builder.run(worker, 1, 3, builder.stack({"start_thread", "work", "unknown"}), {.system = 0.5}).end_thread(worker, 3);
  builder.finish(4);
  return builder;
}

template <class Event>
void add_numbered(TraceBuilder& builder, Event event) {
  std::uint64_t next = 1;
  trace::for_each_field(event, [&](const char*, auto& value) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, trace::str>) value = "text";
    else value = static_cast<std::decay_t<decltype(value)>>(next++);
  });
  builder.add(event);
}

TraceBuilder every_kind() {
  TraceBuilder builder;
  for (std::uint32_t kind = 0; kind < 4096; ++kind)
    trace::with_event_of(static_cast<trace::Kind>(kind), [&](auto event) { add_numbered(builder, event); });
  return builder;
}

TraceBuilder detail_and_losses() {
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "step"}), cut = builder.stack_on(1, 0, {"deep"}), folded = builder.stack_on(3, 0, {"leaf"});
  const auto reloaded = builder.stack_on(2, 2, {"plugin"});
  for (std::uint64_t i = 0; i < 50; ++i)
    builder.add(trace::CpuSample{.t = i * 20'000'000, .thread = 1, .stack = i % 3 ? stack : i % 2 ? cut : folded, .weight_ns = 5'000'000, .cpu = i % 4, .flags = i % 2});
  builder.add(trace::CpuAggregate{.end_ms = 1000, .span_ms = 1000, .thread = 0, .stack = reloaded, .samples = 9, .weight_ns = 45'000'000});
  builder.add(trace::ThreadGroup{.t = kSecond, .creation_stack = stack, .start_routine = 5, .start_argument = 6, .count = 900, .lifetime_ns = kSecond, .cpu_ns = kSecond / 2});
  builder.add(trace::DetailWindow{.begin = 0, .end = kSecond, .reason = 1, .cause = "pause"});
  builder.add(trace::Loss{.t = 1, .what = "samples", .count = 3}).add(trace::Governor{.t = 2, .period_ns = 9, .reason = "budget"});
  builder.finish(1);
  return builder;
}

// A bit of everything that the rules about waiting and I/O look for, and each record in numbers that cannot be.
TraceBuilder calls() {
  using trace::Call;
  using trace::EndpointKind;
  TraceBuilder builder;
  const auto stack = builder.stack({"main", "serve", "store"}), ask = builder.stack({"main", "ask"});
  const auto journal = builder.file("/data/shop.db-journal", 512), database = builder.file("/data/shop.db", 1 << 20), settings = builder.file("/etc/app.conf", 300);
  builder.flushes(1, journal, stack, 400, 0.001, 2).flushes(1, database, stack, 400, 0.0005, 2);
  builder.calls({.call = Call::write, .object = builder.file("/data/log"), .stack = stack, .calls = 200000, .each = 1e-6, .bytes_each = 20, .to = 2});
  builder.calls({.call = Call::read, .object = settings, .stack = stack, .calls = 5000, .each = 30e-6, .bytes_each = 300, .to = 2}).turns(settings, {.opened = 5000});
  builder.calls({.call = Call::name_lookup, .stack = ask, .calls = 50, .each = 0.004, .to = 2});
  for (const char* name : {"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"}) {
    const auto peer = builder.peer(name);
    const double each = name[7] == '2' ? 0.009 : 0.001;
    builder.calls({.call = Call::connect, .object = peer, .stack = ask, .calls = 60, .each = 0.0004, .to = 2});
    builder.calls({.call = Call::recv, .object = peer, .stack = ask, .calls = 60, .each = each, .bytes_each = 400, .to = 2});
    builder.turns(peer, {.opened = 60, .turns = 50, .each = each, .delayed = 10, .delayed_stack = ask, .to = 2});
  }
  const auto poller = builder.thread({.name = "poller"}), waiter = builder.thread({.name = "waiter"});
  builder.calls({.thread = poller, .call = Call::sleep, .stack = builder.stack({"poll_flag"}), .calls = 180, .each = 0.01, .to = 2});
  builder.calls({.thread = poller, .call = Call::wait_child, .calls = 180, .each = 1e-6, .empty = 170, .to = 2});
  builder.calls({.thread = waiter, .call = Call::cond_wait, .object = 0x7000, .stack = builder.stack({"next_task"}), .calls = 30, .each = 0.03});
  builder.add(trace::CallEvent{.t = 5, .ns = 900, .thread = 1, .call = 20, .object = journal, .stack = stack});
  builder.add(trace::Wake{.t = 6, .thread = 1, .call = 81, .object = 0x7000, .stack = stack});
  builder.add(trace::StillBlocked{.t = 2 * kSecond, .thread = waiter, .call = 68, .object = 0x7000, .since = kSecond});
  builder.run(1, 0, 2, stack, {.busy = 0.2, .system = 0.5}).finish(2);
  return builder;
}

TraceBuilder hostile_calls() {
  TraceBuilder builder;
  const std::uint64_t huge = ~std::uint64_t{0};
  for (const std::uint64_t n : {std::uint64_t{1}, huge, huge / 2, std::uint64_t{0xffff}}) {
    builder.add(trace::Endpoint{.id = n, .kind = n, .name = "/f", .flags = n, .size_bytes = n});
    for (const std::uint64_t call : {std::uint64_t{2}, std::uint64_t{9}, std::uint64_t{20}, std::uint64_t{40}, std::uint64_t{56}, n}) {
      builder.add(trace::CallAggregate{.end_ms = 1, .span_ms = 1, .thread = 1, .call = call, .object = n, .calls = n, .errors = n, .empty = n, .ns = n, .longest_ns = n,
                                       .blocked_calls = n, .blocked_ns = n, .bytes = n, .latencies = "\x01\xff\xff\xff", .sizes = "\x01\x02\x03"});
      builder.add(trace::CallStack{.end_ms = 1, .span_ms = 1, .thread = n, .call = call, .object = n, .stack = n, .calls = n, .ns = n, .bytes = n});
    }
    builder.add(trace::RequestTurns{.end_ms = 1, .span_ms = 1, .object = n, .opened = n, .closed = n, .turns = n, .turn_ns = n, .turn_latencies = "\xff", .delayed_turns = n,
                                    .delayed_ns = n, .delayed_stack = n});
    builder.add(trace::CallEvent{.t = n, .ns = n, .thread = n, .call = n, .object = n, .stack = n}).add(trace::Wake{.t = n, .thread = n, .object = n});
    builder.add(trace::StillBlocked{.t = 1, .thread = n, .call = n, .object = n, .stack = n, .since = n});
    builder.add(trace::LeakedSite{.t = 1, .stack = n, .direct_blocks = n, .direct_bytes = n, .indirect_blocks = n, .indirect_bytes = n});
    builder.add(trace::LeakScan{.t = n % 3, .completed = n, .reason = "r", .blocks = n, .bytes = n, .root_bytes = n, .leaked_blocks = n, .leaked_bytes = n, .ns = n});
  }
  return builder;
}

// What the rules about locks look for: one that is fought over, one held across a flush, one taken too often, a storm, rings.
TraceBuilder locks() {
  using trace::Call;
  TraceBuilder builder(4);
  builder.define("pthread_rwlock_rdlock", {.module = "libc.so.6"});
  const std::uint64_t table = 0x7f0000001000, journal = 0x7f0000002000, settings = 0x7f0000003000, condition = 0x7f0000004000;
  const auto update = builder.stack({"work", "update"}), commit = builder.stack({"work", "update", "commit"}), read = builder.stack({"work", "read"});
  const auto file = builder.file("/data/journal");
  for (int i = 0; i < 3; ++i) {
    const auto worker = builder.thread({.name = "worker", .start_routine = "work"}), other = 2 + (worker - 1) % 3;
    builder.run(worker, 0, 2, update, {.busy = 0.1, .lock = table}).run(worker, 0, 2, builder.stack({"work", "read", "pthread_rwlock_rdlock"}), {.busy = 0.2});
    builder.calls({.thread = worker, .call = Call::mutex_lock, .object = table, .stack = update, .calls = 500, .each = 0.001, .to = 2});
    builder.calls({.thread = worker, .call = Call::mutex_lock, .object = journal, .stack = commit, .calls = 500, .each = 0.001, .to = 2, .lock = table});
    builder.calls({.thread = worker, .call = Call::unlock, .object = table, .stack = update, .calls = 500, .each = 0.0005, .to = 2});
    builder.calls({.thread = worker, .call = Call::fdatasync, .object = file, .stack = commit, .calls = 300, .each = 0.002, .to = 2, .lock = journal});
    builder.calls({.thread = worker, .call = Call::rwlock_hold, .object = settings, .stack = read, .calls = 1e6, .each = 1e-7, .to = 2});
    builder.calls({.thread = worker, .call = Call::cond_wait, .object = condition, .stack = read, .calls = 100, .each = 0.001, .to = 2});
    builder.calls({.thread = worker, .call = Call::cond_wait_again, .object = condition, .calls = 250, .to = 2});
    builder.add(trace::LockOrder{.held = table + 8 * worker, .taken = table + 8 * other, .thread = worker, .held_stack = update, .taken_stack = commit, .held_call = 64, .taken_call = 65,
                                 .gate1 = settings + worker, .first = 9, .last = kSecond});
    builder.add(trace::Deadlock{.t = kSecond, .number = 1, .members = 3, .thread = worker, .call = 64, .object = table, .since = 5, .stack = commit, .owner = other, .owner_stack = update});
    builder.add(trace::StillBlocked{.t = 2 * kSecond, .thread = worker, .call = 64, .object = table, .stack = commit, .since = kSecond});
  }
  builder.add(trace::Deadlock{.t = kSecond, .number = 2, .members = 1, .thread = 1, .call = 71, .object = 0x7000, .owner = 1});
  builder.calls({.call = Call::cond_broadcast, .object = condition, .stack = builder.stack({"main", "wake"}), .calls = 200, .bytes_each = 4, .to = 2});
  builder.finish(2);
  return builder;
}

TraceBuilder hostile_locks() {
  TraceBuilder builder;
  const std::uint64_t huge = ~std::uint64_t{0};
  const auto stack = builder.stack({"main", "step"});
  for (const std::uint64_t n : {std::uint64_t{1}, huge, huge / 2, std::uint64_t{0xffff}, std::uint64_t{1} << 60}) {
    for (const std::uint64_t call : {std::uint64_t{64}, std::uint64_t{66}, std::uint64_t{71}, std::uint64_t{77}, std::uint64_t{78}, std::uint64_t{80}, std::uint64_t{85}, std::uint64_t{86}, n}) {
      builder.add(trace::CallAggregate{.end_ms = 1, .span_ms = 1, .thread = 1, .call = call, .object = 0x10, .calls = n, .ns = n, .longest_ns = n, .blocked_calls = n, .blocked_ns = n,
                                       .bytes = n / 2, .latencies = "\x01\xff\xff\xff"});
      builder.add(trace::CallStack{.end_ms = 1, .span_ms = 1, .thread = 1, .call = call, .object = 0x10, .stack = stack, .calls = n, .ns = n, .bytes = n, .blocked_calls = n,
                                   .blocked_ns = n, .lock = 0x10});
      builder.add(trace::StillBlocked{.t = 1, .thread = 2 + call % 7, .call = call, .object = 0x10, .stack = n, .since = n});
    }
    builder.add(trace::CpuAggregate{.end_ms = 1, .span_ms = 1, .thread = 1, .stack = stack, .samples = n, .weight_ns = n, .lock = 0x10});
    builder.add(trace::CpuSample{.t = 1, .thread = 1, .stack = stack, .weight_ns = n, .lock = n});
    for (const std::uint64_t thread : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{7}, n})
      for (const std::uint64_t held : {std::uint64_t{0}, std::uint64_t{1}, n})
        builder.add(trace::LockOrder{.held = held, .taken = n - held, .thread = thread, .held_stack = n, .taken_stack = n, .held_call = n, .taken_call = n, .gate1 = held, .first = n % 5, .last = n});
    builder.add(trace::Thread{.id = 7, .t = 1, .creator = 7}).add(trace::Thread{.id = 8, .t = n, .creator = 9}).add(trace::Thread{.id = 9, .t = 1, .creator = 8});
    builder.add(trace::Deadlock{.t = 3, .number = n, .members = n, .thread = n & 0xffff, .call = n, .object = n, .since = n, .stack = n, .owner = 2, .owner_stack = n});
    builder.add(trace::Deadlock{.t = n, .number = 1, .members = 2, .thread = 1, .call = 64, .object = 1, .since = n, .stack = stack, .owner = n});
  }
  return builder;
}

TraceBuilder hostile() {
  TraceBuilder builder;
  const std::uint64_t huge = ~std::uint64_t{0};
  builder.add(trace::StackNode{.id = huge, .parent = huge - 1, .address = huge, .kind = 7});
  builder.add(trace::Thread{.id = 0xffffffff, .t = huge, .creation_stack = huge, .start_routine = huge, .start_argument = huge});
  builder.add(trace::ThreadState{.thread = 2, .t = huge / 16, .cpu_ns = huge, .run_delay_ns = huge});
  builder.add(trace::CpuSample{.t = 1, .thread = 0xfffffffe, .stack = huge, .weight_ns = huge});
  builder.add(trace::CpuAggregate{.end_ms = 0xffffffff, .span_ms = 0xffffffff, .thread = 1, .stack = 1, .samples = huge, .weight_ns = huge});
  builder.add(trace::Module{.id = 1, .start = 0, .end = huge, .bias = huge, .path = "/nonexistent/program"});
  builder.add(trace::CodeRange{.module = 1, .start = huge, .size = huge});
  builder.add(trace::SystemState{.t = huge, .busy_ns = huge});
  return builder;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: make_corpus FOLDER\n", stderr), 2;
  const std::string folder = std::string(argv[1]) + "/";
  const auto write = [&](const std::string& name, const std::vector<std::uint8_t>& bytes) { tailback::testing::write_file(folder + name, bytes); };
  write("threads", threads_and_inlining().image_bytes());
  write("every-kind", every_kind().image_bytes());
  write("detail", detail_and_losses().image_bytes());
  write("hostile", hostile().image_bytes());
  write("calls", calls().image_bytes());
  write("hostile-calls", hostile_calls().image_bytes());
  write("locks", locks().image_bytes());
  write("hostile-locks", hostile_locks().image_bytes());
  auto unfinished = threads_and_inlining().image_bytes(false);
  unfinished.resize(16 * 1024);
  write("unfinished", unfinished);
  write("refused-empty", tailback::testing::DumpImage().image());
  write("refused-text", {'n', 'o', ' ', 'd', 'u', 'm', 'p'});
}
