// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/json.h"

#include <cmath>

#include "tools/reports/frame_json.h"

namespace tailback::tools {

namespace {

using namespace analyzers;

// JSON has no infinities; a figure that is none is 0, as one that was not measured.
double number(double value) { return std::isfinite(value) ? value : 0.0; }
Json target_json(const Target& target) {
  Json json = {{"command", json_texts(target.command)},
               {"pid", target.pid},
               {"exit_status", nullptr},
               {"started_at", json_text(target.started_at)},
               {"duration_seconds", number(target.duration_seconds)},
               {"cpus", target.cpus},
               {"hostname", json_text(target.hostname)},
               {"complete", target.complete}};
  if (target.exit_status) json["exit_status"] = *target.exit_status;
  if (!target.source.empty()) json["source"] = json_text(target.source);
  return json;
}

Json summary_json(const Summary& summary) {
  return {{"wall_seconds", number(summary.wall_seconds)},
          {"cpu_seconds", number(summary.cpu_seconds)},
          {"cpu_utilization", number(summary.cpu_utilization)},
          {"threads_peak", summary.threads_peak},
          {"rss_peak_bytes", summary.rss_peak_bytes},
          {"health", json_text(summary.health)},
          {"headline", json_text(summary.headline)}};
}

Json gain_json(const Gain& gain) {
  return {{"metric", json_text(gain.metric)},
          {"fraction", number(gain.fraction)},
          {"low", number(gain.low)},
          {"high", number(gain.high)},
          {"how", json_text(gain.how)}};
}

Json evidence_json(const std::vector<Evidence>& evidence) {
  Json array = Json::array();
  for (const Evidence& item : evidence) {
    Json json = {{"label", json_text(item.label)}, {"value", nullptr}, {"unit", json_text(item.unit)}};
    if (const auto* words = std::get_if<std::string>(&item.value))
      json["value"] = json_text(*words);
    else
      json["value"] = number(std::get<double>(item.value));
    array.push_back(std::move(json));
  }
  return array;
}

Json stacks_json(const std::vector<StackEvidence>& stacks) {
  Json array = Json::array();
  for (const StackEvidence& stack : stacks)
    array.push_back({{"role", json_text(stack.role)},
                     {"weight", number(stack.weight)},
                     {"unit", json_text(stack.unit)},
                     {"frames", frames_json(stack.frames)}});
  return array;
}

Json culprit_json(const Frame& frame) {
  return {{"function", json_text(frame.function)}, {"file", json_text(frame.file)}, {"line", frame.line}, {"module", json_text(frame.module)}};
}

Json finding_json(const Finding& finding, std::size_t rank) {
  Json json = {{"rank", rank},
               {"rule", json_text(finding.rule)},
               {"category", to_string(finding.category)},
               {"severity", to_string(finding.severity)},
               {"title", json_text(finding.title)},
               {"confidence", number(finding.confidence)},
               {"gain", gain_json(finding.gain)},
               {"culprit", culprit_json(finding.culprit)}};
  if (!finding.cause.empty()) json["cause"] = json_text(finding.cause);
  json["evidence"] = evidence_json(finding.evidence);
  json["stacks"] = stacks_json(finding.stacks);
  json["advice"] = json_texts(finding.advice);
  json["verify"] = json_text(finding.verify);
  return json;
}

Json waiting_json(const std::vector<WaitRow>& waiting) {
  Json array = Json::array();
  for (const WaitRow& row : waiting)
    array.push_back({{"cause", json_text(row.cause)}, {"seconds", number(row.seconds)}, {"by_design_seconds", number(row.by_design_seconds)}});
  return array;
}

// The figures that a file and each operation on it have in common.
template <class Row>
void add_figures(Json& json, const Row& row) {
  json["calls"] = row.calls;
  json["errors"] = row.errors;
  json["bytes"] = row.bytes;
  json["seconds"] = number(row.seconds);
  json["blocked_seconds"] = number(row.blocked_seconds);
  json["p50_seconds"] = number(row.p50_seconds);
  json["p99_seconds"] = number(row.p99_seconds);
}

Json io_json(const IoRow& row) {
  Json json = {{"name", json_text(row.name)}, {"kind", json_text(row.kind)}};
  add_figures(json, row);
  json["opened"] = row.opened;
  json["turns"] = row.turns;
  json["turn_p50_seconds"] = number(row.turn_p50_seconds);
  json["turn_p99_seconds"] = number(row.turn_p99_seconds);
  json["operations"] = Json::array();
  for (const IoOperation& operation : row.operations) {
    Json made = {{"call", json_text(operation.call)}};
    add_figures(made, operation);
    json["operations"].push_back(std::move(made));
  }
  return json;
}

Json site_json(const AllocationRow& row) {
  return {{"culprit", culprit_json(row.culprit)},
          {"blocks", number(row.blocks)},
          {"bytes", number(row.bytes)},
          {"bytes_deviation", number(row.bytes_deviation)},
          {"live_blocks", number(row.live_blocks)},
          {"live_bytes", number(row.live_bytes)},
          {"peak_bytes", number(row.peak_bytes)},
          {"temporary_blocks", number(row.temporary)},
          {"reallocations", number(row.reallocations)},
          {"cost_seconds", number(row.cost_seconds)},
          {"samples", row.samples},
          {"frames", frames_json(row.frames)}};
}

Json allocations_json(const Allocations& heap) {
  if (!heap.known) return Json::object();
  Json json = {{"mode", heap.exact ? "exact" : "sampled"},
               {"allocator", json_text(heap.allocator)},
               {"blocks", number(heap.blocks)},
               {"bytes", number(heap.bytes)},
               {"bytes_deviation", number(heap.bytes_deviation)},
               {"live_blocks", number(heap.live_blocks)},
               {"live_bytes", number(heap.live_bytes)},
               {"peak_bytes", number(heap.peak_bytes)},
               {"peak_bound_bytes", number(heap.peak_bound_bytes)},
               {"cost_seconds", number(heap.cost_seconds)},
               {"cost_fraction", number(heap.cost_fraction)},
               {"unknown_frees", heap.unknown_frees},
               {"live", Json::array()},
               {"sites", Json::array()}};
  for (const LiveLevel& level : heap.live) json["live"].push_back({{"seconds", number(level.seconds)}, {"bytes", number(level.bytes)}});
  for (const AllocationRow& row : heap.sites) json["sites"].push_back(site_json(row));
  return json;
}

Json shares_json(const std::vector<LockShare>& shares) {
  Json array = Json::array();
  for (const LockShare& share : shares) array.push_back({{"culprit", culprit_json(share.culprit)}, {"seconds", number(share.seconds)}, {"count", number(share.count)}});
  return array;
}

Json pause_json(const PauseRow& row) {
  Json pauses = Json::array();
  for (const PauseMoment& pause : row.pauses)
    pauses.push_back({{"begin_seconds", number(pause.begin_seconds)}, {"seconds", number(pause.seconds)}, {"thread", pause.thread}});
  return {{"cause", json_text(row.cause)},
          {"runtime", json_text(row.runtime)},
          {"count", number(row.count)},
          {"total_seconds", number(row.total_seconds)},
          {"total_is_sampled", row.sampled},
          {"fraction", number(row.fraction)},
          {"longest_seconds", number(row.longest_seconds)},
          {"p50_seconds", number(row.p50_seconds)},
          {"p90_seconds", number(row.p90_seconds)},
          {"p99_seconds", number(row.p99_seconds)},
          {"added_p99_seconds", number(row.added_p99_seconds)},
          {"added_p999_seconds", number(row.added_p999_seconds)},
          {"pauses", pauses},
          {"frames", frames_json(row.frames)}};
}

Json lock_json(const LockRow& row) {
  return {{"kind", json_text(row.kind)},
          {"name", json_text(row.name)},
          {"address", row.address},
          {"wait_seconds", number(row.wait_seconds)},
          {"waits", number(row.waits)},
          {"longest_wait_seconds", number(row.longest_wait_seconds)},
          {"waiting_threads", row.waiting_threads},
          {"held_up_seconds", number(row.held_up_seconds)},
          {"acquisitions", number(row.acquisitions)},
          {"held_seconds", number(row.held_seconds)},
          {"hold_p50_seconds", number(row.hold_p50_seconds)},
          {"hold_p99_seconds", number(row.hold_p99_seconds)},
          {"cpu_inside_seconds", number(row.cpu_inside_seconds)},
          {"blocked_inside_seconds", number(row.blocked_inside_seconds)},
          {"holders", shares_json(row.holders)},
          {"waiters", shares_json(row.waiters)}};
}

Json pool_json(const PoolRow& row) {
  return {{"name", json_text(row.name)},
          {"idle_place", culprit_json(row.idle_place)},
          {"threads", row.threads},
          {"utilization", number(row.utilization)},
          {"busy_seconds", number(row.busy_seconds)},
          {"idle_seconds", number(row.idle_seconds)},
          {"running_seconds", number(row.running_seconds)},
          {"runnable_seconds", number(row.runnable_seconds)},
          {"waiting", waiting_json(row.waiting)},
          {"most_busy_threads", number(row.most_busy_threads)},
          {"saturated_seconds", number(row.saturated_seconds)},
          {"busiest_fraction", number(row.busiest_fraction)},
          {"tasks_counted", row.counted},
          {"tasks", number(row.tasks)},
          {"tasks_per_second", number(row.tasks_per_second)},
          {"tasks_unheard", number(row.tasks_unheard)},
          {"service_seconds", number(row.service_seconds)},
          {"queue_wait_seconds", number(row.queue_wait_seconds)},
          {"queue_length", number(row.queue_length)},
          {"queue_longest", number(row.queue_longest)},
          {"queue_how", json_text(row.queue_how)},
          {"creation_stack", frames_json(row.creation_stack)}};
}

Json event_loop_json(const EventLoopRow& row) {
  Json json = {{"thread", row.thread},
               {"thread_name", json_text(row.thread_name)},
               {"call", json_text(row.call)},
               {"culprit", culprit_json(row.culprit)},
               {"turns", row.turns},
               {"seconds", number(row.seconds)},
               {"busy_seconds", number(row.busy_seconds)},
               {"waiting_seconds", number(row.waiting_seconds)},
               {"ready_each", number(row.ready_each)},
               {"turn_p50_seconds", number(row.turn_p50_seconds)},
               {"turn_p99_seconds", number(row.turn_p99_seconds)},
               {"turn_longest_seconds", number(row.turn_longest_seconds)},
               {"lag_mean_seconds", number(row.lag_mean_seconds)},
               {"lag_p99_seconds", number(row.lag_p99_seconds)},
               {"late_timers", row.late_timers},
               {"late_p99_seconds", number(row.late_p99_seconds)},
               {"late_longest_seconds", number(row.late_longest_seconds)},
               {"long_turns", number(row.long_turns)},
               {"handlers", Json::array()}};
  for (const LoopHandlerRow& handler : row.handlers)
    json["handlers"].push_back({{"culprit", culprit_json(handler.culprit)}, {"turns", handler.turns}, {"seconds", number(handler.seconds)}, {"longest_turn_seconds", number(handler.longest_turn_seconds)}});
  return json;
}

Json thread_json(const ThreadRow& row) {
  Json json = {{"id", row.id},
               {"tid", row.tid},
               {"name", json_text(row.name)},
               {"start_routine", json_text(row.start_routine)},
               {"count", row.count},
               {"start_seconds", number(row.start_seconds)},
               {"end_seconds", number(row.end_seconds)},
               {"cpu_seconds", number(row.cpu_seconds)},
               {"user_seconds", number(row.user_seconds)},
               {"system_seconds", number(row.system_seconds)},
               {"run_delay_seconds", nullptr},
               {"sampled_seconds", number(row.sampled_seconds)},
               {"unsampled_seconds", number(row.unsampled_seconds)},
               {"voluntary_switches", row.voluntary_switches},
               {"involuntary_switches", row.involuntary_switches},
               {"minor_faults", row.minor_faults},
               {"major_faults", row.major_faults},
               {"samples", row.samples},
               {"role", json_text(row.role)},
               {"waiting", waiting_json(row.waiting)},
               {"unexplained_seconds", nullptr},
               {"creation_stack", frames_json(row.creation_stack)}};
  if (row.run_delay_seconds) json["run_delay_seconds"] = number(*row.run_delay_seconds);
  if (row.unexplained_seconds) json["unexplained_seconds"] = number(*row.unexplained_seconds);
  return json;
}

const char* outcome_name(const RuleOutcome& rule) {
  return rule.outcome == RuleOutcome::found ? "found" : rule.outcome == RuleOutcome::fine ? "fine" : "not_applicable";
}

Json recording_json(const RecordingQuality& quality) {
  return {{"dropped_events", quality.dropped_events},
          {"detail", json_text(quality.detail)},
          {"truncated_stacks_fraction", number(quality.truncated_stacks_fraction)},
          {"unresolved_frames_fraction", number(quality.unresolved_frames_fraction)},
          {"overhead_fraction", number(quality.overhead_fraction)},
          {"dump_bytes", quality.dump_bytes},
          {"notes", json_texts(quality.notes)}};
}

}  // namespace

std::string json_report(const Report& report) {
  Json json = {{"schema", "tailback.report/1"}, {"tool", {{"name", "tailback"}, {"version", TAILBACK_VERSION}}}};
  json["target"] = target_json(report.target);
  json["summary"] = summary_json(report.summary);
  json["findings"] = Json::array();
  for (std::size_t i = 0; i < report.findings.size(); ++i) json["findings"].push_back(finding_json(report.findings[i], i + 1));
  json["threads"] = Json::array();
  for (const ThreadRow& row : report.threads) json["threads"].push_back(thread_json(row));
  json["locks"] = Json::array();
  for (const LockRow& row : report.locks) json["locks"].push_back(lock_json(row));
  json["pools"] = Json::array();
  for (const PoolRow& row : report.pools) json["pools"].push_back(pool_json(row));
  json["pauses"] = Json::array();
  for (const PauseRow& row : report.pauses) json["pauses"].push_back(pause_json(row));
  json["allocations"] = allocations_json(report.allocations);
  json["waiting"] = waiting_json(report.waiting);
  json["io"] = Json::array();
  for (const IoRow& row : report.io) json["io"].push_back(io_json(row));
  json["event_loops"] = Json::array();
  for (const EventLoopRow& row : report.event_loops) json["event_loops"].push_back(event_loop_json(row));
  for (const char* list : {"requests", "tasks"}) json[list] = Json::array();
  json["rules"] = Json::array();
  for (const RuleOutcome& rule : report.rules)
    json["rules"].push_back({{"rule", json_text(rule.rule)}, {"outcome", outcome_name(rule)}, {"detail", json_text(rule.detail)}});
  json["recording"] = recording_json(report.recording);
  return json.dump(1) + "\n";
}

}  // namespace tailback::tools
