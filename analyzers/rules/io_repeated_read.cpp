// SPDX-License-Identifier: Apache-2.0
// The same file is read again and again although the program did not change it: a settings file for each request, a table for
// each lookup. Files of the kernel (/proc, /sys, /dev) change by themselves and are left alone.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/patterns.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

using trace::CallGroup;

constexpr double kMostChanges = 0.02;  // writes to an opening: a file written once is not one that changes
constexpr std::size_t kMostFindings = 3, kMostFiles = 50;
constexpr double kFewestPasses = 20;

struct Reread {
  const EndpointTotals* file = nullptr;
  double passes = 0, bytes = 0, opened = 0;
  CallPlace place;          // all calls that read, open, close or look at it
  double parsing = 0;       // CPU time of the same function beside the calls, seconds

  bool seeks() const { return opened < passes / 2; }  // most passes lie within one opening
};

bool changes_by_itself(const std::string& name) { return name.starts_with("/proc/") || name.starts_with("/sys/") || name.starts_with("/dev/"); }

// How often the whole file was read; 0 when it is no plain file. What was written to it may have been news: it counts as size.
Reread passes_over(const Model& model, const EndpointTotals& totals) {
  Reread reread{.file = &totals, .opened = totals.turns ? static_cast<double>(totals.turns->opened) : 0, .place = {}};
  const EndpointRow& file = model.recording.calls.endpoints[totals.endpoint];
  if (file.kind != trace::EndpointKind::file || file.name.empty() || changes_by_itself(file.name)) return reread;
  double changes = 0, written = 0;
  for (const OperationTotals& operation : totals.operations) {
    const CallGroup group = trace::group_of(operation.call);
    if (group == CallGroup::output || group == CallGroup::flush || operation.call == trace::Call::truncate || operation.call == trace::Call::rename)
      changes += static_cast<double>(operation.counts.calls);
    if (group == CallGroup::input) reread.bytes += static_cast<double>(operation.counts.bytes);
    if (group == CallGroup::output) written += static_cast<double>(operation.counts.bytes);
  }
  const double size = static_cast<double>(file.size_bytes);
  if (changes > kMostChanges * reread.opened) reread.passes = written > 0 ? reread.bytes / (size + written) : 0;
  else if (reread.bytes > 0) reread.passes = size > 0 ? reread.bytes / size : reread.opened;
  return reread;
}

// The function that reads usually takes apart what it read: a kept result saves that as well. Not so where it is the whole
// program's outermost function, which does everything else too. Samples inside the calls are left out: their time is known exactly.
double parsing_time(const Model& model, const CallPlace& place) {
  const auto own = [&](const Frame& frame) { return !is_runtime_code(bare_name(frame.full_name.empty() ? frame.function : frame.full_name), frame.module); };
  const auto is_culprit = [&](const Frame& frame) { return frame.function == place.culprit.function && frame.module == place.culprit.module; };
  const std::vector<bool> inside = stacks_inside(model, place);
  double seconds = 0;
  bool has_caller = false;
  for (const StackWeight& weight : model.cpu.stacks) {
    const std::vector<Frame> frames = model.symbols->stack(weight.stack);
    const auto culprit = std::find_if(frames.rbegin(), frames.rend(), is_culprit);
    if (culprit == frames.rend()) continue;
    has_caller |= std::any_of(frames.rbegin(), culprit, own);
    if (!inside[weight.stack]) seconds += static_cast<double>(weight.ns) * 1e-9;
  }
  return has_caller ? seconds : 0;
}

void find_place(const Model& model, Reread& reread) {
  const auto of_file = [&](const CallSite& site) {
    const CallGroup group = trace::group_of(site.key.call);
    return site.key.object == reread.file->endpoint && (group == CallGroup::input || group == CallGroup::metadata);
  };
  const std::vector<CallPlace> places = places_of(model, of_file);
  for (const CallPlace& place : places) {
    if (reread.place.culprit.function.empty()) reread.place.culprit = place.culprit;
    reread.place.add(place);
  }
  if (places.empty() || reread.place.culprit.function.empty()) return;
  if (!reread.seeks()) reread.parsing = parsing_time(model, reread.place);
}

Gain gain_of(const Model& model, const Reread& reread) {
  const double saved = 1 - 1 / reread.passes;
  WaitSaving saving;
  saving.seconds = seconds_by_thread(reread.place, saved);
  for (auto& [thread, seconds] : saving.seconds) seconds *= 1 + reread.parsing / std::max(reread.place.seconds, 1e-9);
  saving.low = 0.9 * reread.place.seconds / std::max(reread.place.seconds + reread.parsing, 1e-9);
  saving.high = 1 / saved;
  saving.why = fmt::format("time in calls on the file{}, of which one pass in {:.0f} remains",
                           reread.parsing > 0 ? fmt::format(" and {} of CPU time around them in {}", duration(reread.parsing), reread.place.culprit.function) : "", reread.passes);
  return gain_of_waiting(model, saving);
}

std::vector<std::string> advice_for(const Reread& reread) {
  if (reread.seeks())
    return {fmt::format("{} are read at a time, and most of them again: a buffer that is thrown away at each seek does that (seek within it: std::io::BufReader::seek_relative, or keep the position "
                        "and read on), as does a cache that is too small",
                        bytes_text(reread.bytes / std::max(1.0, reread.place.calls))),
            "where small pieces are wanted at random: read just these (pread), or map the file (mmap)"};
  return {fmt::format("read it once and keep what was made of it: {:.0f} calls and {:.0f} reads of the file are saved", reread.place.calls * (1 - 1 / reread.passes), reread.passes - 1),
          "where it may change meanwhile: compare its modification time at most once a second (stat), or let inotify say so"};
}

Finding finding_of(const Model& model, const Reread& reread, Gain gain) {
  const EndpointRow& file = model.recording.calls.endpoints[reread.file->endpoint];
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = file.size_bytes ? 0.85 : 0.7;
  finding.culprit = reread.place.culprit;
  finding.title = fmt::format("{} is read {:.0f} times over{}: {} of wall time", file.name, reread.passes, in_function(reread.place.culprit),
                              percent((reread.place.seconds + reread.parsing) / model.timeline.wall_seconds));
  finding.evidence = {text_evidence("file", file.name), count_evidence("times read in full", std::round(reread.passes), "count"), count_evidence("times opened", reread.opened, "count"),
                      count_evidence("calls", std::round(reread.place.calls), "count"), count_evidence("bytes read", reread.bytes, "bytes"),
                      seconds_evidence("time in calls on it", reread.place.seconds)};
  if (reread.parsing > 0) finding.evidence.push_back(seconds_evidence("CPU time around them in the same function", reread.parsing));
  if (file.size_bytes) finding.evidence.push_back(count_evidence("size of the file", static_cast<double>(file.size_bytes), "bytes"));
  finding.stacks = blocked_stacks(model, reread.place, 2);
  finding.advice = advice_for(reread);
  finding.verify = fmt::format("{}; the calls on {} should fall from {:.0f} to a few", record_again(model), file.name, reread.place.calls);
  return finding;
}

}  // namespace

RuleResult io_repeated_read(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double most = 0;
  for (std::size_t i = 0; i < std::min(model.waits.endpoints.size(), kMostFiles); ++i) {
    Reread reread = passes_over(model, model.waits.endpoints[i]);
    most = std::max(most, reread.passes);
    if (reread.passes < kFewestPasses || result.findings.size() >= kMostFindings) continue;
    find_place(model, reread);
    Gain gain = gain_of(model, reread);
    if (severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, reread, std::move(gain)));
  }
  result.fine = most >= 2 ? fmt::format("the file read most often was read {:.0f} times; it cost little", most) : "no file was read more than once";
  return result;
}

}  // namespace tailback::analyzers
