// SPDX-License-Identifier: Apache-2.0
// How far a recording can be trusted, in figures and in words: losses, gaps, what the agent itself cost.
#include <cstring>

#include <fmt/format.h>

#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr double kWorthNoting = 0.02;  // share of CPU time without a stack
constexpr std::size_t kMostChanges = 5;

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

std::string amount(double value) { return value < 0.1 ? fmt::format("{:.3g} ms", 1e3 * value) : fmt::format("{:.3g} s", value); }

double truncated_fraction(const Model& model) {
  const auto& nodes = model.recording.nodes;
  std::vector<bool> cut(nodes.size());  // a parent comes before its children
  for (std::size_t id = 1; id < nodes.size(); ++id) cut[id] = nodes[id].kind == 1 || nodes[id].kind == 3 || cut[nodes[id].parent];
  std::uint64_t all = 0, truncated = 0;
  for (const StackWeight& weight : model.cpu.stacks) {
    all += weight.ns;
    if (weight.stack == 0 || cut[weight.stack]) truncated += weight.ns;
  }
  return all ? static_cast<double>(truncated) / static_cast<double>(all) : 0;
}

double overhead_fraction(const Recording& recording) {
  const auto& cost = recording.overhead;
  const double agent = static_cast<double>(cost.handler_ns) + static_cast<double>(cost.delivery_ns) +
                       static_cast<double>(cost.helper_cpu_ns) + static_cast<double>(cost.hook_ns);
  return recording.whole_cpu_ns ? std::min(1.0, agent / static_cast<double>(recording.whole_cpu_ns)) : 0;
}

std::string detail_of(const Model& model) {
  const Source& source = model.recording.source;
  if (!source.format.empty()) return fmt::format("{}: {}", source.format, source.holds);
  double covered = 0;
  bool everything = false;
  for (const auto& window : model.recording.windows) {
    covered += seconds(window.end - window.begin);
    everything |= window.reason == 2 && window.begin == 0 && window.end >= model.recording.duration_ns - model.recording.duration_ns / 100;
  }
  std::string text = "CPU time, switches, faults and run-queue delay of threads: exact counters of the kernel; where CPU time went: ";
  text += fmt::format("{} sample{}", model.cpu.samples, model.cpu.samples == 1 ? "" : "s");
  if (model.cpu.samples) text += fmt::format(", one for each {:.3g} ms of CPU time on average", 1e3 * seconds(model.cpu.sampled_ns) / static_cast<double>(model.cpu.samples));
  if (everything) text += "; single samples: of the whole run";
  else if (covered > 0 && model.timeline.wall_seconds > 0)
    text += fmt::format("; single samples: in detailed windows covering {:.3g} % of the time", std::min(100.0, 100 * covered / model.timeline.wall_seconds));
  return text;
}

void note_end(const Recording& recording, std::vector<std::string>& notes) {
  if (!recording.source.format.empty()) {
    if (!recording.complete) notes.push_back(fmt::format("the {} is cut short: what it holds was used", recording.source.format));
    return;
  }
  const auto& exit = recording.exit_status;
  const bool killed = exit && !exit->exited;
  const char* name = killed ? sigabbrev_np(static_cast<int>(exit->status & 0x7f)) : nullptr;
  const std::string by = name ? fmt::format("killed by SIG{}", name) : "killed by a signal";
  if (recording.complete) {
    if (recording.end->reason == 4) notes.push_back("the program replaced itself by exec; what it became, where it could be recorded, has a dump of its own");
    return;
  }
  if (killed) notes.push_back(fmt::format("the program was {}; at most the last second is missing", by));
  else if (exit) notes.push_back("the recording broke off before the program ended; at most its last second is missing");
  else notes.push_back("the recording did not end in order: the program was killed, crashed, or still runs; at most the last second is missing");
}

void note_damage(const Recording& recording, std::vector<std::string>& notes) {
  const auto& quality = recording.quality;
  if (quality.damaged_blocks || quality.damaged_records)
    notes.push_back(fmt::format("the file is damaged: {} blocks of {} and the rest of {} more could not be read", quality.damaged_blocks,
                                quality.damaged_blocks + quality.blocks, quality.damaged_records));
  if (quality.unknown_records)
    notes.push_back(fmt::format("left out: {} records of kinds that only a newer tailback knows", quality.unknown_records));
}

void note_losses(const Recording& recording, std::vector<std::string>& notes) {
  for (const auto& loss : recording.losses)
    if (loss.count) notes.push_back(fmt::format("lost: {} {}", loss.count, loss.what));
  std::size_t said = 0;
  for (const auto& change : recording.governor) {
    if (said++ == kMostChanges) {
      notes.push_back(fmt::format("{} further changes of the sampling rate", recording.governor.size() - kMostChanges));
      break;
    }
    if (!change.period_ns) notes.push_back(fmt::format("from {:.1f} s no samples were taken: {}", seconds(change.t), change.reason));
    else notes.push_back(fmt::format("from {:.1f} s one sample for each {:.3g} ms of CPU time: {}", seconds(change.t), seconds(change.period_ns) * 1e3, change.reason));
  }
}

void note_threads(const Model& model, std::vector<std::string>& notes) {
  const auto& profile = model.cpu;
  const std::uint64_t unsampled = profile.cpu_ns > profile.sampled_ns ? profile.cpu_ns - profile.sampled_ns : 0;
  if (profile.cpu_ns && static_cast<double>(unsampled) > kWorthNoting * static_cast<double>(profile.cpu_ns))
    notes.push_back(fmt::format("{} of CPU time ({:.3g} %) passed without a sample (threads too short for one, lost signals); it is booked on its threads, on no function",
                                amount(seconds(unsampled)), 100 * static_cast<double>(unsampled) / static_cast<double>(profile.cpu_ns)));
  std::size_t without_timer = 0;
  for (const auto& thread : model.recording.threads.rows) without_timer += (thread.flags & 4) != 0;
  if (without_timer) notes.push_back(fmt::format("{} thread{} had no CPU timer: no stacks, only counters", without_timer, without_timer == 1 ? "" : "s"));
  if (!model.timeline.has_run_delay && model.recording.source.format.empty()) notes.push_back("this machine gives no run-queue delay of threads: time waiting for a CPU is not known");
}

void note_others(const Model& model, std::vector<std::string>& notes) {
  if (model.others.empty()) return;
  std::uint64_t cpu = 0;
  std::string names;
  for (std::size_t i = 0; i < model.others.size(); ++i) {
    const Recording& other = model.others[i];
    cpu += other.whole_cpu_ns;
    const auto slash = other.session.program.rfind('/');
    if (i < kMostChanges)
      names += fmt::format("{}{} (pid {}) {:.3g} s", i ? ", " : "", other.session.program.substr(slash == std::string_view::npos ? 0 : slash + 1),
                           other.session.pid, seconds(other.whole_cpu_ns));
  }
  if (model.others.size() > kMostChanges) names += ", ...";
  notes.push_back(fmt::format("the findings are about the process with most CPU time; {} other{} used {:.3g} s of CPU time: {}", model.others.size(),
                              model.others.size() == 1 ? "" : "s", seconds(cpu), names));
}

}  // namespace

RecordingQuality quality_of(const Model& model) {
  const Recording& recording = model.recording;
  RecordingQuality quality;
  for (const auto& loss : recording.losses) quality.dropped_events += loss.count;
  quality.detail = detail_of(model);
  quality.truncated_stacks_fraction = truncated_fraction(model);
  quality.unresolved_frames_fraction = model.symbols->unresolved_fraction();
  quality.overhead_fraction = overhead_fraction(recording);
  quality.dump_bytes = recording.file_bytes;
  auto& notes = quality.notes;
  note_end(recording, notes);
  note_damage(recording, notes);
  note_losses(recording, notes);
  note_threads(model, notes);
  note_others(model, notes);
  notes.insert(notes.end(), recording.reader_notes.begin(), recording.reader_notes.end());
  notes.insert(notes.end(), recording.notes.begin(), recording.notes.end());
  const auto symbol_notes = model.symbols->notes();
  notes.insert(notes.end(), symbol_notes.begin(), symbol_notes.end());
  return quality;
}

}  // namespace tailback::analyzers
