// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/pauses.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {

using trace::Call;
using trace::CallGroup;

namespace {

constexpr double kShortest = 0.02;         // seconds: stretches below are not recorded
constexpr double kShortestCall = 0.01;     // likewise calls
constexpr double kBeyondUsual = 8;         // times as long as the thread's turns usually are
constexpr double kFewestTurns = 50, kTurnsEachSecond = 2;
constexpr double kMostlyFrees = 0.6;       // of the samples in a stretch
constexpr double kFaultSeconds = 0.25e-6;  // the least that a page fault takes
constexpr double kHalf = 0.5;
constexpr std::size_t kFewestWorlds = 3;
constexpr double kMostWorlds = 0.6;        // of the stops in which the same function ran
constexpr double kOnlyThen = 1.3;          // times the length of all stops: the function hardly runs otherwise
constexpr double kLeastUsual = 0.02;       // of a thread's work: what is not in its longest turns
constexpr std::size_t kMostStacks = 5;

double seconds_of(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Calls in which a thread waits for somebody to ask something of it. Input of pipes and files is a batch program's daily bread.
bool waits_for_requests(const Recording& recording, const CallKey& key) {
  if (!trace::ends_a_turn(key.call)) return false;
  switch (trace::group_of(key.call)) {
    case CallGroup::multiplex: case CallGroup::condition: case CallGroup::semaphore: case CallGroup::futex: return true;
    case CallGroup::connection: return key.call == Call::accept;
    case CallGroup::input: {
      const auto kind = key.object < recording.calls.endpoints.size() ? recording.calls.endpoints[key.object].kind : trace::EndpointKind::unknown;
      return kind == trace::EndpointKind::tcp_accepted || kind == trace::EndpointKind::unix_socket || kind == trace::EndpointKind::udp;
    }
    default: return false;
  }
}

bool frees_memory(std::string_view name) {
  static constexpr std::array<std::string_view, 12> exact = {"free", "cfree", "__libc_free", "_int_free", "_int_free_merge_chunk", "malloc_consolidate", "unlink_chunk", "g_free",
                                                             "_Py_Dealloc", "subtype_dealloc", "std::_Sp_counted_base::_M_release", "munmap"};
  if (std::find(exact.begin(), exact.end(), name) != exact.end() || name.starts_with("operator delete") || name.starts_with("core::ptr::drop_in_place")) return true;
  if (name.find("::~") != std::string_view::npos || name.ends_with("_dealloc")) return true;
  return name.starts_with("std::") && (name.ends_with("::_M_erase") || name.ends_with("::_M_dispose") || name.ends_with("::clear") || name.ends_with("::_M_clear") ||
                                       name.ends_with("::_M_destroy") || name.ends_with("::reset"));
}

PauseCause cause_of_call(Call call) {
  switch (call) {
    case Call::fork: return PauseCause::fork;
    case Call::trim: case Call::unmap: case Call::advise: return PauseCause::allocator_trim;
    case Call::map: case Call::remap: case Call::protect: return PauseCause::page_faults;  // mapping is quick, populating is not
    default: return PauseCause::io;
  }
}

bool is_disk_call(const Recording& recording, const CallKey& key) {
  const CallGroup group = trace::group_of(key.call);
  if (group == CallGroup::flush) return true;
  const bool moves = group == CallGroup::output || group == CallGroup::input || group == CallGroup::metadata || group == CallGroup::copy;
  return moves && key.object < recording.calls.endpoints.size() && is_disk(recording.calls.endpoints[key.object].kind);
}

}  // namespace

class PauseFinder {
 public:
  PauseFinder(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits)
      : recording_(recording), symbols_(symbols), cpu_(cpu), timeline_(timeline), waits_(waits), collectors_(collector_nodes(recording, symbols)) {
    out_.wall_seconds = timeline.wall_seconds;
  }

  Pauses find() {
    find_turns();
    collections();
    stopped_worlds();
    standstills();
    throttling();
    calls();
    stretches();
    for (auto& [cause, kind] : kinds_) finish(kind);
    std::stable_sort(out_.kinds.begin(), out_.kinds.end(), [](const PauseKind& a, const PauseKind& b) { return a.seconds > b.seconds; });
    return std::move(out_);
  }

 private:
  PauseKind& kind(PauseCause cause, Runtime runtime = Runtime::none) {
    PauseKind& kind = kinds_[{cause, runtime}];
    kind.cause = cause;
    kind.runtime = runtime;
    return kind;
  }

  // ---- who answers ----
  // What a runtime waits for inside its collector are not requests.
  void find_turns() {
    std::map<ThreadId, double> waited;
    for (const CallSite& site : waits_.sites) {
      const bool collecting = site.stack < collectors_.size() && collectors_[site.stack].runtime != Runtime::none;
      if (site.key.thread && !collecting && waits_for_requests(recording_, site.key)) waited[site.key.thread] += site.calls;
    }
    const std::map<ThreadId, double> long_ones = long_turns();
    for (const auto& [thread, turns] : waited) {
      const ThreadWaits* waits = waits_.find(thread);
      if (!waits || turns < std::max(kFewestTurns, kTurnsEachSecond * waits->alive)) continue;
      const double work = waits->running + waits->runnable, beyond = long_ones.contains(thread) ? long_ones.at(thread) : 0;
      out_.turns_.push_back({thread, std::max({1e-6, work - beyond, kLeastUsual * work}) / turns, turns});
    }
  }
  // Of each thread, the time in stretches and calls that may be pauses.
  std::map<ThreadId, double> long_turns() const {
    std::map<ThreadId, double> sums;
    std::map<ThreadId, std::uint64_t> told_until;
    std::vector<BusyStretchRow> rows = recording_.pauses.stretches;
    std::stable_sort(rows.begin(), rows.end(), [](const auto& x, const auto& y) { return x.begin < y.begin; });
    for (const BusyStretchRow& row : rows) {
      std::uint64_t& until = told_until[row.thread];
      if (row.end > until) sums[row.thread] += seconds_of(row.end - std::max(row.begin, until)), until = row.end;
    }
    for (const LongCallsRow& row : recording_.pauses.long_calls)
      if (trace::group_of(row.key.call) == CallGroup::memory) sums[row.key.thread] += seconds_of(row.ns);
    return sums;
  }
  bool answers(ThreadId thread) const { return out_.usual_turn(thread) > 0; }
  bool beyond_usual(ThreadId thread, double seconds) const { return answers(thread) && seconds >= kBeyondUsual * out_.usual_turn(thread); }
  // Between its first wait and its last: neither starting nor ending.
  bool in_service(ThreadId thread, double begin, double end) const {
    for (const TurnsSpanRow& row : recording_.pauses.turns)
      if (row.thread == thread) return begin >= seconds_of(row.first_ns) && end <= seconds_of(row.last_ns);
    return false;
  }

  // ---- collectors ----
  // All their time by the samples; the single collections by the stretches in which nothing else ran.
  void collections() {
    for (const StackWeight& weight : cpu_.stacks) {
      if (weight.stack >= collectors_.size()) continue;
      const CollectorNode& collector = collectors_[weight.stack];
      if (collector.runtime == Runtime::none) continue;
      PauseKind& kind = of_collector(collector.runtime);
      kind.sampled = true;
      kind.seconds += seconds_of(weight.ns);
      kind.samples += weight.samples;
      kind.stacks.push_back(weight);
    }
    for (const BusyStretchRow* row : longest_first([&](const BusyStretchRow& row) { return is_collection(row); })) {
      const double begin = seconds_of(row->begin), seconds = seconds_of(row->end - row->begin);
      if (overlaps_pause(row->thread, begin, begin + seconds)) continue;
      PauseKind& kind = of_collector(collectors_[row->last_stack].runtime);
      kind.pauses.push_back({begin, seconds, row->thread, row->last_stack, 0});
      kind.seconds += std::max(0.0, seconds - seconds_of(row->weight_ns));  // it waited for its helpers, or for a CPU
      kind.answering = kind.answering || answers(row->thread);
    }
  }
  template <class Wanted>
  std::vector<const BusyStretchRow*> longest_first(Wanted wanted) const {
    std::vector<const BusyStretchRow*> rows;
    for (const BusyStretchRow& row : recording_.pauses.stretches)
      if (wanted(row)) rows.push_back(&row);
    const auto order = [](const BusyStretchRow* a, const BusyStretchRow* b) { return std::pair(b->end - b->begin, a->begin) < std::pair(a->end - a->begin, b->begin); };
    std::stable_sort(rows.begin(), rows.end(), order);
    return rows;
  }
  PauseKind& of_collector(Runtime runtime) { return kind(runtime == Runtime::hotspot ? PauseCause::stop_the_world : PauseCause::gc, runtime); }

  // The stretch is one collection: it begins within it, and all its samples lie below the place that called the collector.
  bool is_collection(const BusyStretchRow& row) const {
    if (row.last_stack >= collectors_.size()) return false;
    const CollectorNode& collector = collectors_[row.last_stack];
    if (collector.runtime == Runtime::none) return false;
    const StackId caller = recording_.nodes[collector.root].parent;
    return is_within(collector.root, row.outermost) && (caller == 0 || is_within(row.stack, caller));
  }
  bool is_within(StackId node, StackId ancestor) const {
    while (node > ancestor) node = recording_.nodes[node].parent;  // parents come before children
    return node == ancestor;
  }

  // ---- unknown runtimes that stop the world ----
  // Threads of one kind, of which any one works while all others wait, in a function that hardly ever runs otherwise. A pool that waits for
  // work from another thread, and threads that wait for the slowest of them, do the same; but there the one works as the others do, or is another.
  void stopped_worlds() {
    struct Seen { const WorldStoppedRow* world; const BusyStretchRow* stretch; };
    std::vector<Seen> seen;
    std::map<FunctionId, std::size_t> functions;
    double all = 0;
    for (const WorldStoppedRow& world : recording_.pauses.worlds) {
      if (!same_kind(world.thread, world.waiter)) continue;
      const BusyStretchRow* stretch = stretch_in(world);
      if (!stretch || collectors_[stretch->last_stack].runtime != Runtime::none) continue;
      seen.push_back({&world, stretch});
      all += seconds_of(world.end - world.begin);
      for (const FunctionId function : functions_of(*stretch)) ++functions[function];
    }
    const FunctionTime* collector = nullptr;
    for (const auto& [function, count] : functions) {
      const FunctionTime* time = cpu_.function(function);
      if (!time || static_cast<double>(count) < kMostWorlds * static_cast<double>(seen.size()) || seconds_of(time->total_ns) > kOnlyThen * all) continue;
      if (!collector || time->total_ns > collector->total_ns) collector = time;
    }
    if (seen.size() < kFewestWorlds || !collector) return;
    PauseKind& kind = this->kind(PauseCause::stop_the_world);
    for (const Seen& one : seen) kind.pauses.push_back({seconds_of(one.world->begin), seconds_of(one.world->end - one.world->begin), one.world->thread, one.stretch->last_stack, 0});
  }
  bool same_kind(ThreadId a, ThreadId b) const {
    const ThreadTable::Row *one = recording_.threads.find(a), *other = recording_.threads.find(b);
    return one && other && one->start_routine && one->start_routine == other->start_routine && one->start_argument == other->start_argument;
  }
  const BusyStretchRow* stretch_in(const WorldStoppedRow& world) const {
    constexpr std::uint64_t kSlack = 30'000'000;
    const BusyStretchRow* best = nullptr;
    for (const BusyStretchRow& row : recording_.pauses.stretches) {
      if (row.thread != world.thread || row.begin + kSlack < world.begin || row.begin > world.end || row.last_stack >= collectors_.size()) continue;
      const std::uint64_t common = std::min(row.end, world.end) - std::min(std::max(row.begin, world.begin), std::min(row.end, world.end));
      if (2 * common >= world.end - world.begin && (!best || row.end - row.begin > best->end - best->begin)) best = &row;
    }
    return best;
  }
  // What began with it: the calls that lasted as long, and the one below.
  std::vector<FunctionId> functions_of(const BusyStretchRow& row) const {
    std::vector<FunctionId> functions;
    StackId node = row.last_stack;
    while (node > row.stack && recording_.nodes[node].parent > row.stack) node = recording_.nodes[node].parent;
    for (; node; node = recording_.nodes[node].parent) {
      const FunctionId function = symbols_.frames(node).back().function;
      if (std::find(functions.begin(), functions.end(), function) == functions.end()) functions.push_back(function);
      if (node == row.outermost) break;
    }
    return functions;
  }

  // ---- the process stood still ----
  void standstills() {
    std::vector<PauseSeenRow> seen = recording_.pauses.seen;
    std::stable_sort(seen.begin(), seen.end(), [](const auto& a, const auto& b) { return std::pair(b.source, a.begin) < std::pair(a.source, b.begin); });
    std::vector<PauseSeenRow> told;  // what the launcher saw is exact and comes first
    for (const PauseSeenRow& row : seen) {
      const bool known = std::any_of(told.begin(), told.end(), [&](const PauseSeenRow& other) { return row.begin < other.end && other.begin < row.end; });
      if (known) continue;
      told.push_back(row);
      const double seconds = seconds_of(row.end - row.begin);
      const PauseCause cause = cause_of_standstill(row);
      if (cause == PauseCause::unknown && seconds < 5 * kShortest) continue;  // a virtual machine's own hiccup
      kind(cause).pauses.push_back({seconds_of(row.begin), seconds, 0, 0, 0});
    }
  }
  static PauseCause cause_of_standstill(const PauseSeenRow& row) {
    const double length = static_cast<double>(row.end - row.begin);
    const auto most = [&](std::uint64_t ns) { return static_cast<double>(ns) >= kHalf * length; };
    if (row.source == 1) return PauseCause::stopped;
    if (most(row.throttled_ns)) return PauseCause::throttled;
    const bool ran = static_cast<double>(row.process_cpu_ns) > 0.1 * length;
    if (row.stops && !ran) return PauseCause::stopped;
    if (most(row.run_delay_ns) || most(row.steal_ns) || ran) return PauseCause::cpu_starvation;
    return PauseCause::unknown;
  }

  // The cgroup's own count, where the quota stopped the process more often than the agent's thread could see.
  void throttling() {
    const auto& states = recording_.cgroup;
    if (states.size() < 2 || states.back().cpu_quota_ns == 0) return;
    const auto grown = [](std::uint64_t from, std::uint64_t to) { return to > from ? to - from : 0; };
    const std::uint64_t periods = grown(states.front().throttled_periods, states.back().throttled_periods);
    double seconds = 0;
    for (std::size_t i = 1; i < states.size(); ++i) {  // counted for each CPU: no more than the time that passed
      const double span = seconds_of(grown(states[i - 1].t, states[i].t));
      seconds += std::min(span, seconds_of(grown(states[i - 1].throttled_ns, states[i].throttled_ns)));
    }
    if (periods == 0) return;
    PauseKind& throttled = kind(PauseCause::throttled);
    throttled.count = static_cast<double>(periods);
    throttled.seconds = seconds;
  }

  // ---- single calls ----
  void calls() {
    for (const LongCallsRow& row : recording_.pauses.long_calls) {
      const PauseCause cause = cause_of_call(row.key.call);
      if (cause == PauseCause::io && !is_disk_call(recording_, row.key)) continue;
      add_calls(cause, row);
    }
  }
  // Of several calls in the half second, the longest is known; the others are taken to be alike.
  void add_calls(PauseCause cause, const LongCallsRow& row) {
    const double longest = seconds_of(row.longest_ns), others = row.calls > 1 ? seconds_of(row.ns - std::min(row.ns, row.longest_ns)) / static_cast<double>(row.calls - 1) : 0;
    const double end = seconds_of(row.end_ns);
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(row.calls, 1000); ++i) {
      const double seconds = i == 0 ? longest : others;
      const bool held_up = seconds >= kShortestCall && beyond_usual(row.key.thread, seconds) && in_service(row.key.thread, end - seconds, end);
      if (!held_up && !(cause == PauseCause::fork && seconds >= kShortest)) break;
      PauseKind& one = kind(cause);
      one.answering = one.answering || held_up;
      one.pauses.push_back({std::max(0.0, end - seconds), seconds, row.key.thread, row.stack, trace::works_on_endpoint(trace::group_of(row.key.call)) ? row.key.object : 0});
    }
  }

  // ---- stretches of CPU time of threads that answer ----
  void stretches() {
    const std::vector<const BusyStretchRow*> rows = longest_first([&](const BusyStretchRow& row) { return holds_up(row); });
    if (rows.empty()) return;
    weigh();
    for (const BusyStretchRow* row : rows) add_stretch(*row);
  }
  bool holds_up(const BusyStretchRow& row) const {
    const double begin = seconds_of(row.begin), end = seconds_of(row.end);
    return beyond_usual(row.thread, end - begin) && in_service(row.thread, begin, end) && row.last_stack < collectors_.size() && collectors_[row.last_stack].runtime == Runtime::none;
  }
  void add_stretch(const BusyStretchRow& row) {
    const double begin = seconds_of(row.begin), seconds = seconds_of(row.end - row.begin);
    if (overlaps_pause(row.thread, begin, begin + seconds)) return;  // a call inside one that was told
    PauseCause cause = PauseCause::unknown;
    if (row.stack < below_.size() && below_[row.stack].frees >= kMostlyFrees * below_[row.stack].all) cause = PauseCause::mass_free;
    else if (faults_explain(row)) cause = PauseCause::page_faults;
    if (cause == PauseCause::unknown) return;  // computing, which is what the rules about CPU time are for
    PauseKind& one = kind(cause);
    one.answering = true;
    one.pauses.push_back({begin, seconds, row.thread, row.stack, 0});
  }
  bool overlaps_pause(ThreadId thread, double begin, double end) const {
    for (const auto& [cause, known] : kinds_)
      for (const Pause& pause : known.pauses)
        if ((pause.thread == thread || pause.thread == 0) && begin < pause.begin + pause.seconds && pause.begin < end) return true;
    return false;
  }

  struct Below { double all = 0, frees = 0; };
  // CPU time below each node, and how much of it frees memory.
  void weigh() {
    const auto& nodes = recording_.nodes;
    std::vector<bool> frees(nodes.size());
    std::vector<std::int8_t> known(symbols_.function_count() + 1, -1);
    for (StackId id = 1; id < nodes.size(); ++id) frees[id] = frees[nodes[id].parent] || frees_at(id, known);
    below_.assign(nodes.size(), {});
    for (const StackWeight& weight : cpu_.stacks) {
      if (weight.stack >= nodes.size()) continue;
      below_[weight.stack].all += static_cast<double>(weight.ns);
      if (frees[weight.stack]) below_[weight.stack].frees += static_cast<double>(weight.ns);
    }
    for (StackId id = static_cast<StackId>(nodes.size()); --id > 0;) {
      Below& parent = below_[nodes[id].parent];
      parent.all += below_[id].all, parent.frees += below_[id].frees;
    }
  }
  bool frees_at(StackId id, std::vector<std::int8_t>& known) const {
    for (const SymbolFrame& frame : symbols_.frames(id)) {
      if (frame.function >= known.size()) known.resize(frame.function + 1, -1);
      if (known[frame.function] < 0) known[frame.function] = frees_memory(bare_name(symbols_.full_name(frame.function)));
      if (known[frame.function]) return true;
    }
    return false;
  }

  // By the thread's counters around the stretch: most of its time in the kernel, at one fault or more for each quarter of a microsecond of it.
  bool faults_explain(const BusyStretchRow& row) const {
    const ThreadTable::Row* thread = recording_.threads.find(row.thread);
    if (!thread) return false;
    const auto& states = thread->states;
    const auto after = std::find_if(states.begin(), states.end(), [&](const ThreadCounters& state) { return state.t >= row.end; });
    if (after == states.begin() || after == states.end()) return false;
    auto before = after;
    while (before != states.begin() && before->t > row.begin) --before;
    const auto grown = [](std::uint64_t from, std::uint64_t to) { return to > from ? static_cast<double>(to - from) : 0.0; };
    const double length = seconds_of(row.end - row.begin), system = grown(before->system_ns, after->system_ns) * 1e-9;
    const double faults = grown(before->minor_faults, after->minor_faults);
    return system >= kHalf * length && faults * kFaultSeconds >= kHalf * kHalf * length;
  }

  // ---- the figures of a kind ----
  void finish(PauseKind& kind) {
    std::stable_sort(kind.pauses.begin(), kind.pauses.end(), [](const Pause& a, const Pause& b) { return a.begin < b.begin; });
    if (kind.count <= 0) kind.count = static_cast<double>(kind.pauses.size());
    if (!kind.sampled && kind.seconds <= 0)
      for (const Pause& pause : kind.pauses) kind.seconds += pause.seconds;
    if (kind.cause == PauseCause::throttled && kind.pauses.size() > kind.count) kind.count = static_cast<double>(kind.pauses.size());
    if (!kind.sampled) gather_stacks(kind);
    std::stable_sort(kind.stacks.begin(), kind.stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
    if (kind.stacks.size() > kMostStacks) kind.stacks.resize(kMostStacks);
    if (kind.seconds > 0) out_.kinds.push_back(std::move(kind));
  }
  static void gather_stacks(PauseKind& kind) {
    std::map<StackId, StackWeight> stacks;
    for (const Pause& pause : kind.pauses) {
      if (!pause.stack) continue;
      StackWeight& weight = stacks[pause.stack];
      weight.stack = pause.stack, weight.ns += static_cast<std::uint64_t>(pause.seconds * 1e9), ++weight.samples;
    }
    for (const auto& [stack, weight] : stacks) kind.stacks.push_back(weight);
  }

  const Recording& recording_;
  const Symbols& symbols_;
  const CpuProfile& cpu_;
  const Timeline& timeline_;
  const Waits& waits_;
  const std::vector<CollectorNode> collectors_;
  std::vector<Below> below_;
  std::map<std::pair<PauseCause, Runtime>, PauseKind> kinds_;
  Pauses out_;
};

const char* to_string(PauseCause cause) {
  static constexpr std::array<const char*, kPauseCauses> names = {"gc", "stop-the-world", "mass-free", "page-faults", "allocator-trim", "fork",
                                                                  "io", "throttled",      "cpu-starvation", "stopped", "unknown"};
  return names[static_cast<std::size_t>(cause)];
}

double PauseKind::longest() const {
  double most = 0;
  for (const Pause& pause : pauses) most = std::max(most, pause.seconds);
  return most;
}

double PauseKind::quantile(double part) const {
  if (pauses.empty()) return 0;
  std::vector<double> lengths;
  for (const Pause& pause : pauses) lengths.push_back(pause.seconds);
  std::sort(lengths.begin(), lengths.end());
  return lengths[std::min(lengths.size() - 1, static_cast<std::size_t>(part * static_cast<double>(lengths.size())))];
}

// A moment inside a pause of length L waits for more than x with L - x of its time: the sum over all pauses against the part that is left.
double PauseKind::added_latency(double part, double wall_seconds) const {
  const double beyond = (1 - part) * wall_seconds;
  double low = 0, high = longest();
  for (int step = 0; step < 50; ++step) {
    const double middle = (low + high) / 2;
    double sum = 0;
    for (const Pause& pause : pauses) sum += std::max(0.0, pause.seconds - middle);
    (sum > beyond ? low : high) = middle;
  }
  return high < 1e-6 ? 0 : high;
}

const Pauses::Turns* Pauses::find(ThreadId thread) const {
  const auto at = std::lower_bound(turns_.begin(), turns_.end(), thread, [](const Turns& turns, ThreadId id) { return turns.thread < id; });
  return at != turns_.end() && at->thread == thread ? &*at : nullptr;
}

double Pauses::usual_turn(ThreadId thread) const {
  const Turns* turns = find(thread);
  return turns ? turns->each : 0;
}

double Pauses::turns(ThreadId thread) const {
  const Turns* turns = find(thread);
  return turns ? turns->count : 0;
}

Pauses Pauses::build(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Timeline& timeline, const Waits& waits) {
  return PauseFinder(recording, symbols, cpu, timeline, waits).find();
}

}  // namespace tailback::analyzers
