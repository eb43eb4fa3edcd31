// SPDX-License-Identifier: Apache-2.0
// Threads that answer, and the calls and stretches of CPU time that keep them from it.
#include <algorithm>
#include <array>
#include <string_view>

#include "analyzers/model/patterns.h"
#include "analyzers/model/pause_finder.h"
#include "analyzers/model/thread_kinds.h"

namespace tailback::analyzers {

using trace::Call;
using trace::CallGroup;

namespace {

constexpr double kShortestCall = 0.01;     // seconds: calls below are not recorded singly
constexpr double kBeyondUsual = 8;         // times as long as the thread's turns usually are
constexpr double kFewestTurns = 50, kTurnsEachSecond = 2;
constexpr double kMostlyFrees = 0.6;       // of the samples in a stretch
constexpr double kFaultSeconds = 0.25e-6;  // the least that a page fault takes
constexpr double kLeastUsual = 0.02;       // of a thread's work: what is not in its longest turns

// Calls in which a thread waits for somebody to ask something of it, or for its next moment. Input of pipes and files is a batch program's daily bread.
bool waits_for_requests(const Recording& recording, const CallKey& key) {
  if (key.call == Call::sleep_until) return true;
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

// ---- who answers ----
// What a runtime waits for inside its collector are not requests.
void PauseFinder::find_turns() {
  std::map<ThreadId, double> waited;
  for (const CallSite& site : waits_.sites) {
    if (site.key.thread && collector_at(site.stack) == Runtime::none && waits_for_requests(recording_, site.key)) waited[site.key.thread] += site.calls;
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
std::map<ThreadId, double> PauseFinder::long_turns() const {
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

bool PauseFinder::beyond_usual(ThreadId thread, double seconds) const { return answers(thread) && seconds >= kBeyondUsual * out_.usual_turn(thread); }

double TurnsSpanRow::end_seconds() const {
  const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; };
  const double usual = last_begin_ns > first_ns ? static_cast<double>(turns - last_turns) / seconds(last_begin_ns - first_ns) : 0;
  return usual > 0 ? std::min(seconds(last_ns), seconds(last_begin_ns) + static_cast<double>(last_turns) / usual) : seconds(last_ns);
}

// Between its first wait and its last: neither starting nor ending. Waits are known by the interval they were summed up in, so what borders
// on the thread's own beginning or end is no service either.
bool PauseFinder::in_service(ThreadId thread, double begin, double end) const {
  const ThreadTable::Row* row = recording_.threads.find(thread);
  if (row && (begin < seconds_of(row->start_ns) + kShortest || end > seconds_of(row->end_ns.value_or(recording_.to_ns)) - kShortest)) return false;
  for (const TurnsSpanRow& span : recording_.pauses.turns)
    if (span.thread == thread) return begin >= seconds_of(span.first_ns) && end <= span.end_seconds();
  return false;
}

// ---- single calls ----
void PauseFinder::calls() {
  for (const LongCallsRow& row : recording_.pauses.long_calls) {
    const PauseCause cause = cause_of_call(row.key.call);
    if (cause == PauseCause::io && !is_disk_call(recording_, row.key)) continue;
    add_calls(cause, row);
  }
}

void PauseFinder::add_calls(PauseCause cause, const LongCallsRow& row) {
  const double end = seconds_of(row.end_ns);
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(row.calls, 1000); ++i) {
    const double seconds = length_of(row, i);
    const bool held_up = seconds >= kShortestCall && beyond_usual(row.key.thread, seconds) && in_service(row.key.thread, end - seconds, end);
    if (!held_up && !(cause == PauseCause::fork && seconds >= kShortest)) break;
    PauseKind& one = kind(cause);
    one.answering = one.answering || held_up;
    add(one, {std::max(0.0, end - seconds), seconds, row.key.thread, row.stack, trace::works_on_endpoint(trace::group_of(row.key.call)) ? row.key.object : 0});
  }
}

// ---- stretches of CPU time of threads that answer ----
void PauseFinder::stretches() {
  const std::vector<const BusyStretchRow*> rows = longest_first([&](const BusyStretchRow& row) { return holds_up(row); });
  if (rows.empty()) return;
  weigh();
  for (const BusyStretchRow* row : rows) add_stretch(*row);
}

bool PauseFinder::holds_up(const BusyStretchRow& row) const {
  const double begin = seconds_of(row.begin), end = seconds_of(row.end);
  return beyond_usual(row.thread, end - begin) && in_service(row.thread, begin, end) && collector_at(row.last_stack) == Runtime::none;
}

void PauseFinder::add_stretch(const BusyStretchRow& row) {
  const double begin = seconds_of(row.begin), seconds = seconds_of(row.end - row.begin);
  PauseCause cause = PauseCause::unknown;
  StackId place = row.stack;
  if (row.stack < below_.size() && below_[row.stack].frees >= kMostlyFrees * below_[row.stack].all) cause = PauseCause::mass_free;
  if (is_shallow(row.stack)) {
    const StackId last = freeing_place(row.last_stack);
    if (last) cause = PauseCause::mass_free;
    if (cause == PauseCause::mass_free) place = last ? last : most_freed_below(row.stack);
  }
  if (cause == PauseCause::unknown && faults_explain(row)) cause = PauseCause::page_faults, place = most_below(row.stack);
  if (cause == PauseCause::unknown) return;  // computing, which is what the rules about CPU time are for
  if (overlaps_pause(row.thread, begin, begin + seconds) && !takes_in_calls(row.thread, begin, begin + seconds)) return;
  PauseKind& one = kind(cause);
  one.answering = true;
  add(one, {begin, seconds, row.thread, place, 0});
}

// Whether what was told of the time are calls that take less than half of it: these are told no more.
bool PauseFinder::takes_in_calls(ThreadId thread, double begin, double end) {
  const auto inside = [&](const Pause& pause) { return (pause.thread == thread || pause.thread == 0) && pause.begin < end && pause.begin + pause.seconds > begin; };
  double in_calls = 0;
  std::vector<PauseKind*> kinds;
  for (auto& [key, kind] : kinds_) {
    if (std::none_of(kind.pauses.begin(), kind.pauses.end(), inside)) continue;
    if (kind.cause != PauseCause::allocator_trim && kind.cause != PauseCause::io) return false;
    for (const Pause& pause : kind.pauses) in_calls += inside(pause) ? std::min(end, pause.begin + pause.seconds) - std::max(begin, pause.begin) : 0;
    kinds.push_back(&kind);
  }
  if (in_calls >= kHalf * (end - begin)) return false;
  for (PauseKind* kind : kinds) std::erase_if(kind->pauses, inside);
  return true;
}

// What a stretch's samples have in common holds what is done before and after as well: the innermost node with most of the CPU time of that.
StackId PauseFinder::most_below(StackId stack) const {
  StackId most = stack;
  for (StackId id = stack; id < below_.size(); ++id)  // a node comes after its parent
    if (recording_.nodes[id].parent == most && below_[id].all > kHalf * below_[stack].all) most = id;
  return most;
}

// What its samples have in common tells nothing but the program: calls from different lines of main, say, which hold all else inlined.
bool PauseFinder::is_shallow(StackId stack) const {
  for (StackId id = stack; id; id = recording_.nodes[id].parent)
    for (const SymbolFrame& frame : symbols_.frames(id)) {
      const std::string& name = symbols_.function_name(frame.function);
      if (name != "main" && !is_thread_plumbing(name, symbols_.module_name(frame.function))) return false;
    }
  return true;
}

// The outermost node of a stack that frees; 0 none does.
StackId PauseFinder::freeing_place(StackId stack) const {
  if (stack >= frees_.size() || !frees_[stack]) return 0;
  while (frees_[recording_.nodes[stack].parent]) stack = recording_.nodes[stack].parent;
  return stack;
}

StackId PauseFinder::most_freed_below(StackId stack) const {
  StackId most = stack;
  double seconds = 0;
  for (StackId id = 1; id < below_.size(); ++id)
    if (frees_[id] && !frees_[recording_.nodes[id].parent] && below_[id].frees > seconds && is_within(id, stack)) most = id, seconds = below_[id].frees;
  return most;
}

// CPU time below each node, and how much of it frees memory.
void PauseFinder::weigh() {
  const auto& nodes = recording_.nodes;
  frees_.assign(nodes.size(), false);
  std::vector<std::int8_t> known(symbols_.function_count() + 1, -1);
  for (StackId id = 1; id < nodes.size(); ++id) frees_[id] = frees_[nodes[id].parent] || frees_at(id, known);
  below_.assign(nodes.size(), {});
  for (const StackWeight& weight : cpu_.stacks) {
    if (weight.stack >= nodes.size()) continue;
    below_[weight.stack].all += static_cast<double>(weight.ns);
    if (frees_[weight.stack]) below_[weight.stack].frees += static_cast<double>(weight.ns);
  }
  for (StackId id = static_cast<StackId>(nodes.size()); --id > 0;) {
    Below& parent = below_[nodes[id].parent];
    parent.all += below_[id].all, parent.frees += below_[id].frees;
  }
}

bool PauseFinder::frees_at(StackId id, std::vector<std::int8_t>& known) const {
  for (const SymbolFrame& frame : symbols_.frames(id)) {
    if (frame.function >= known.size()) known.resize(frame.function + 1, -1);
    if (known[frame.function] < 0) known[frame.function] = frees_memory(bare_name(symbols_.full_name(frame.function)));
    if (known[frame.function]) return true;
  }
  return false;
}

// By the thread's counters around the stretch: most of its time in the kernel, at one fault or more for each quarter of a microsecond of it.
bool PauseFinder::faults_explain(const BusyStretchRow& row) const {
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

}  // namespace tailback::analyzers
