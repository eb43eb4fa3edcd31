// SPDX-License-Identifier: Apache-2.0
// The last step of reading a dump: what needs all of its records. Sorting, modules of the nodes, the window of time and
// the threads asked for.
#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include "analyzers/input_error.h"
#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

// Finds the module that an address meant at the time of a generation. Modules overlap only when one took the addresses of
// another that had been unloaded.
class ModuleIndex {
 public:
  explicit ModuleIndex(std::vector<ModuleRow>& modules) {
    for (auto& module : modules) sorted_.push_back(&module);
    std::sort(sorted_.begin(), sorted_.end(), [](auto* a, auto* b) { return std::tie(a->start, a->id) < std::tie(b->start, b->id); });
    for (const auto* module : sorted_) reach_.push_back(std::max(module->end, reach_.empty() ? 0 : reach_.back()));
    for (std::size_t i = 0; i < sorted_.size(); ++i)
      for (std::size_t k = i + 1; k < sorted_.size() && k - i < kMostOverlaps && sorted_[k]->start < sorted_[i]->end; ++k) end_before(*sorted_[i], *sorted_[k]);
  }

  ModuleId find(std::uint64_t address, std::uint32_t generation) const {
    const auto after = std::upper_bound(sorted_.begin(), sorted_.end(), address, [](auto value, const auto* m) { return value < m->start; });
    const ModuleRow* best = nullptr;
    std::size_t steps = 0;
    for (auto i = after - sorted_.begin(); i-- > 0 && reach_[static_cast<std::size_t>(i)] > address && steps < kMostOverlaps; ++steps) {
      const ModuleRow* module = sorted_[static_cast<std::size_t>(i)];
      if (address >= module->end || generation > module->last_generation) continue;
      // Of those still valid, the one that went away first: the later ones had not taken its place yet.
      if (!best || std::tie(module->last_generation, module->id) < std::tie(best->last_generation, best->id)) best = module;
    }
    return best ? best->id : 0;
  }

 private:
  // Of two modules at one address the first was gone when the second was seen, even if its unloading was written later.
  static void end_before(ModuleRow& a, ModuleRow& b) {
    ModuleRow& first = a.id < b.id ? a : b;
    const ModuleRow& second = a.id < b.id ? b : a;
    if (second.first_generation > first.first_generation) first.last_generation = std::min(first.last_generation, second.first_generation - 1);
  }

  static constexpr std::size_t kMostOverlaps = 256;
  std::vector<ModuleRow*> sorted_;
  std::vector<std::uint64_t> reach_;  // highest end so far
};

std::uint64_t between(std::uint64_t a, std::uint64_t b, double part) {
  return b <= a ? b : a + static_cast<std::uint64_t>(static_cast<double>(b - a) * part);
}

// The counters at a moment, linear between two states; before the first one the thread had used nothing.
ThreadCounters counters_at(const ThreadTable::Row& thread, std::uint64_t t) {
  ThreadCounters before;
  before.t = thread.start_ns;
  for (const auto& state : thread.states) {
    if (state.t > t) {
      if (t <= before.t) break;
      const double part = static_cast<double>(t - before.t) / static_cast<double>(state.t - before.t);
      ThreadCounters now = before;
      now.cpu_ns = between(before.cpu_ns, state.cpu_ns, part);
      now.user_ns = between(before.user_ns, state.user_ns, part);
      now.system_ns = between(before.system_ns, state.system_ns, part);
      now.run_delay_ns = between(before.run_delay_ns, state.run_delay_ns, part);
      now.voluntary_switches = between(before.voluntary_switches, state.voluntary_switches, part);
      now.involuntary_switches = between(before.involuntary_switches, state.involuntary_switches, part);
      now.minor_faults = between(before.minor_faults, state.minor_faults, part);
      now.major_faults = between(before.major_faults, state.major_faults, part);
      now.samples = between(before.samples, state.samples, part);
      now.sampled_ns = between(before.sampled_ns, state.sampled_ns, part);
      now.lost_ns = between(before.lost_ns, state.lost_ns, part);
      now.t = t;
      return now;
    }
    before = state;
  }
  before.t = std::max(before.t, t);
  return before;
}

void subtract(ThreadCounters& counters, const ThreadCounters& base) {
  const auto less = [](std::uint64_t& value, std::uint64_t by) { value = value > by ? value - by : 0; };
  less(counters.cpu_ns, base.cpu_ns);
  less(counters.user_ns, base.user_ns);
  less(counters.system_ns, base.system_ns);
  less(counters.run_delay_ns, base.run_delay_ns);
  less(counters.voluntary_switches, base.voluntary_switches);
  less(counters.involuntary_switches, base.involuntary_switches);
  less(counters.minor_faults, base.minor_faults);
  less(counters.major_faults, base.major_faults);
  less(counters.samples, base.samples);
  less(counters.sampled_ns, base.sampled_ns);
  less(counters.lost_ns, base.lost_ns);
}

// The thread as if it had lived from `from` to `to` only.
void cut_thread(ThreadTable::Row& thread, std::uint64_t from, std::uint64_t to) {
  const ThreadCounters base = counters_at(thread, from), last = counters_at(thread, to);
  std::vector<ThreadCounters> states;
  for (const auto& state : thread.states)
    if (state.t > from && state.t < to) states.push_back(state);
  if (!thread.states.empty() && (states.empty() || states.back().t < last.t)) states.push_back(last);
  for (auto& state : states) subtract(state, base);
  thread.states = std::move(states);
  thread.start_ns = std::max(thread.start_ns, from);
  if (thread.end_ns && *thread.end_ns > to) thread.end_ns.reset();
}

// Keeps the rows inside the window and the one on each side, between which differences are taken.
template <class Row>
void cut_rows(std::vector<Row>& rows, std::uint64_t from, std::uint64_t to) {
  const auto by_time = [](const Row& a, const Row& b) { return a.t < b.t; };
  std::stable_sort(rows.begin(), rows.end(), by_time);
  auto first = std::upper_bound(rows.begin(), rows.end(), Row{.t = from}, by_time);
  if (first != rows.begin()) --first;
  auto last = std::lower_bound(first, rows.end(), Row{.t = to}, by_time);
  if (last != rows.end()) ++last;
  rows.erase(last, rows.end());
  rows.erase(rows.begin(), first);
}

// Turns on connections stay: which thread took part in them is not recorded.
void keep_calls_of(CallTables& calls, const std::unordered_set<ThreadId>& kept) {
  const auto other = [&](const auto& row) { return !kept.contains(row.key.thread); };
  std::erase_if(calls.rows, other);
  std::erase_if(calls.stacks, other);
  std::erase_if(calls.events, other);
  std::erase_if(calls.wake_events, other);
  std::erase_if(calls.wakes, other);
  std::erase_if(calls.spans, other);
  std::erase_if(calls.still_blocked, other);
}

void keep_threads_named(Recording& out, const std::string& name) {
  std::unordered_set<ThreadId> kept;
  std::string others;
  for (const auto& thread : out.threads.rows) {
    if (thread.name == name) kept.insert(thread.id);
    else if (others.size() < 200 && others.find("'" + thread.name + "'") == std::string::npos) others += " '" + thread.name + "'";
  }
  if (kept.empty()) throw InputError(fmt::format("{}: no thread is named '{}'; there are:{}", out.path, name, others));
  std::erase_if(out.threads.rows, [&](const auto& row) { return !kept.contains(row.id); });
  std::erase_if(out.cpu, [&](const auto& row) { return !kept.contains(row.thread); });
  std::erase_if(out.samples, [&](const auto& row) { return !kept.contains(row.thread); });
  keep_calls_of(out.calls, kept);
  out.thread_groups.clear();
  out.total_samples = 0;
  for (const auto& row : out.cpu) out.total_samples += row.samples;
  out.reader_notes.push_back(fmt::format("only threads named '{}'; figures of the process and the machine are of all threads", name));
}

void cut_window(Recording& out) {
  const std::uint64_t from = out.from_ns, to = out.to_ns;
  std::erase_if(out.threads.rows, [&](const auto& row) { return row.start_ns >= to || (row.end_ns && *row.end_ns <= from); });
  for (auto& thread : out.threads.rows) cut_thread(thread, from, to);
  cut_rows(out.process, from, to);
  cut_rows(out.system, from, to);
  cut_rows(out.cgroup, from, to);
}

// Where a thread was when somebody looked at it, in the call that it is still inside of.
StackId stack_seen(const LookTable& look, const BlockedRow& row) {
  for (const ThreadLookRow& thread : look.threads)
    if (thread.thread == row.key.thread && thread.asleep && thread.call == row.key.call && thread.object == row.key.object) return thread.stack;
  return 0;
}

// A call that was not over when a dump was asked for may have ended since and be in the sums: only those of the end stand.
void keep_blocked_at_end(Recording& out) {
  constexpr std::uint64_t kAtTheEnd = 1'000'000'000;
  std::erase_if(out.calls.still_blocked, [&](const BlockedRow& row) { return row.t + kAtTheEnd < out.duration_ns; });
  for (BlockedRow& row : out.calls.still_blocked) {
    if (!row.stack) row.stack = stack_seen(out.look, row);
    row.since = std::clamp(row.since, out.from_ns, out.to_ns);
    row.t = std::clamp(row.t, row.since, out.to_ns);
  }
}

// Threads were taken for stuck, and then one of their waits was over: the agent had no time left to take it back.
void forget_who_went_on(Recording& out) {
  if (!out.locks.stuck) return;
  const auto went_on = [&](const auto& member) {
    return std::any_of(out.calls.spans.begin(), out.calls.spans.end(), [&](const CallSpanRow& row) {
      return row.key.thread == member.thread && row.key.call == member.call && row.key.object == member.object && row.end_ms * std::uint64_t{1'000'000} > out.locks.stuck->t &&
             row.ns >= out.locks.stuck->t - member.since;
    });
  };
  const auto& members = out.locks.stuck->members;
  if (std::any_of(members.begin(), members.end(), went_on)) out.locks.stuck.reset();
}

}  // namespace

// CPU time of a thread whose own record is missing still belongs to a row.
void RecordingReader::know_every_thread() {
  for (const auto& row : out_.cpu) thread_row(row.thread);
  for (const auto& row : out_.samples) thread_row(row.thread);
  for (const auto& row : out_.calls.rows) thread_row(row.key.thread);
  std::sort(out_.threads.rows.begin(), out_.threads.rows.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (auto& thread : out_.threads.rows)
    std::stable_sort(thread.states.begin(), thread.states.end(), [](const auto& a, const auto& b) { return a.t < b.t; });
}

void RecordingReader::attribute_nodes() {
  const ModuleIndex modules(out_.modules);
  for (auto& node : out_.nodes)
    if (node.kind == 0 && node.address) node.module = modules.find(node.address, node.generation);
}

void RecordingReader::say_what_was_cut() {
  auto& notes = out_.reader_notes;
  if (cpu_.merged_ms())
    notes.push_back(fmt::format("CPU time is summed up in intervals of {} s, since the recording is very long", cpu_.merged_ms() / 1000));
  if (out_.samples_left_out)
    notes.push_back(fmt::format("single samples are kept for the first {} only ({} more count in the sums)", out_.samples.size(), out_.samples_left_out));
  if (out_.ignored_records)
    notes.push_back(fmt::format("records that name threads, stacks or modules that are not in the dump: {}", out_.ignored_records));
  if (out_.calls.left_out)
    notes.push_back(fmt::format("calls on so many objects and from so many places were recorded that not all are told apart ({} records)", out_.calls.left_out));
  if (straddling_ns_)
    notes.push_back(fmt::format("{:.3g} s of CPU time were recorded in intervals that lie across the ends of the window; each counts "
                                "as a whole where its middle lies", static_cast<double>(straddling_ns_) * 1e-9));
}

void RecordingReader::finish() {
  out_.cpu = cpu_.take();
  know_every_thread();
  attribute_nodes();
  std::sort(out_.code_ranges.begin(), out_.code_ranges.end(),
            [](const auto& a, const auto& b) { return std::tie(a.module, a.start) < std::tie(b.module, b.start); });
  for (const auto& thread : out_.threads.rows) out_.whole_cpu_ns += thread.states.empty() ? 0 : thread.states.back().cpu_ns;
  out_.whole_cpu_ns += short_lived_cpu_ns_;
  out_.from_ns = from_;
  out_.to_ns = std::min(to_, out_.duration_ns);
  if (options_.from_ns || options_.to_ns) {
    if (out_.from_ns >= out_.to_ns)
      throw InputError(fmt::format("{}: the window from {:.3f} s to {:.3f} s is empty; the recording lasts {:.3f} s", out_.path,
                                   static_cast<double>(from_) * 1e-9, static_cast<double>(out_.to_ns) * 1e-9,
                                   static_cast<double>(out_.duration_ns) * 1e-9));
    cut_window(out_);
  }
  keep_blocked_at_end(out_);
  forget_who_went_on(out_);
  if (!options_.thread.empty()) keep_threads_named(out_, options_.thread);
  say_what_was_cut();
}

}  // namespace tailback::analyzers
