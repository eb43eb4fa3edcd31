// SPDX-License-Identifier: Apache-2.0
// Data is brought to storage more often than the rate of its arrival calls for: one flush could serve all records that come
// within a short while (group commit). Nothing is said where records are rare, or where nobody waits for the flushing thread.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kGrouped = 16;  // writes to a flush: the program groups already, storage is what is slow
constexpr double kPatience = 0.1;      // seconds that a record may wait for its batch
constexpr double kFewestFlushes = 5;
constexpr double kMuchLonger = 0.8;    // a batch's flush writes more: this part of the gain is certain

bool is_flush(const Model& model, const CallSite& site) {
  const trace::CallGroup group = trace::group_of(site.key.call);
  return group == trace::CallGroup::flush || (group == trace::CallGroup::output && (endpoint_of(model, site).flags & trace::kSynchronous));
}

std::string folder_of(const EndpointRow& endpoint) {
  if (endpoint.kind == trace::EndpointKind::directory) return endpoint.name;
  return endpoint.name.substr(0, endpoint.name.rfind('/') == std::string::npos ? 0 : endpoint.name.rfind('/'));
}

struct Commit {
  CallPlace flushes;
  std::string folder;
  std::uint64_t file = 0;      // endpoint that a person would name
  double count = 0;            // flushes of that file: each a commit
  double beside = 0;           // seconds in calls that come with each commit: opening and removing files beside it
  std::map<ThreadId, double> beside_by_thread;
  double writes = 0;           // seconds writing to files of the folder
  double written = 0;          // calls that write to them
  double rate = 0, batch = 1;  // records a second that would come if flushing took no time; that one flush should serve
};

// The file with most time; one whose name it only extends (x.db for x.db-journal) when that is flushed as well.
std::uint64_t file_named(const Model& model, const CallPlace& place) {
  const auto files = seconds_by_endpoint(model, place);
  if (files.empty()) return 0;
  const auto& endpoints = model.recording.calls.endpoints;
  std::uint64_t named = files.front().first;
  for (const auto& [file, seconds] : files)
    if (!endpoints[file].name.empty() && endpoints[named].name.starts_with(endpoints[file].name) && endpoints[file].kind != trace::EndpointKind::directory) named = file;
  return named;
}

void add_calls_beside(const Model& model, Commit& commit) {
  std::map<std::pair<trace::Call, std::uint64_t>, double> counts;
  const auto in_folder = [&](const CallSite& site) {
    const EndpointRow& endpoint = endpoint_of(model, site);
    return !commit.folder.empty() && !endpoint.name.empty() && folder_of(endpoint) == commit.folder && commit.beside_by_thread.contains(site.key.thread);
  };
  for (const CallSite* site : commit.flushes.sites) commit.beside_by_thread[site->key.thread] += 0;
  for (const CallSite& site : model.waits.sites)
    if (in_folder(site)) counts[{site.key.call, site.key.object}] += site.calls;
  const auto opened_each_time = [&](const CallSite& site) {  // a journal: all that is done to it belongs to the commit
    const auto opened = counts.find({trace::Call::open, site.key.object});
    return site.key.object != 0 && opened != counts.end() && opened->second >= 0.5 * commit.count;
  };
  for (const CallSite& site : model.waits.sites) {
    if (!in_folder(site) || is_flush(model, site)) continue;
    if (opened_each_time(site)) {
      commit.beside += site.seconds;
      commit.beside_by_thread[site.key.thread] += site.seconds;
      continue;
    }
    if (trace::group_of(site.key.call) == trace::CallGroup::output) commit.writes += site.seconds, commit.written += site.calls;
    const bool each_time = counts[{site.key.call, site.key.object}] >= 0.5 * commit.count;
    if (trace::group_of(site.key.call) != trace::CallGroup::metadata || !each_time) continue;
    commit.beside += site.seconds;
    commit.beside_by_thread[site.key.thread] += site.seconds;
  }
}

// 1, 2 or 5 times a power of ten, not above.
double round_down(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(std::max(value, 1.0))));
  return value >= 5 * power ? 5 * power : value >= 2 * power ? 2 * power : power;
}

void find_batch(const Model& model, Commit& commit) {
  const auto threads = static_cast<double>(seconds_by_thread(commit.flushes).size());
  const double wall = model.timeline.wall_seconds, flushing = (commit.flushes.seconds + commit.beside) / threads;
  commit.rate = commit.count / std::max(wall - flushing, 0.01 * wall);
  const double each = commit.flushes.seconds / std::max(commit.count, 1.0);
  commit.batch = round_down(std::clamp(std::floor(commit.rate * std::max(kPatience, each)), 1.0, std::max(commit.count, 1.0)));
}

// Flushes of one folder's files belong to the same commits, whichever functions make them.
std::vector<Commit> commits_of(const Model& model) {
  std::vector<Commit> commits;
  for (const CallPlace& place : places_of(model, [&](const CallSite& site) { return is_flush(model, site); })) {
    const std::uint64_t file = file_named(model, place);
    const std::string folder = folder_of(model.recording.calls.endpoints[file]);
    const auto known = std::find_if(commits.begin(), commits.end(), [&](const Commit& commit) { return !folder.empty() && commit.folder == folder; });
    if (known == commits.end()) commits.push_back({place, folder});
    else known->flushes.add(place);
  }
  for (Commit& commit : commits) {
    commit.file = file_named(model, commit.flushes);
    double on_file = 0;
    for (const CallSite* site : commit.flushes.sites) on_file += site->key.object == commit.file ? site->calls : 0;
    commit.count = on_file > 0 ? on_file : commit.flushes.calls;
    add_calls_beside(model, commit);
    find_batch(model, commit);
  }
  return commits;
}

Gain gain_of(const Model& model, const Commit& commit) {
  const double saved = 1 - 1 / commit.batch;
  WaitSaving saving;
  saving.seconds = seconds_by_thread(commit.flushes, saved);
  for (const auto& [thread, seconds] : commit.beside_by_thread) saving.seconds[thread] += saved * seconds;
  saving.low = kMuchLonger;
  saving.high = (commit.flushes.seconds + commit.beside + commit.writes) / std::max(1e-9, saved * (commit.flushes.seconds + commit.beside));
  saving.why = fmt::format("time in flushes{} times 1 - 1/{:.0f}, one flush for {:.0f} records", commit.beside > 0 ? " and in opening and removing files for each" : "",
                           commit.batch, commit.batch);
  return gain_of_waiting(model, saving);
}

LogHistogram flush_latencies(const Model& model, const Commit& commit) {
  LogHistogram all;
  for (const auto& [file, seconds] : seconds_by_endpoint(model, commit.flushes))
    if (const EndpointTotals* totals = model.waits.of_endpoint(file))
      for (const OperationTotals& operation : totals->operations)
        if (trace::group_of(operation.call) == trace::CallGroup::flush) all.add(operation.latencies);
  return all;
}

std::vector<Evidence> evidence_of(const Model& model, const Commit& commit, const std::string& name) {
  const double wall = model.timeline.wall_seconds;
  std::vector<Evidence> evidence = {text_evidence("file", name), seconds_evidence("time in flushes", commit.flushes.seconds),
                                    count_evidence("flushes", std::round(commit.flushes.calls), "count"),
                                    seconds_evidence("one flush, mean", commit.flushes.seconds / std::max(1.0, commit.flushes.calls))};
  if (const LogHistogram latencies = flush_latencies(model, commit); latencies.total())
    evidence.push_back(seconds_evidence("one flush, 99th percentile", latencies.duration_quantile(0.99) * 1e-9));
  evidence.push_back(count_evidence("flushes a second", std::round(commit.flushes.calls / wall), "count"));
  if (commit.beside > 0) evidence.push_back(seconds_evidence("opening and removing files beside it", commit.beside));
  for (const auto& [file, seconds] : seconds_by_endpoint(model, commit.flushes)) {
    if (file == commit.file || evidence.size() > 9) continue;
    evidence.push_back(text_evidence("also flushed", fmt::format("{} ({})", endpoint_name(model.recording.calls.endpoints[file]), duration(seconds))));
  }
  return evidence;
}

std::vector<std::string> advice_for(const Commit& commit, bool synchronous) {
  std::vector<std::string> advice = {
      fmt::format("flush once for about {:.0f} records (group commit; one transaction around many statements in a database): at the rate seen they come within {}, and {:.0f} "
                  "commits become {:.0f}", commit.batch, duration(commit.batch / commit.rate), commit.count, std::ceil(commit.count / commit.batch))};
  if (synchronous) advice.push_back("open the file without O_SYNC/O_DSYNC and call fdatasync after each batch");
  if (seconds_by_thread(commit.flushes).size() > 1) advice.push_back("let one thread flush for all: the others add their record and wait for the flush that covers it");
  advice.push_back("where losing the last second on a power failure is acceptable, flush once a second from another thread");
  return advice;
}

Finding finding_of(const Model& model, const Commit& commit, Gain gain) {
  const EndpointRow& file = model.recording.calls.endpoints[commit.file];
  const std::string name = commit.file ? endpoint_name(file) : "files";
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  if (commit.written >= kGrouped * commit.count) finding.severity = std::min(finding.severity, Severity::low);
  finding.gain = std::move(gain);
  finding.confidence = commit.flushes.calls >= 50 ? 0.9 : 0.7;
  finding.culprit = commit.flushes.culprit;
  const std::size_t beside = seconds_by_endpoint(model, commit.flushes).size();
  finding.title = fmt::format("{}{} is flushed to storage {:.0f} times{}: {} of wall time", name,
                              beside > 1 ? fmt::format(" (with {} beside it)", plural(beside - 1, "file")) : "", commit.flushes.calls, in_function(commit.flushes.culprit),
                              percent(commit.flushes.seconds / model.timeline.wall_seconds));
  finding.evidence = evidence_of(model, commit, name);
  finding.stacks = blocked_stacks(model, commit.flushes, 2);
  finding.advice = advice_for(commit, file.flags & trace::kSynchronous);
  finding.verify = fmt::format("{}; the time in flushes of {} should fall from {} to about {}", record_again(model), name, duration(commit.flushes.seconds),
                               duration(commit.flushes.seconds / commit.batch));
  return finding;
}

}  // namespace

RuleResult io_sync_flush(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double seconds = 0, flushes = 0;
  for (const Commit& commit : commits_of(model)) {
    seconds += commit.flushes.seconds, flushes += commit.flushes.calls;
    if (commit.flushes.calls < kFewestFlushes || commit.batch < 2) continue;
    Gain gain = gain_of(model, commit);
    if (severity_by_part(gain.fraction) == Severity::info) continue;
    result.findings.push_back(finding_of(model, commit, std::move(gain)));
  }
  result.fine = flushes > 0 ? fmt::format("{:.0f} flushes to storage took {}", flushes, duration(seconds)) : "nothing was flushed to storage";
  return result;
}

}  // namespace tailback::analyzers
