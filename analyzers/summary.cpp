// SPDX-License-Identifier: Apache-2.0
#include "analyzers/summary.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include <fmt/format.h>

namespace tailback::analyzers {

namespace {

constexpr std::size_t kRowsWithStack = 100;

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

std::vector<std::string> split_command(std::string_view text) {
  std::vector<std::string> arguments;
  while (!text.empty()) {
    const auto end = std::min(text.find('\0'), text.size());
    arguments.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return arguments;
}

std::string iso8601(std::uint64_t realtime_ns) {
  const auto when = static_cast<std::time_t>(realtime_ns / 1'000'000'000);
  std::tm utc{};
  char text[40];
  if (!gmtime_r(&when, &utc) || !std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)) return "1970-01-01T00:00:00Z";
  return text;
}

std::string health_of(const std::vector<Finding>& findings) {
  bool degraded = false;
  for (const Finding& finding : findings) {
    if (finding.severity >= Severity::high) return "unhealthy";
    degraded |= finding.severity == Severity::medium && finding.rule != "cpu-hotspot";
  }
  return degraded ? "degraded" : "healthy";
}

std::string percent(double fraction) { return fmt::format("{:.{}f} %", 100 * fraction, fraction < 0.0995 ? 1 : 0); }

std::string amount(double value) { return value < 0.1 ? fmt::format("{:.3g} ms", 1e3 * value) : fmt::format("{:.4g} s", value); }

std::string how_it_ran(const Summary& summary, double cpus) {
  const double used = summary.wall_seconds > 0 ? summary.cpu_seconds / (summary.wall_seconds * cpus) : 0;
  return fmt::format("{} of CPU time in {} ({} of {:.3g} CPU{})", amount(summary.cpu_seconds), amount(summary.wall_seconds),
                     percent(used), cpus, cpus == 1 ? "" : "s");
}

const char* metric_name(const std::string& metric) {
  if (metric == "cpu_time") return "CPU time";
  if (metric == "wall_time") return "wall time";
  return metric.c_str();
}

std::string bytes(double value) {
  const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, unit && value < 100 ? 1 : 0, units[unit]);
}

// Of profiles by other tools, which do not say how long it ran on how many CPUs.
std::string what_it_holds(const Model& model) {
  const Heap& heap = model.heap;
  if (!model.recording.allocations.seen) return fmt::format("{} of CPU time", amount(seconds(model.cpu.cpu_ns)));
  std::string text = heap.facts.totals ? bytes(heap.bytes) + " allocated" : std::string();
  if (heap.facts.frees) text += fmt::format("{}{} live at the end", text.empty() ? "" : ", ", bytes(heap.live_bytes));
  else if (text.empty()) text = bytes(heap.bytes) + " taken from the system";
  return heap.facts.peak ? text + fmt::format(", {} at the peak", bytes(heap.peak_bytes)) : text;
}

std::string headline_of(const Model& model, const Summary& summary, const std::vector<Finding>& findings) {
  const bool foreign = !model.recording.source.format.empty();
  const std::string ran = foreign ? what_it_holds(model) : how_it_ran(summary, model.timeline.cpus);
  if (foreign && findings.empty()) return fmt::format("Nothing found: {}.", ran);
  if (summary.cpu_seconds <= 0 && findings.empty()) return fmt::format("Hardly used a CPU: {}.", ran);
  if (findings.empty() || findings.front().severity <= Severity::low) return fmt::format("Nothing to fix: {}.", ran);
  const Finding& first = findings.front();
  const std::string gain = first.gain.fraction >= 0.005
                               ? fmt::format(" (about {} of {})", percent(first.gain.fraction), metric_name(first.gain.metric))
                               : std::string();
  return fmt::format("{}{}; {}.", first.title, gain, ran);
}

std::string function_at(const Model& model, std::uint64_t address) {
  if (!address) return {};
  const auto frames = model.symbols->frames_at(address);
  return frames.empty() ? std::string() : model.symbols->function_name(frames.back().function);
}

ThreadRow row_of(const Model& model, const ThreadTable::Row& thread) {
  ThreadRow row;
  row.id = thread.id;
  row.tid = thread.tid;
  row.name = thread.name;
  row.start_routine = function_at(model, thread.start_routine);
  row.start_seconds = seconds(thread.start_ns);
  row.end_seconds = seconds(thread.end_ns.value_or(model.recording.to_ns));
  const auto time = model.cpu.thread_time(thread.id);
  row.cpu_seconds = seconds(time.cpu_ns);
  row.sampled_seconds = seconds(time.sampled_ns);
  row.unsampled_seconds = seconds(time.cpu_ns - time.sampled_ns);
  if (model.timeline.has_run_delay) row.run_delay_seconds = 0;
  if (const ThreadWaits* waits = model.waits.missing.empty() ? model.waits.find(thread.id) : nullptr) {
    row.role = to_string(waits->role);
    row.waiting = waiting_of(*waits);
    row.unexplained_seconds = waits->unexplained;
  }
  if (thread.states.empty()) return row;
  const ThreadCounters& last = thread.states.back();
  row.user_seconds = seconds(last.user_ns);
  row.system_seconds = seconds(last.system_ns);
  if (model.timeline.has_run_delay) row.run_delay_seconds = seconds(last.run_delay_ns);
  row.voluntary_switches = last.voluntary_switches;
  row.involuntary_switches = last.involuntary_switches;
  row.minor_faults = last.minor_faults;
  row.major_faults = last.major_faults;
  row.samples = last.samples;
  return row;
}

ThreadRow row_of(const Model& model, const ThreadGroupRow& group) {
  ThreadRow row;
  row.count = group.count;
  row.start_routine = function_at(model, group.start_routine);
  row.name = row.start_routine.empty() ? "short-lived threads" : row.start_routine;
  row.start_seconds = std::max(0.0, seconds(group.first_t) - 1);
  row.end_seconds = seconds(group.last_t);
  row.cpu_seconds = row.unsampled_seconds = seconds(group.cpu_ns);
  row.user_seconds = seconds(group.user_ns);
  row.system_seconds = seconds(group.system_ns);
  if (model.timeline.has_run_delay) row.run_delay_seconds = seconds(group.run_delay_ns);
  return row;
}

// What was sampled of threads not listed singly is known for each kind of threads only: shared out by their CPU time.
void share_out_samples(const Model& model, std::vector<std::pair<ThreadRow, StackId>>& rows) {
  double listed = 0, sampled = 0, short_lived = 0;
  for (const auto& thread : model.recording.threads.rows) listed += seconds(model.cpu.thread_time(thread.id).sampled_ns);
  sampled = std::max(0.0, seconds(model.cpu.sampled_ns) - listed);
  for (const auto& [row, stack] : rows) short_lived += row.id ? 0 : row.cpu_seconds;
  if (short_lived <= 0) return;
  const double share = std::min(1.0, sampled / short_lived);
  for (auto& [row, stack] : rows) {
    if (row.id) continue;
    row.sampled_seconds = row.cpu_seconds * share;
    row.unsampled_seconds = row.cpu_seconds - row.sampled_seconds;
  }
}

}  // namespace

Target target_of(const Model& model) {
  const Recording& recording = model.recording;
  Target target;
  target.command = split_command(recording.session.command);
  if (target.command.empty() && !recording.session.program.empty()) target.command.emplace_back(recording.session.program);
  target.pid = recording.session.pid;
  if (recording.exit_status)
    target.exit_status = static_cast<int>((recording.exit_status->exited ? 0 : 128) + (recording.exit_status->status & 0xff));
  target.started_at = iso8601(recording.session.started_realtime_ns);
  target.duration_seconds = seconds(recording.duration_ns);
  const auto& machine = recording.machine;
  target.cpus = static_cast<unsigned>(std::clamp<std::uint64_t>(machine.cpus_allowed ? machine.cpus_allowed : machine.cpus_online, 1, 1u << 20));
  target.hostname = recording.session.hostname;
  target.complete = recording.complete;
  target.source = recording.source.format;
  return target;
}

Summary summary_of(const Model& model, const std::vector<Finding>& findings) {
  Summary summary;
  summary.wall_seconds = model.timeline.wall_seconds;
  summary.cpu_seconds = seconds(model.cpu.cpu_ns);
  const double capacity = summary.wall_seconds * target_of(model).cpus;
  summary.cpu_utilization = capacity > 0 ? std::min(1.0, summary.cpu_seconds / capacity) : 0;
  for (const auto& state : model.recording.process) {
    summary.threads_peak = std::max(summary.threads_peak, state.threads);
    summary.rss_peak_bytes = std::max({summary.rss_peak_bytes, state.rss_peak_bytes, state.rss_bytes});
  }
  for (const auto& bin : model.timeline.process) summary.threads_peak = std::max<std::uint64_t>(summary.threads_peak, bin.alive_threads);
  summary.health = health_of(findings);
  summary.headline = headline_of(model, summary, findings);
  return summary;
}

std::vector<ThreadRow> thread_rows(const Model& model) {
  std::vector<std::pair<ThreadRow, StackId>> rows;
  for (const auto& thread : model.recording.threads.rows) rows.emplace_back(row_of(model, thread), thread.creation_stack);
  for (const auto& group : model.recording.thread_groups) rows.emplace_back(row_of(model, group), group.creation_stack);
  share_out_samples(model, rows);
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first.cpu_seconds > b.first.cpu_seconds; });
  std::vector<ThreadRow> sorted;
  for (auto& [row, stack] : rows) {
    if (stack && sorted.size() < kRowsWithStack) row.creation_stack = model.symbols->stack(stack);
    sorted.push_back(std::move(row));
  }
  return sorted;
}

}  // namespace tailback::analyzers
