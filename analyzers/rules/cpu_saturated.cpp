// SPDX-License-Identifier: Apache-2.0
// The CPUs the process may use are near their limit: by other programs, by its own demand, or soon at the present trend. What a
// cgroup's quota takes is a pause (pause.cpp). Full use by the program's own work is what a batch job should show: a note only.
#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kFull = 0.9;             // of the CPUs it may use
constexpr double kMostOfTheTime = 0.5;    // of wall time
constexpr double kSustained = 2.0;        // seconds
constexpr double kCrowdedOut = 0.15;      // of the time it wanted CPUs, waiting for others
constexpr std::size_t kTrendBins = 20;

struct Usage {
  double full_seconds = 0, cpu = 0, wanted = 0, crowded_out = 0;  // seconds
  double busy_by_others = 0;                                      // of all CPUs, mean
  bool others_known = false;
};

Usage usage_of(const Model& model) {
  Usage usage;
  double known = 0;
  const double cpus = model.timeline.cpus, online = std::max(1.0, static_cast<double>(model.recording.machine.cpus_online));
  for (const ProcessBin& bin : model.timeline.process) {
    if (bin.length <= 0) continue;
    usage.cpu += bin.cpu;
    usage.wanted += bin.cpu + bin.run_delay;
    if (bin.cpu >= kFull * cpus * bin.length) usage.full_seconds += bin.length;
    // Demand that fits the CPUs and still waited: others had them.
    usage.crowded_out += std::max(0.0, std::min(bin.cpu + bin.run_delay, cpus * bin.length) - bin.cpu);
    if (bin.machine_busy < 0) continue;
    usage.busy_by_others += std::max(0.0, bin.machine_busy - bin.cpu / (online * bin.length)) * bin.length;
    known += bin.length;
  }
  usage.others_known = known > 0;
  if (known > 0) usage.busy_by_others /= known;
  return usage;
}

Finding crowded_finding(const Model& model, const Usage& usage) {
  const double part = usage.crowded_out / std::max(usage.wanted, 1e-9);
  Finding finding;
  finding.rule = "cpu-saturated";
  finding.severity = Severity::info;  // says something about the measurement, nothing about the program
  finding.confidence = 0.8;
  finding.title = fmt::format("other programs kept {} of the CPUs busy: this one waited for {} of the time it wanted to run", percent(usage.busy_by_others), percent(part));
  finding.gain.metric = "wall_time";
  finding.gain.fraction = finding.gain.high = usage.crowded_out / std::max(model.timeline.wall_seconds, 1e-9) / std::max(1.0, usage.wanted / std::max(model.timeline.wall_seconds, 1e-9));
  finding.gain.how = "run-queue delay that the program's own demand does not explain, as a part of the time it wanted to run";
  finding.gain = bounded(finding.gain);
  finding.evidence = {seconds_evidence("waited for a CPU because of others", usage.crowded_out), fraction_evidence("CPUs busy with other programs", usage.busy_by_others)};
  finding.advice = {"measure on an idle machine before drawing conclusions from wall times", "move one of the programs, or give this one its own CPUs (cpuset) or weight (cpu.weight)"};
  finding.verify = fmt::format("{} on an idle machine; its run-queue delay should vanish", record_again(model));
  return finding;
}

Finding full_finding(const Model& model, const Usage& usage) {
  const double part = usage.full_seconds / model.timeline.wall_seconds;
  Finding finding;
  finding.rule = "cpu-saturated";
  finding.severity = Severity::info;
  finding.confidence = 0.9;
  finding.title = fmt::format("the program uses all {:.0f} CPUs it may use for {} of wall time", model.timeline.cpus, percent(part));
  finding.gain.how = "none by itself: only doing less work, or more CPUs, makes it faster";
  finding.evidence = {seconds_evidence("CPU time", usage.cpu), count_evidence("CPUs it may use", model.timeline.cpus, "CPUs"), seconds_evidence("time at full use", usage.full_seconds)};
  finding.advice = {"for a batch job this is as it should be; a service has no room left for a peak: add CPUs or instances, or reduce the work"};
  finding.verify = fmt::format("{}; look at CPU utilization", record_again(model));
  return finding;
}

struct Trend {
  double now = 0, per_second = 0, fit = 0;  // use of the CPUs at the end, its growth, r squared
};

// Least squares over the seconds of the recording.
Trend trend_of(const Model& model) {
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0;
  for (const ProcessBin& bin : model.timeline.process) {
    if (bin.length < 0.5 * model.timeline.bin_seconds) continue;
    const double x = bin.start + bin.length / 2, y = bin.cpu / (model.timeline.cpus * bin.length);
    n += 1, sx += x, sy += y, sxx += x * x, sxy += x * y, syy += y * y;
  }
  const double vx = n * sxx - sx * sx, vy = n * syy - sy * sy, cov = n * sxy - sx * sy;
  if (n < static_cast<double>(kTrendBins) || vx <= 0 || vy <= 0) return {};
  const double slope = cov / vx;
  return {(sy + slope * (n * model.timeline.wall_seconds - sx)) / n, slope, cov * cov / (vx * vy)};
}

std::optional<Finding> trend_finding(const Model& model) {
  constexpr double kGoodFit = 0.5, kHalf = 0.5, kRisen = 0.2;
  const Trend trend = trend_of(model);
  const bool rising = trend.fit >= kGoodFit && trend.per_second * model.timeline.wall_seconds >= kRisen;
  if (!rising || trend.now < kHalf || trend.now >= kFull) return std::nullopt;
  const double left = (1 - trend.now) / trend.per_second;
  Finding finding;
  finding.rule = "cpu-saturated";
  finding.severity = left < 10 * model.timeline.wall_seconds ? Severity::medium : Severity::low;
  finding.confidence = std::min(0.8, trend.fit);
  finding.title = fmt::format("CPU use grew to {} of the CPUs it may use and reaches the limit in {} at this rate", percent(trend.now), duration(left));
  finding.gain.metric = "availability";
  finding.gain.how = "no figure: a forecast by least squares, not a saving";
  finding.evidence = {fraction_evidence("use of the CPUs at the end", trend.now), count_evidence("growth", trend.per_second * 60, "of the CPUs per minute"),
                      seconds_evidence("time left at this rate", left), fraction_evidence("fit (r squared)", trend.fit)};
  finding.advice = {"find what grows: load, or cost per unit of work (compare an early with a late stretch: tailback report --from --to)"};
  finding.verify = fmt::format("{} for longer; CPU use per second should level off", record_again(model));
  return finding;
}

}  // namespace

RuleResult cpu_saturated(const Model& model) {
  const double wall = model.timeline.wall_seconds;
  if (wall < kSustained) return RuleResult::cannot(fmt::format("the recording lasted {}; {} are needed", duration(wall), duration(kSustained)));
  RuleResult result;
  const Usage usage = usage_of(model);
  const bool others = usage.others_known && usage.busy_by_others >= kCrowdedOut;
  if (result.findings.empty() && others && model.timeline.has_run_delay && usage.crowded_out >= kCrowdedOut * usage.wanted && usage.wanted >= 0.5 * wall)
    result.findings.push_back(crowded_finding(model, usage));
  if (result.findings.empty() && usage.full_seconds >= kMostOfTheTime * wall) result.findings.push_back(full_finding(model, usage));
  if (result.findings.empty())
    if (auto trend = trend_finding(model)) result.findings.push_back(std::move(*trend));
  result.fine = fmt::format("{} of the CPUs it may use were used on average", percent(usage.cpu / (wall * std::max(model.timeline.cpus, 1e-9))));
  return result;
}

}  // namespace tailback::analyzers
