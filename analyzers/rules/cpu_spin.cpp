// SPDX-License-Identifier: Apache-2.0
// Busy waiting: CPU time in loops that cannot make progress by themselves. Says it only where machine code or a polled
// function proves it; a tight profile alone is no evidence (a fast kernel looks the same).
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kWorthSaying = 0.03, kMedium = 0.10, kHigh = 0.25;  // of the process's CPU time
constexpr double kFewestSeconds = 0.1, kHighSeconds = 0.5;

Severity severity_of(double share, double seconds) {
  if (share >= kHigh && seconds >= kHighSeconds) return Severity::high;
  return share >= kMedium ? Severity::medium : Severity::low;
}

Gain gain_of(const Model& model, double share) {
  const double wanted = [&] {
    double demand = 0;
    for (const ThreadLoad& load : thread_loads(model)) demand += load.demand();
    return demand / std::max(model.timeline.wall_seconds, 1e-9);
  }();
  Gain gain;
  gain.metric = "cpu_time";
  gain.fraction = share;
  gain.low = share * 0.8;
  gain.high = share;
  gain.how = "CPU time sampled in the waiting loop, which blocking would save; a short spin before blocking keeps a little of it. ";
  gain.how += wanted > model.timeline.cpus
                  ? fmt::format("{:.1f} threads wanted a CPU at a time and there are {:.0f}, so wall time gains as well", wanted, model.timeline.cpus)
                  : "Wall time gains only where other threads or programs want the CPU";
  return bounded(gain);
}

// The module whose loop it is, where that is an OpenMP runtime: its threads wait actively for each other by design.
std::string openmp_runtime(const Model& model, const SpinSite& site) {
  if (site.stacks.empty()) return {};
  const auto frames = model.symbols->stack(site.stacks.front().stack);
  if (frames.empty()) return {};
  const std::string& module = frames.front().module;
  for (const char* runtime : {"libgomp.", "libomp.", "libiomp5."})
    if (module.starts_with(runtime)) return module;
  return {};
}

std::vector<std::string> advice_for(const Model& model, const SpinSite& site) {
  std::vector<std::string> advice;
  if (const std::string runtime = openmp_runtime(model, site); !runtime.empty())
    return {fmt::format("{} waits so at the end of each parallel part: give it larger or fewer parts, and CPUs that no other program takes", runtime),
            "OMP_WAIT_POLICY=passive lets its threads block instead (GOMP_SPINCOUNT or KMP_BLOCKTIME limit how long they spin)"};
  if (site.polled.find("try") != std::string::npos) advice.push_back("take the lock with lock() (or a timed wait) instead of trying it in a loop");
  else if (site.polled.find("clock") != std::string::npos || site.polled.find("time") != std::string::npos)
    advice.push_back("sleep until the moment (std::this_thread::sleep_until, clock_nanosleep, a timerfd) instead of reading the clock in a loop");
  else advice.push_back("block instead of polling: std::condition_variable, std::atomic::wait/notify_one, a semaphore, or a future");
  advice.push_back("where the wait is known to last microseconds, spin a bounded number of times with a pause instruction, then block");
  return advice;
}

// Threads that spin here and how often they called sched_yield, which is counted exactly.
double yields_at(const Model& model, const SpinSite& site) {
  std::set<StackId> stacks;
  for (const StackWeight& weight : site.stacks) stacks.insert(weight.stack);
  std::set<ThreadId> threads;
  for (const CpuRow& row : model.recording.cpu)
    if (stacks.contains(row.stack)) threads.insert(row.thread);
  double yields = 0;
  for (const CallRow& row : model.recording.calls.rows)
    if (row.key.call == trace::Call::yield && threads.contains(row.key.thread)) yields += static_cast<double>(row.counts.calls);
  return yields;
}

Finding finding_of(const Model& model, const SpinSite& site) {
  const double seconds = static_cast<double>(site.ns) * 1e-9;
  const double share = static_cast<double>(site.ns) / static_cast<double>(std::max<std::uint64_t>(model.cpu.cpu_ns, 1));
  Finding finding;
  finding.rule = "cpu-spin";
  finding.category = Category::cpu;
  finding.severity = severity_of(share, seconds);
  finding.confidence = site.confidence;
  finding.culprit = site.culprit;
  finding.title = fmt::format("{} waits actively: {} of CPU time ({}) is spent polling{}", site.culprit.function, percent(share), duration(seconds),
                              site.polled.empty() ? "" : " " + site.polled);
  finding.gain = gain_of(model, share);
  finding.evidence = {seconds_evidence("CPU time in the waiting loop", seconds), fraction_evidence("share of CPU time", share),
                      text_evidence("known from", site.how)};
  if (const double yields = yields_at(model, site); yields > 0) finding.evidence.push_back(count_evidence("calls of sched_yield by the spinning threads", yields, "count"));
  if (site.has_pause) finding.evidence.push_back(text_evidence("pause instruction in the loop", "yes"));
  finding.stacks = cpu_stacks(model, site.stacks, 2);
  finding.advice = advice_for(model, site);
  finding.verify = fmt::format("{}; the CPU time of {} should fall from {} to nearly nothing", record_again(model), site.culprit.function, duration(seconds));
  return finding;
}

}  // namespace

RuleResult cpu_spin(const Model& model) {
  if (const std::string because = too_few_samples(model); !because.empty()) return RuleResult::cannot(because);
  RuleResult result;
  for (const SpinSite& site : model.spinning.sites) {
    const double share = static_cast<double>(site.ns) / static_cast<double>(std::max<std::uint64_t>(model.cpu.cpu_ns, 1));
    if (share >= kWorthSaying && static_cast<double>(site.ns) * 1e-9 >= kFewestSeconds) result.findings.push_back(finding_of(model, site));
  }
  if (!result.findings.empty()) return result;
  result.fine = model.spinning.code_seen ? fmt::format("no loop that waits actively beyond {} of CPU time", percent(kWorthSaying))
                                   : "no polling functions; the machine code of the hot loops could not be read, so loops were not looked at";
  return result;
}

}  // namespace tailback::analyzers
