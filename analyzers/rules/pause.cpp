// SPDX-License-Identifier: Apache-2.0
// The process, or a thread that others wait for, stood still, and what it was: one finding for each cause. A collector counts by its part of
// the time also where nobody waits for an answer; everything else only where a thread that answers was held up, or the whole process was.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/model/pauses.h"
#include "analyzers/model/thread_load.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr double kPartLow = 0.01, kPartMedium = 0.03, kPartHigh = 0.10;                // of wall time, of a thread that answers or the process
constexpr double kBatchLow = 0.05, kBatchMedium = 0.10, kBatchHigh = 0.25;             // of a program that nobody waits for in between
constexpr double kLongMedium = 0.05, kLongHigh = 0.2;                                  // seconds: what whoever waits for an answer notices, and does not put up with
constexpr double kMostOfAnswer = 0.3;                                                   // of the mean time to an answer, at least
constexpr double kFewestSamplesOfCollector = 20;

double part_of(const Model& model, const PauseKind& kind) { return kind.seconds / std::max(model.timeline.wall_seconds, 1e-9); }

bool holds_all_up(PauseCause cause) {
  return cause == PauseCause::throttled || cause == PauseCause::stopped || cause == PauseCause::cpu_starvation || cause == PauseCause::unknown;
}

Severity severity_of(const Model& model, const PauseKind& kind, const Gain& gain) {
  const double part = part_of(model, kind), longest = kind.longest();
  if (kind.sampled && 2 * kind.waited < kind.seconds && static_cast<double>(kind.samples) < kFewestSamplesOfCollector) return Severity::info;
  if (!kind.answering && !holds_all_up(kind.cause)) return part >= kBatchHigh ? Severity::high : part >= kBatchMedium ? Severity::medium : part >= kBatchLow ? Severity::low : Severity::info;
  Severity severity = part >= kPartHigh ? Severity::high : part >= kPartMedium ? Severity::medium : part >= kPartLow ? Severity::low : Severity::info;
  if (kind.cause == PauseCause::cpu_starvation || kind.cause == PauseCause::unknown) return std::min(severity, Severity::low);  // the machine's doing
  if (kind.answering && part >= kPartMedium && gain.low >= kMostOfAnswer) return Severity::high;
  if (longest >= kLongMedium) severity = std::max(severity, longest >= kLongHigh ? Severity::high : Severity::medium);
  return severity;
}

// As a person says it, behind "for 35 % of wall time".
std::string what_of(const Model& model, const PauseKind& kind) {
  switch (kind.cause) {
    case PauseCause::stop_the_world:
      if (kind.runtime == Runtime::none) return "one thread at work that all others wait for, as for a collector";
      [[fallthrough]];
    case PauseCause::gc: return fmt::format("garbage collection ({})", to_string(kind.runtime));
    case PauseCause::mass_free: return "freeing many objects at once";
    case PauseCause::page_faults: return "page faults";
    case PauseCause::allocator_trim: return "giving memory back to the system";
    case PauseCause::fork: return "fork, which copies the page tables";
    case PauseCause::io: return kind.pauses.empty() || !kind.pauses.front().object ? "waiting for storage" : fmt::format("waiting for {}", endpoint_name(model.recording.calls.endpoints[kind.pauses.front().object]));
    case PauseCause::throttled: return "the CPU quota of its cgroup";
    case PauseCause::cpu_starvation: return "other programs having the CPUs";
    case PauseCause::stopped: return "being stopped from outside (SIGSTOP, a debugger, a freezer)";
    case PauseCause::unknown: return "a cause that is not known";
  }
  return {};
}

// CPUs that the program wants while it is not held back: the most of any second, and of its threads no more than run.
double wanted_cpus(const Model& model) {
  double most = 0;
  const auto& states = model.recording.cgroup;
  for (std::size_t i = 1; i < states.size(); ++i) {
    const auto grown = [](std::uint64_t from, std::uint64_t to) { return to > from ? static_cast<double>(to - from) : 0.0; };
    const double span = grown(states[i - 1].t, states[i].t), held = std::min(0.95 * span, grown(states[i - 1].throttled_ns, states[i].throttled_ns));
    if (span >= 0.5e9) most = std::max(most, grown(states[i - 1].usage_ns, states[i].usage_ns) / (span - held));
  }
  if (most > 0) return std::min(most, std::max(1.0, static_cast<double>(model.recording.machine.cpus_online)));
  double cpu = 0, length = 0;  // the cgroup does not tell its use: the process's own
  for (const ProcessBin& bin : model.timeline.process) cpu += bin.cpu, length += std::max(0.0, bin.length - bin.throttled);
  return length > 0 ? std::min(cpu / std::max(length, 0.05), static_cast<double>(model.recording.machine.cpus_online)) : 1;
}

std::vector<std::string> advice_for(const Model& model, const PauseKind& kind) {
  switch (kind.cause) {
    case PauseCause::gc: case PauseCause::stop_the_world:
      if (kind.runtime == Runtime::cpython)
        return {"collect more rarely: gc.set_threshold(50_000, 20, 100); after start-up call gc.freeze(), so that what lives for ever is not looked at again",
                "create fewer container objects (tuples of numbers, arrays, __slots__), or switch automatic collection off where nothing refers in circles (gc.disable())"};
      if (kind.runtime == Runtime::boehm)
        return {"give the collector room: GC_set_free_space_divisor(1) or a larger GC_INITIAL_HEAP_SIZE, so that it collects more rarely",
                "allocate blocks without pointers by GC_malloc_atomic, which are not looked through; mark in parallel (GC_MARKERS) or incrementally (GC_enable_incremental)"};
      if (kind.runtime == Runtime::v8)
        return {"give the young generation room: node --max-semi-space-size=64 makes scavenges rarer and promotes less", "allocate less in the hot path: reuse objects and buffers, avoid intermediate arrays"};
      if (kind.runtime == Runtime::hotspot)
        return {"give the heap room, so that it collects more rarely: -Xmx and -Xms alike, -Xlog:gc shows how full it is", "collect beside the program: -XX:+UseZGC or -XX:+UseShenandoahGC; with G1 -XX:MaxGCPauseMillis"};
      if (kind.runtime == Runtime::none) return {"do that work in small pieces between the others' work, or beside them on data that they have handed over", "let each thread look after data of its own, so that none has to wait for the others"};
      return {"give the collector more memory, so that it collects more rarely", "allocate less in the hot path, and keep fewer objects alive"};
    case PauseCause::mass_free:
      return {"free in small pieces between other work, or hand the whole structure to another thread to free",
              "keep the objects in an arena (std::pmr::monotonic_buffer_resource) that is let go at once"};
    case PauseCause::page_faults:
      return {"touch the memory beforehand (MAP_POPULATE, MADV_POPULATE_WRITE, reuse of buffers) or let another thread do it", "larger pages make 512 faults one (madvise MADV_HUGEPAGE)"};
    case PauseCause::allocator_trim:
      return {"do not give memory back on a thread that answers: trim in another thread, or more rarely and with a pad", "let freed memory stay: mallopt(M_TRIM_THRESHOLD) and M_MMAP_THRESHOLD, or the allocator's decay options"};
    case PauseCause::fork:
      return {"start programs by posix_spawn or vfork, which copy no page tables", "fork before the data are loaded, or from a small helper process; larger pages (MADV_HUGEPAGE) make the page tables smaller, at the price of larger copies on write"};
    case PauseCause::io:
      return {"flush and write from another thread, or less often", "spread the writing: sync_file_range or smaller dirty limits keep a flush from finding much to do"};
    case PauseCause::throttled: {
      const double wanted = wanted_cpus(model);
      const double period = model.recording.cgroup.empty() ? 0.1 : static_cast<double>(model.recording.cgroup.back().cpu_period_ns) * 1e-9;
      return {fmt::format("a quota of {:.1f} CPUs would not have stopped it (cpu.max \"{:.0f} {:.0f}\", --cpus {:.1f}, resources.limits.cpu)", std::ceil(wanted * 10) / 10,
                          std::ceil(wanted * 10) / 10 * period * 1e6, period * 1e6, std::ceil(wanted * 10) / 10),
              "or use no more threads than the quota can feed: many runnable threads burn it early in each period"};
    }
    case PauseCause::cpu_starvation: return {"give the program its own CPUs (cpuset) or more weight (cpu.weight, nice), or move the other programs"};
    case PauseCause::stopped: return {"find who stopped it: job control (Ctrl-Z), a debugger, a container's freezer (docker pause), a supervisor"};
    case PauseCause::unknown: return {"look at the host: a virtual machine that is migrated or saved stands still like this"};
  }
  return {};
}

// Who asks at a random moment.
std::vector<Evidence> evidence_of(const Model& model, const PauseKind& kind) {
  std::vector<Evidence> evidence = {seconds_evidence(kind.sampled ? "total (sampled)" : "total", kind.seconds)};
  if (kind.count > 0) evidence.push_back(count_evidence(kind.sampled ? "pauses of 20 ms or more" : "pauses", kind.count, "count"));
  if (!kind.pauses.empty()) {
    evidence.push_back(seconds_evidence("longest", kind.longest()));
    evidence.push_back(seconds_evidence("median", kind.quantile(0.5)));
    evidence.push_back(seconds_evidence("99th percentile", kind.quantile(0.99)));
    const double p99 = kind.added_latency(0.99, model.timeline.wall_seconds), p999 = kind.added_latency(0.999, model.timeline.wall_seconds);
    evidence.push_back(text_evidence("waiting at a random moment", fmt::format("p99 {}, p99.9 {}; without the pauses none", duration(p99), duration(p999))));
  }
  evidence.push_back(fraction_evidence("part of the recording", part_of(model, kind)));
  if (kind.cause == PauseCause::throttled && !model.recording.cgroup.empty()) {
    const trace::CgroupState& state = model.recording.cgroup.back();
    if (state.cpu_period_ns) evidence.push_back(count_evidence("quota", static_cast<double>(state.cpu_quota_ns) / static_cast<double>(state.cpu_period_ns), "CPUs"));
    evidence.push_back(count_evidence("quota that would do", std::ceil(wanted_cpus(model) * 10) / 10, "CPUs"));
  }
  return evidence;
}

// Seconds that a pause of length L adds to all turns of its thread: L to the one that it is part of, and L/2 on average to what comes meanwhile.
double added_by(const Model& model, const Pause& pause) {
  const double each_second = model.pauses.turns(pause.thread) / std::max(model.timeline.wall_seconds, 1e-9);
  return pause.seconds + each_second * pause.seconds * pause.seconds / 2;
}

// Of the mean time to an answer.
Gain gain_in_answers(const Model& model, const PauseKind& kind) {
  double added = 0, all = 0;  // seconds over all turns
  std::map<ThreadId, double> left;  // without these pauses
  for (const Pause& pause : kind.pauses) {
    added += added_by(model, pause);
    left[pause.thread] = model.pauses.turns(pause.thread) * model.pauses.usual_turn(pause.thread);
  }
  for (const PauseKind& other : model.pauses.kinds)
    for (const Pause& pause : other.pauses)
      if (&other != &kind && left.contains(pause.thread)) left[pause.thread] += added_by(model, pause);
  for (const auto& [thread, seconds] : left) all += seconds;
  const auto part = [&](double extra) { return extra > 0 ? extra / (extra + all) : 0; };
  return bounded({"latency", part(added), part(added / 4), part(2 * added), "what the pauses add to the mean time to an answer, for requests that come at random; work on other threads and the network are not counted"});
}

Gain gain_of(const Model& model, const PauseKind& kind) {
  Gain gain;
  if (kind.answering && !kind.pauses.empty()) return gain_in_answers(model, kind);
  if (kind.sampled && !kind.answering) {
    std::vector<bool> stacks(model.recording.nodes.size());
    for (std::size_t i = 0; i < stacks.size(); ++i) stacks[i] = model.pauses.collectors[i].runtime == kind.runtime;
    return gain_of_cpu_time(model, stacks, {0.3, 0.8, 1, "time in the collector, most of which goes when it collects more rarely"});
  }
  gain.metric = "latency";
  gain.fraction = std::min(1.0, part_of(model, kind));
  gain.high = gain.fraction;
  gain.low = gain.fraction / 2;
  gain.how = "time that it stood still, as a part of wall time";
  return bounded(gain);
}

std::string title_of(const Model& model, const PauseKind& kind) {
  const std::string much = fmt::format("{} ({} of the time)", duration(kind.seconds), percent(part_of(model, kind)));
  const std::string longest = kind.pauses.empty() ? "" : fmt::format(", for {} at the longest", duration(kind.longest()));
  if (holds_all_up(kind.cause)) return fmt::format("the process stood still for {} because of {}{}", much, what_of(model, kind), longest);
  const bool all = kind.cause == PauseCause::stop_the_world;
  ThreadId thread = kind.pauses.empty() || all ? 0 : kind.pauses.front().thread;
  for (const Pause& pause : kind.pauses)
    if (pause.thread != thread) thread = 0;
  const std::string who = thread ? thread_label(model, thread) : "the program";
  return fmt::format("{} {} for {} because of {}{}", who, kind.answering ? "answered nobody" : "stood still", much, what_of(model, kind), longest);
}

// The place from which on outward functions have names.
StackId named_from(const Model& model, StackId place) {
  for (StackId node = place; node; node = model.recording.nodes[node].parent)
    if (model.symbols->resolved(model.symbols->frames(node).back().function)) return node;
  return place;
}

Finding finding_of(const Model& model, const PauseKind& kind, Severity severity, Gain gain) {
  Finding finding;
  finding.severity = severity;
  finding.cause = to_string(kind.cause);
  finding.confidence = kind.cause == PauseCause::unknown ? 0.4 : kind.sampled ? 0.9 : 0.85;
  finding.title = title_of(model, kind);
  finding.gain = std::move(gain);
  finding.evidence = evidence_of(model, kind);
  for (const StackWeight& weight : kind.stacks) {
    if (finding.stacks.size() == 2) break;
    const bool cpu = (kind.sampled && 2 * kind.waited <= kind.seconds) || kind.cause == PauseCause::stop_the_world || kind.cause == PauseCause::mass_free || kind.cause == PauseCause::page_faults;
    finding.stacks.push_back({cpu ? "cpu" : "blocked", static_cast<double>(weight.ns) * 1e-9, "seconds", model.symbols->stack(weight.stack)});
  }
  if (!kind.stacks.empty()) {
    StackId place = kind.stacks.front().stack;
    const StackId root = kind.sampled ? model.pauses.collectors[place].root : 0;
    if (root && model.recording.nodes[root].parent) place = named_from(model, model.recording.nodes[root].parent);
    finding.culprit = own_frame(model, place);
  } else {
    finding.culprit.function = model.recording.session.program.empty() ? "the process" : std::string(model.recording.session.program.substr(model.recording.session.program.rfind('/') + 1));
  }
  finding.advice = advice_for(model, kind);
  finding.verify = fmt::format("{}; the pauses by {} should be gone from the table of pauses", record_again(model), to_string(kind.cause));
  return finding;
}

}  // namespace

RuleResult pause(const Model& model) {
  RuleResult result;
  double seconds = 0;
  for (const PauseKind& kind : model.pauses.kinds) {
    seconds += kind.seconds;
    Gain gain = gain_of(model, kind);
    const Severity severity = severity_of(model, kind, gain);
    if (severity != Severity::info) result.findings.push_back(finding_of(model, kind, severity, std::move(gain)));
  }
  result.fine = seconds > 0 ? fmt::format("pauses took {} in all, none of them worth a change", duration(seconds)) : "the process never stood still, and no thread that answers was held up";
  return result;
}

}  // namespace tailback::analyzers
