// SPDX-License-Identifier: Apache-2.0
// Threads are created and ended at a high rate, so that a visible part of the work is making threads. Counts are exact, also
// for threads too short to be sampled; what one costs is measured on this program, not assumed.
#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/patterns.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr std::uint64_t kFewestThreads = 50;
constexpr double kReportedEvery = 1.0;                                  // seconds: a group's record stands for the time before it
constexpr double kShortLife = 1.0;                                      // seconds, on average
constexpr double kRateLow = 20, kRateMedium = 100, kRateHigh = 500;     // threads a second
constexpr double kCostMedium = 0.02, kCostHigh = 0.10;                  // of CPU time

struct Churn {
  StackId creation_stack = 0;
  std::uint64_t start_routine = 0;
  std::uint64_t count = 0;
  double lifetime = 0, cpu = 0, first = 1e300, last = 0;
};

// The new thread's own start and end cost CPU time as well, which no clock shows apart from its work. Measured with empty
// threads (docs/rules.md): 0.6 to 0.8 of what creating and joining them costs.
constexpr double kStartAndEnd = 0.6, kStartAndEndMost = 1.5;

void add(Churn& churn, std::uint64_t count, double lifetime, double cpu, double first, double last) {
  churn.count += count;
  churn.lifetime += lifetime;
  churn.cpu += cpu;
  churn.first = std::min(churn.first, first);
  churn.last = std::max(churn.last, last);
}

std::vector<Churn> churns_of(const Model& model) {
  std::map<std::tuple<StackId, std::uint64_t>, Churn> churns;
  const auto of = [&](StackId stack, std::uint64_t routine) -> Churn& {
    Churn& churn = churns[{stack, stack ? 0 : routine}];
    churn.creation_stack = stack;
    churn.start_routine = routine;
    return churn;
  };
  for (const ThreadLoad& load : thread_loads(model)) {
    const ThreadTable::Row* row = model.recording.threads.find(load.id);
    if (load.ended && !load.is_main && load.alive() < kShortLife)
      add(of(row->creation_stack, row->start_routine), 1, load.alive(), load.cpu, load.start, load.end);
  }
  for (const ThreadGroupRow& row : model.recording.thread_groups)
    add(of(row.creation_stack, row.start_routine), row.count, static_cast<double>(row.lifetime_ns) * 1e-9, static_cast<double>(row.cpu_ns) * 1e-9,
        static_cast<double>(row.first_t) * 1e-9, static_cast<double>(row.last_t) * 1e-9);
  std::vector<Churn> result;
  for (const auto& [key, churn] : churns) result.push_back(churn);
  std::sort(result.begin(), result.end(), [](const Churn& a, const Churn& b) { return a.count > b.count; });
  return result;
}

// CPU time spent inside thread creation and joining, by the functions on the stack.
double creation_seconds(const Model& model) {
  static constexpr std::array<std::string_view, 10> kCreation = {"pthread_create", "__pthread_create", "clone3", "__clone3", "clone", "__clone", "pthread_join",
                                                                 "std::thread::_M_start_thread", "thrd_create", "__nptl_"};
  std::map<FunctionId, bool> known;
  std::uint64_t ns = 0;
  for (const StackWeight& weight : model.cpu.stacks) {
    StackId node = weight.stack;
    bool creates = false;
    // The outermost frame of every thread is clone itself: frames with a caller only.
    for (; node != 0 && model.recording.nodes[node].parent != 0 && !creates; node = model.recording.nodes[node].parent) {
      const FunctionId function = model.symbols->frames(node).back().function;
      auto [entry, fresh] = known.try_emplace(function, false);
      if (fresh) {
        const std::string bare = bare_name(model.symbols->full_name(function));
        entry->second = std::any_of(kCreation.begin(), kCreation.end(), [&](std::string_view prefix) { return bare.starts_with(prefix); });
      }
      creates = entry->second;
    }
    if (creates) ns += weight.ns;
  }
  return static_cast<double>(ns) * 1e-9;
}

// A churn's part of a figure that is known for all of them.
double part_of(const Churn& churn, std::uint64_t all_threads) {
  return static_cast<double>(churn.count) / static_cast<double>(std::max<std::uint64_t>(all_threads, 1));
}

Gain gain_of(const Model& model, const Churn& churn, double creating) {
  const double cpu = std::max(static_cast<double>(model.cpu.cpu_ns) * 1e-9, 1e-9);
  Gain gain;
  gain.metric = "cpu_time";
  gain.fraction = creating * (1 + kStartAndEnd) / cpu;
  gain.low = creating / cpu;
  gain.high = creating * (1 + kStartAndEndMost) / cpu;
  gain.how = fmt::format("{} of CPU time sampled under creation and joining of {} threads; their own start and end add about {} to it. Wall time gains more where work "
                         "waits for its thread to start or end, which is not known", duration(creating), churn.count, percent(kStartAndEnd));
  return bounded(gain);
}

Severity severity_of(double rate, double cost) {
  if (rate >= kRateHigh || (cost >= kCostHigh && rate >= kRateMedium)) return Severity::high;
  return rate >= kRateMedium || cost >= kCostMedium ? Severity::medium : Severity::low;
}

Finding finding_of(const Model& model, const Churn& churn, double rate, std::uint64_t all_threads) {
  const double creating = creation_seconds(model) * part_of(churn, all_threads);
  const double count = static_cast<double>(churn.count);
  Finding finding;
  finding.rule = "thread-churn";
  finding.category = Category::pools;
  finding.gain = gain_of(model, churn, creating);
  finding.severity = severity_of(rate, finding.gain.fraction);
  if (finding.gain.high < kCostMedium) finding.severity = std::min(finding.severity, Severity::low);  // many, but next to what they do they cost nothing
  finding.confidence = 0.9;
  finding.culprit = churn.creation_stack ? own_frame(model, churn.creation_stack) : frame_at(model, churn.start_routine);
  finding.title = fmt::format("{} creates {:.0f} threads a second that live {} on average", finding.culprit.function, rate, duration(churn.lifetime / count));
  finding.evidence = {count_evidence("threads created and ended", count, "threads"), count_evidence("rate", rate, "threads per second"),
                      seconds_evidence("mean lifetime", churn.lifetime / count), seconds_evidence("mean CPU time of a thread", churn.cpu / count),
                      seconds_evidence("CPU time of its creator for each", creating / count)};
  finding.stacks = creator_stack(model, churn.creation_stack, count, "threads");
  finding.advice = {fmt::format("hand the work to a fixed pool of about {:.0f} threads through a queue instead of creating a thread for each piece", model.timeline.cpus),
                    "for many tiny pieces, hand over batches"};
  finding.verify = fmt::format("{}; the number of threads should stay at the pool's size", record_again(model));
  return finding;
}

}  // namespace

RuleResult thread_churn(const Model& model) {
  if (model.timeline.wall_seconds <= 0) return RuleResult::cannot("the recording holds no stretch of time");
  const std::vector<Churn> churns = churns_of(model);
  std::uint64_t all_threads = 0;
  for (const Churn& churn : churns) all_threads += churn.count;
  RuleResult result;
  for (const Churn& churn : churns) {
    const double span = std::min(churn.last - churn.first + kReportedEvery, std::max(model.timeline.wall_seconds, 0.1));
    const double rate = static_cast<double>(churn.count) / span;
    const bool short_lived = churn.lifetime < kShortLife * static_cast<double>(churn.count);
    if (churn.count >= kFewestThreads && rate >= kRateLow && short_lived) result.findings.push_back(finding_of(model, churn, rate, all_threads));
  }
  result.fine = fmt::format("{} with a life below {}", plural(all_threads, "thread"), duration(kShortLife));
  return result;
}

}  // namespace tailback::analyzers
