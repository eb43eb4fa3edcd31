// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/recording_reader.h"

#include <algorithm>
#include <limits>

namespace tailback::analyzers {

namespace {

constexpr std::uint64_t kLatestTime = std::uint64_t{1} << 61;  // 73 years: later times are damage
constexpr std::size_t kMostNotes = 200;
constexpr std::uint16_t kDeepest = 4096;                       // the agent keeps 2048 frames
constexpr std::uint64_t kMillisecond = 1'000'000, kSecond = 1'000'000'000;

std::uint32_t clamp32(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) text += {digits[(c >> 4) & 15], digits[c & 15]};
  return text;
}

}  // namespace

std::uint32_t IdMap::find(std::uint64_t id) const {
  if (id < dense_.size()) return dense_[id];
  if (sparse_.empty()) return kNone;
  const auto at = sparse_.find(id);
  return at == sparse_.end() ? kNone : at->second;
}

bool IdMap::insert(std::uint64_t id, std::uint32_t row) {
  if (find(id) != kNone) return false;
  ++count_;
  if (id >= dense_.size() && id < 8 * (count_ + 512)) grow(id + 1);
  if (id >= dense_.size()) return sparse_.emplace(id, row).second;
  dense_[id] = row;
  return true;
}

// What went to the map before must not be hidden by the array.
void IdMap::grow(std::size_t size) {
  dense_.resize(std::max(size, dense_.size() * 3 / 2), kNone);
  std::erase_if(sparse_, [&](const auto& entry) {
    if (entry.first >= dense_.size()) return false;
    dense_[entry.first] = entry.second;
    return true;
  });
}

RecordingReader::RecordingReader(Recording& recording, const ReadOptions& options)
    : out_(recording),
      options_(options),
      from_(options.from_ns.value_or(0)),
      to_(options.to_ns.value_or(std::numeric_limits<std::uint64_t>::max())),
      cpu_(options.max_cpu_rows, recording.file_bytes / 6),
      calls_(recording.calls, options.max_call_rows, options.max_call_events) {
  out_.nodes.emplace_back();
  depths_.push_back(0);
  // Address space only: pages are touched as samples come.
  out_.samples.reserve(std::min<std::size_t>(options.max_samples, recording.file_bytes / 6));
}

std::string_view RecordingReader::keep(std::string_view text) {
  out_.strings.push_back(std::make_unique<std::string>(text));
  return *out_.strings.back();
}

void RecordingReader::saw(std::uint64_t t) {
  if (t < kLatestTime) out_.duration_ns = std::max(out_.duration_ns, t);
}

void RecordingReader::operator()(const trace::Session& event) {
  if (out_.session.pid) return ignore();
  out_.session = event;
  out_.session.hostname = keep(event.hostname);
  out_.session.program = keep(event.program);
  out_.session.command = keep(event.command);
  out_.session.tool_version = keep(event.tool_version);
}

void RecordingReader::operator()(const trace::Option& event) { out_.options.emplace_back(event.name, event.value); }

void RecordingReader::operator()(const trace::Machine& event) {
  out_.machine = event;
  out_.machine.kernel = keep(event.kernel);
  out_.machine.clocksource = keep(event.clocksource);
}

void RecordingReader::operator()(const trace::SessionEnd& event) {
  saw(event.t);
  out_.end = event;
}

void RecordingReader::operator()(const trace::Loss& event) {
  saw(event.t);
  const auto known = losses_.find(event.what);
  if (known != losses_.end()) {
    const auto what = out_.losses[known->second].what;
    out_.losses[known->second] = event;
    out_.losses[known->second].what = what;
    return;
  }
  losses_.emplace(event.what, out_.losses.size());
  out_.losses.push_back(event);
  out_.losses.back().what = keep(event.what);
}

void RecordingReader::operator()(const trace::Overhead& event) {
  saw(event.t);
  out_.overhead = event;
}

void RecordingReader::operator()(const trace::Governor& event) {
  saw(event.t);
  out_.governor.push_back(event);
  out_.governor.back().reason = keep(event.reason);
}

void RecordingReader::operator()(const trace::Note& event) {
  saw(event.t);
  if (out_.notes.size() < kMostNotes && std::find(out_.notes.begin(), out_.notes.end(), event.text) == out_.notes.end())
    out_.notes.emplace_back(event.text);
}

void RecordingReader::operator()(const trace::Module& event) {
  if (event.id == 0 || event.id > std::numeric_limits<ModuleId>::max() || event.end <= event.start ||
      !modules_.insert(event.id, static_cast<std::uint32_t>(out_.modules.size())))
    return ignore();
  fresh_modules_.push_back(static_cast<std::uint32_t>(out_.modules.size()));
  out_.modules.push_back({static_cast<ModuleId>(event.id), event.start, event.end, event.bias, std::string(event.path),
                          hex(event.build_id), {}});
}

void RecordingReader::operator()(const trace::ModuleUnload& event) {
  saw(event.t);
  const std::uint32_t row = modules_.find(event.id);
  if (row == IdMap::kNone) return ignore();
  out_.modules[row].unloaded_ns = event.t;
  out_.modules[row].last_generation = newest_generation_;
}

void RecordingReader::operator()(const trace::Mapping& event) {
  if (event.end <= event.start) return ignore();
  out_.mappings.push_back({event.start, event.end, std::string(event.name)});
}

void RecordingReader::operator()(const trace::CodeRange& event) {
  out_.code_ranges.push_back({event.start, event.size, clamp32(event.module)});
}

void RecordingReader::operator()(const trace::Symbol& event) {
  out_.symbols.push_back({event.start, event.size, clamp32(event.module), std::string(event.name)});
}

void RecordingReader::operator()(const trace::FrameInfo& event) {
  out_.frame_infos.push_back({event.address, clamp32(event.module), clamp32(event.depth), clamp32(event.line),
                              std::string(event.function), std::string(event.file)});
}

// Stands in for a caller whose record is missing: the stack is known up to here.
StackId RecordingReader::unknown_caller() {
  if (!unknown_caller_) {
    unknown_caller_ = static_cast<StackId>(out_.nodes.size());
    out_.nodes.push_back({0, 0, 1, 0, 0});
    depths_.push_back(0);
  }
  return unknown_caller_;
}

void RecordingReader::operator()(const trace::StackNode& event) {
  if (event.id == 0) return ignore();
  StackId parent = event.parent ? nodes_.find(event.parent) : 0;
  if (parent == IdMap::kNone) {
    ++out_.ignored_records;
    parent = unknown_caller();
  }
  const auto row = static_cast<StackId>(out_.nodes.size());
  if (!nodes_.insert(event.id, depths_[parent] < kDeepest ? row : parent) || depths_[parent] >= kDeepest) return ignore();
  const bool starts_generation = event.kind == 2;
  const std::uint32_t generation = starts_generation ? clamp32(event.address) : out_.nodes[parent].generation;
  if (starts_generation) newest_generation_ = std::max(newest_generation_, generation);
  // The writer announces a module just before the first node in it.
  for (const std::uint32_t module : fresh_modules_) out_.modules[module].first_generation = generation;
  fresh_modules_.clear();
  out_.nodes.push_back({event.address, parent, static_cast<std::uint8_t>(std::min<std::uint64_t>(event.kind, 255)), generation, 0});
  depths_.push_back(static_cast<std::uint16_t>(depths_[parent] + 1));
}

StackId RecordingReader::stack_of(std::uint64_t id) {
  if (!id) return 0;
  const std::uint32_t row = nodes_.find(id);
  return row == IdMap::kNone ? unknown_caller() : row;
}

std::uint32_t RecordingReader::thread_row(std::uint64_t id) {
  if (id == 0 || id > std::numeric_limits<ThreadId>::max()) return IdMap::kNone;
  std::uint32_t row = threads_.find(id);
  if (row != IdMap::kNone) return row;
  row = static_cast<std::uint32_t>(out_.threads.rows.size());
  threads_.insert(id, row);
  ThreadTable::Row made_up;
  made_up.id = static_cast<ThreadId>(id);
  made_up.flags = 2;
  out_.threads.rows.push_back(std::move(made_up));
  name_times_.push_back(0);
  return row;
}

void RecordingReader::operator()(const trace::Thread& event) {
  saw(event.t);
  const std::uint32_t row = thread_row(event.id);
  if (row == IdMap::kNone) return ignore();
  ThreadTable::Row& thread = out_.threads.rows[row];
  thread.tid = event.tid;
  thread.start_ns = std::min(event.t, kLatestTime);
  thread.creator = clamp32(event.creator);
  thread.creation_stack = stack_of(event.creation_stack);
  thread.start_routine = event.start_routine;
  thread.start_argument = event.start_argument;
  thread.flags = event.flags;
}

void RecordingReader::operator()(const trace::ThreadName& event) {
  saw(event.t);
  const std::uint32_t row = thread_row(event.thread);
  if (row == IdMap::kNone) return ignore();
  if (event.t < name_times_[row]) return;
  name_times_[row] = event.t;
  out_.threads.rows[row].name = std::string(event.name);
}

void RecordingReader::operator()(const trace::ThreadState& event) {
  saw(event.t);
  const std::uint32_t row = thread_row(event.thread);
  if (row == IdMap::kNone || event.t >= kLatestTime) return ignore();
  ThreadTable::Row& thread = out_.threads.rows[row];
  if (event.ended) thread.end_ns = event.t;
  auto& states = thread.states;
  const ThreadCounters state{event.t, event.cpu_ns, event.user_ns, event.system_ns, event.run_delay_ns,
                             event.voluntary_switches, event.involuntary_switches, event.minor_faults,
                             event.major_faults, event.samples, event.sampled_ns, event.lost_ns};
  const bool close = states.size() > 1 && state.t - states[states.size() - 2].t < state_spacing_;
  if (!states.empty() && (close || states.back().t == state.t)) {
    states.back() = state;
    return;
  }
  states.push_back(state);
  if (++states_ > options_.max_thread_states) thin_states();
}

// Keeps each thread's states at twice the distance; the last one always stays.
void RecordingReader::thin_states() {
  state_spacing_ = std::max(state_spacing_ * 2, 2 * kSecond);
  states_ = 0;
  for (auto& thread : out_.threads.rows) {
    auto& states = thread.states;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const bool last = i + 1 == states.size();
      if (kept == 0 || last || states[i].t - states[kept - 1].t >= state_spacing_) states[kept++] = states[i];
    }
    states.resize(kept);
    states_ += kept;
  }
}

void RecordingReader::operator()(const trace::ThreadGroup& event) {
  saw(event.t);
  short_lived_cpu_ns_ += event.cpu_ns;
  if (!in_window(event.t)) return;
  const GroupKey key{stack_of(event.creation_stack), event.start_routine, event.start_argument};
  const auto [known, added] = groups_.emplace(key, out_.thread_groups.size());
  if (added) out_.thread_groups.push_back({std::get<0>(key), event.start_routine, event.start_argument, event.t, event.t});
  ThreadGroupRow& group = out_.thread_groups[known->second];
  group.first_t = std::min(group.first_t, event.t);
  group.last_t = std::max(group.last_t, event.t);
  group.count += event.count;
  group.lifetime_ns += event.lifetime_ns;
  group.cpu_ns += event.cpu_ns;
  group.user_ns += event.user_ns;
  group.system_ns += event.system_ns;
  group.run_delay_ns += event.run_delay_ns;
}

void RecordingReader::operator()(const trace::CpuAggregate& event) {
  constexpr std::uint64_t longest = std::numeric_limits<std::uint32_t>::max();
  if (event.end_ms > longest || event.span_ms > event.end_ms || event.thread > longest) return ignore();
  saw(event.end_ms * kMillisecond);
  const std::uint64_t begin = (event.end_ms - event.span_ms) * kMillisecond, end = event.end_ms * kMillisecond;
  const bool inside = in_window(begin + (end - begin) / 2);
  if ((begin < from_ && end > from_) || (begin < to_ && end > to_)) straddling_ns_ += event.weight_ns;
  if (!inside) return;
  const StackId stack = stack_of(event.stack);
  cpu_.add({clamp32(event.end_ms), clamp32(event.span_ms), clamp32(event.thread), stack, clamp32(event.samples), event.weight_ns});
  add_lock_cpu(event.lock, stack, event.weight_ns);
  out_.total_samples += event.samples;
}

void RecordingReader::operator()(const trace::CpuSample& event) {
  if (event.t >= kLatestTime || event.thread > std::numeric_limits<ThreadId>::max()) return ignore();
  saw(event.t);
  if (!in_window(event.t)) return;
  const StackId stack = stack_of(event.stack);
  const auto thread = static_cast<ThreadId>(event.thread);
  if (!(event.flags & 1)) {
    const std::uint32_t end_ms = clamp32((event.t / kSecond + 1) * 1000);
    cpu_.add({end_ms, 1000, thread, stack, 1, event.weight_ns});
    add_lock_cpu(event.lock, stack, event.weight_ns);
    ++out_.total_samples;
  }
  if (out_.samples.size() >= options_.max_samples) {
    ++out_.samples_left_out;
    return;
  }
  out_.samples.push_back({event.t, clamp32(event.weight_ns), thread, stack,
                          static_cast<std::uint16_t>(std::min<std::uint64_t>(event.cpu, 0xffff)),
                          static_cast<std::uint16_t>(event.flags & 0xffff)});
}

void RecordingReader::operator()(const trace::DetailWindow& event) {
  if (event.end < event.begin || event.end >= kLatestTime) return ignore();
  saw(event.end);
  if (event.end <= from_ || event.begin >= to_) return;
  out_.windows.push_back(event);
  out_.windows.back().begin = std::max(event.begin, from_);
  out_.windows.back().end = std::min(event.end, to_);
  out_.windows.back().cause = event.cause.empty() ? std::string_view{} : keep(event.cause);
}

void RecordingReader::operator()(const trace::ProcessState& event) {
  saw(event.t);
  out_.process.push_back(event);
}

void RecordingReader::operator()(const trace::SystemState& event) {
  saw(event.t);
  out_.system.push_back(event);
}

void RecordingReader::operator()(const trace::CgroupState& event) {
  saw(event.t);
  out_.cgroup.push_back(event);
}

}  // namespace tailback::analyzers
