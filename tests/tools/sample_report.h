// SPDX-License-Identifier: Apache-2.0
// Reports made by hand for the tests of the formatters: one with everything in it, one of a program with nothing to fix, one
// with names that no formatter may trust.
#pragma once
#include "analyzers/report.h"

namespace tailback::testing {

inline analyzers::Frame frame(std::string function, std::string file, std::uint32_t line, std::string module,
                              bool inlined = false) {
  return {std::move(function), "", std::move(file), line, std::move(module), 0x401000 + line, inlined};
}

inline std::vector<analyzers::Frame> recursive_stack(std::size_t depth) {
  std::vector<analyzers::Frame> frames = {frame("weigh", "tree.h", 12, "planner", true),
                                          frame("score", "tree.cc", 40, "planner")};
  for (std::size_t i = 0; i < depth; ++i) frames.push_back(frame("descend", "tree.cc", 77, "planner"));
  for (const char* name : {"plan_route", "plan_all", "handle_request", "dispatch", "run_worker", "Worker::main", "Worker::start"})
    frames.push_back(frame(name, "worker.cc", 100, "planner"));
  for (const char* name : {"execute_native_thread_routine", "start_thread", "clone3"})
    frames.push_back(frame(name, "", 0, "libc.so.6"));
  return frames;
}

inline analyzers::Finding hot_finding() {
  analyzers::Finding finding;
  finding.rule = "cpu-hotspot";
  finding.severity = analyzers::Severity::high;
  finding.title = "Recompiling a regular expression for every line takes 61 % of the CPU time";
  finding.confidence = 0.9;
  finding.gain = {"cpu_time", 0.58, 0.49, 0.61, "CPU time below the constructor, without one compilation kept for reuse"};
  finding.culprit = frame("parse_line", "src/parser.cc", 88, "planner");
  finding.evidence = {{"CPU time compiling", 12.25, "seconds"},
                      {"share of all CPU time", 0.61, "fraction"},
                      {"compilations", 184220.0, "count"},
                      {"pattern", std::string("regex compiled in a loop"), ""}};
  finding.stacks = {{"cpu", 9.5, "seconds", recursive_stack(140)}};
  finding.advice = {"Make the expression at parser.cc:88 a static const object, so that it is compiled once.",
                    "If the pattern changes, keep the compiled ones in a map by pattern."};
  finding.verify = "Record again: parse_line should fall below 5 % of the CPU time.";
  return finding;
}

inline analyzers::Finding churn_finding() {
  analyzers::Finding finding;
  finding.rule = "thread-churn";
  finding.category = analyzers::Category::pools;
  finding.severity = analyzers::Severity::medium;
  finding.title = "A thread is made for each request: 1,840 threads a second live 1.1 ms each";
  finding.confidence = 0.8;
  finding.gain = {"latency", 0, 0, 0.1, ""};
  finding.culprit = frame("accept_loop", "", 0, "planner");
  finding.evidence = {{"threads created", 22080.0, "count"}};
  finding.advice = {"Use a pool of as many threads as there are CPUs."};
  return finding;
}

inline analyzers::ThreadRow thread_row(std::uint64_t id, std::string name, double cpu, std::uint64_t count = 1) {
  analyzers::ThreadRow row;
  row.id = id;
  row.tid = 4000 + id;
  row.name = std::move(name);
  row.start_routine = "worker_main(void*)";
  row.end_seconds = 12.5;
  row.cpu_seconds = cpu;
  row.user_seconds = cpu * 0.9;
  row.system_seconds = cpu * 0.1;
  if (id % 2) row.run_delay_seconds = cpu / 10;
  row.sampled_seconds = cpu * 0.99;
  row.unsampled_seconds = cpu * 0.01;
  row.samples = static_cast<std::uint64_t>(cpu * 199);
  row.count = count;
  if (id == 2) row.creation_stack = {frame("start_workers", "worker.cc", 31, "planner")};
  return row;
}

inline analyzers::IoRow io_row(std::string name, std::string kind, std::string call, std::uint64_t calls, std::uint64_t bytes, double seconds, double p50,
                               double p99) {
  analyzers::IoRow row;
  row.name = std::move(name);
  row.kind = std::move(kind);
  row.calls = calls, row.bytes = bytes, row.seconds = seconds, row.blocked_seconds = 0.9 * seconds, row.p50_seconds = p50, row.p99_seconds = p99;
  row.operations = {{std::move(call), calls, 0, bytes, seconds, 0.9 * seconds, p50, p99}};
  return row;
}

inline analyzers::AllocationRow allocation_row(std::string function, double blocks, double bytes, double live, double peak) {
  analyzers::AllocationRow row;
  row.culprit = frame(std::move(function), "src/parser.cc", 120, "planner");
  row.blocks = blocks, row.bytes = bytes, row.bytes_deviation = bytes / 30, row.live_bytes = live, row.live_blocks = live / 64, row.peak_bytes = peak;
  row.temporary = blocks / 2, row.reallocations = blocks / 10, row.cost_seconds = blocks * 40e-9, row.samples = 900;
  row.frames = {frame("operator new(unsigned long)", "", 0, "libstdc++.so.6"), row.culprit};
  return row;
}

inline analyzers::Allocations sample_allocations() {
  analyzers::Allocations heap;
  heap.known = true;
  heap.allocator = "glibc";
  heap.blocks = 9.6e6, heap.bytes = 1.9e9, heap.bytes_deviation = 3.2e7, heap.live_blocks = 120000, heap.live_bytes = 4.1e7, heap.peak_bytes = 1.3e8, heap.peak_bound_bytes = 1.35e8;
  heap.cost_seconds = 0.62, heap.cost_fraction = 0.031, heap.unknown_frees = 12;
  heap.live = {{1, 2.2e7}, {2, 1.2e8}, {12.5, 4.1e7}};
  heap.sites = {allocation_row("parse_line", 9e6, 1.7e9, 1.2e6, 2.5e6), allocation_row("load_map", 4e5, 1.6e8, 3.9e7, 1.2e8), allocation_row("main", 12, 3000, 0, 3000)};
  return heap;
}

inline analyzers::EventLoopRow loop_row() {
  analyzers::EventLoopRow row;
  row.thread = 1, row.thread_name = "main", row.call = "epoll_wait";
  row.culprit = frame("serve", "src/server.cc", 210, "planner");
  row.turns = 184000, row.seconds = 12.5, row.busy_seconds = 4.0, row.waiting_seconds = 8.4, row.ready_each = 1.3;
  row.turn_p50_seconds = 18e-6, row.turn_p99_seconds = 95e-6, row.turn_longest_seconds = 0.084;
  row.lag_mean_seconds = 0.0031, row.lag_p99_seconds = 0.071, row.late_timers = 40, row.late_p99_seconds = 0.06, row.late_longest_seconds = 0.079, row.long_turns = 12;
  row.handlers = {{frame("render_map", "src/map.cc", 17, "planner"), 12, 0.96, 0.084}};
  return row;
}

inline analyzers::Report full_report() {
  analyzers::Report report;
  report.target = {{"./planner", "--input", "cities.csv"}, 4001, 0, "2026-01-01T00:00:00Z", 12.5, 2, "build-host", true};
  report.summary = {
      12.5, 20.1, 0.804, 9, 188743680, "degraded", "Most CPU time goes into compiling one regular expression again and again."};
  report.findings = {hot_finding(), churn_finding()};
  for (std::uint64_t id = 1; id <= 9; ++id)
    report.threads.push_back(thread_row(id, id == 1 ? "main" : "worker", 4.0 / static_cast<double>(id)));
  report.threads.push_back(thread_row(10, "request", 0.4, 22080));
  report.threads[1].role = "held up";
  report.threads[1].waiting = {{"disk", 4.1, 0}, {"lock", 0.2, 0}};
  report.threads[1].unexplained_seconds = 0.25;
  report.waiting = {{"condition", 61.5, 61.25}, {"disk", 4.6, 0}, {"poll", 3.2, 3.2}, {"network", 0.35, 0}, {"lock", 0.2, 0}, {"name lookup", 0.004, 0}};
  analyzers::PauseRow pauses;
  pauses.cause = "gc", pauses.runtime = "CPython", pauses.sampled = true, pauses.count = 3, pauses.total_seconds = 0.71, pauses.fraction = 0.04;
  pauses.longest_seconds = 0.32, pauses.p50_seconds = 0.21, pauses.p90_seconds = pauses.p99_seconds = 0.32, pauses.added_p99_seconds = 0.2, pauses.added_p999_seconds = 0.31;
  pauses.pauses = {{1.25, 0.12, 1}, {4.5, 0.21, 1}, {9.125, 0.32, 1}};
  report.pauses = {pauses};
  report.io = {io_row("/var/lib/planner/routes.journal", "file", "fdatasync", 2050, 0, 4.1, 0.0019, 0.0041),
               io_row("10.0.0.17:5432", "tcp_peer", "recv", 1200, 5 << 20, 0.35, 0.00025, 0.0021),
               io_row("", "pipe", "write", 300000, 14400000, 0.2, 6e-7, 9e-7)};
  report.event_loops = {loop_row()};
  report.allocations = sample_allocations();
  report.rules = {{"cpu-hotspot", analyzers::RuleOutcome::found, ""},
                  {"cpu-spin", analyzers::RuleOutcome::fine,
                   "no thread was busy in a loop that only waits; the longest was 0.2 % of its CPU time"},
                  {"cpu-saturated", analyzers::RuleOutcome::not_applicable, "the machine's load is missing from the dump"}};
  report.recording = {3,       "CPU time by thread is exact; stacks are sampled at 199 Hz", 0.0004, 0.02, 0.004,
                      1468006, {"libfoo.so.1: no symbols; install libfoo1-dbgsym"}};
  return report;
}

inline analyzers::Report clean_report() {
  analyzers::Report report;
  report.target = {{"/usr/bin/true"}, 7, std::nullopt, "", 0, 1, "", false};
  report.summary = {0, 0, 0, 1, 0, "healthy", "Nothing to fix was found."};
  return report;
}

// Escape sequences, line ends, broken UTF-8, very long words, figures that are none.
inline analyzers::Report hostile_report() {
  analyzers::Report report = full_report();
  const std::string hostile = std::string("a\x1b]0;title\x07 \n\xff\xfe\xc3( </script> \"; rm ") + std::string(300, 'x');
  report.target.command = {hostile, ""};
  report.target.hostname = hostile;
  report.summary.headline = hostile;
  report.summary.cpu_seconds = 1.0 / 0.0;
  for (analyzers::Finding& finding : report.findings) {
    finding.title = finding.verify = finding.gain.how = hostile;
    finding.culprit.function = finding.culprit.file = hostile;
    finding.evidence.push_back({hostile, hostile, hostile});
    finding.advice.push_back(hostile);
    for (analyzers::StackEvidence& stack : finding.stacks)
      for (analyzers::Frame& frame : stack.frames) frame.function = frame.full_name = frame.module = hostile;
  }
  for (analyzers::ThreadRow& row : report.threads) row.name = hostile;
  for (analyzers::AllocationRow& row : report.allocations.sites) row.culprit.function = row.culprit.module = hostile;
  report.allocations.allocator = hostile, report.allocations.cost_seconds = 0.0 / 0.0;
  for (analyzers::IoRow& row : report.io) row.name = row.kind = row.operations[0].call = hostile;
  report.event_loops[0].thread_name = report.event_loops[0].culprit.function = hostile;
  report.rules[1].detail = hostile;
  report.recording.notes = {hostile};
  return report;
}

}  // namespace tailback::testing
