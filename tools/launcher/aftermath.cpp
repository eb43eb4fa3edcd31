// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/aftermath.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "analyzers/pipeline.h"
#include "tools/launcher/dump_append.h"
#include "tools/launcher/dump_symbols.h"
#include "tools/launcher/dumps.h"
#include "tools/messages.h"
#include "tools/progress.h"
#include "tools/reports/format.h"
#include "tools/reports/text.h"

namespace tailback::tools {

namespace {

constexpr std::size_t kMostAnalyzed = 64;            // dumps of one run; a build may leave thousands
constexpr std::uint64_t kMostSymbolBytes = 8 << 20;  // added to each dump

std::string missing_dump_cause(const Aftermath& recorded) {
  const char* enabled = std::getenv("TAILBACK_ENABLED");
  if (enabled && std::string(enabled) == "0") return "TAILBACK_ENABLED=0 switches the recording off; unset it";
  if (recorded.program.drops_preload)
    return recorded.program.remarks.front().what + "; " + recorded.program.remarks.front().remedy;
  const std::string killed =
      recorded.child.exited ? ""
                            : fmt::format("signal {} may have ended it before the recording began; or ", recorded.child.status);
  return killed +
         "the program, or what it executed in its place, dropped LD_PRELOAD (env -i, sudo, su, a setuid program),\n"
         "          is statically linked, or may not write to the folder; record the inner program directly,\n"
         "          and see 'tailback doctor PROGRAM'";
}

std::uint64_t limit_of(const DumpSummary& dump) {
  return dump.max_bytes ? std::max(dump.max_bytes, dump.used_bytes) : std::numeric_limits<std::uint64_t>::max();
}

// The last dump of the process that was started; it has several when it executed others in place.
const DumpSummary* last_of_root(const std::vector<DumpSummary>& dumps, pid_t root) {
  const DumpSummary* last = nullptr;
  for (const DumpSummary& dump : dumps) {
    if (dump.pid != static_cast<std::uint64_t>(root)) continue;
    if (!last || dump.started_realtime_ns > last->started_realtime_ns) last = &dump;
  }
  return last;
}

// While this dump was being written.
void append_stops(DumpAppender& appender, const std::vector<ChildStop>& stops, std::uint64_t started_mono_ns) {
  for (const ChildStop& stop : stops) {
    if (stop.begin_ns < started_mono_ns) continue;
    trace::PauseSeen record;
    record.begin = stop.begin_ns - started_mono_ns;
    record.end = stop.end_ns - started_mono_ns;
    record.source = 1;
    record.stops = 1;
    appender.append(record);
  }
}

void append_end(DumpAppender& appender, const Aftermath& recorded, bool replaced_by_unseen) {
  const ChildResult& child = recorded.child;
  const auto status = static_cast<trace::u64>(child.status);
  appender.append(trace::ExitStatus{child.exited, status, child.wall_ns, child.user_ns, child.system_ns});
  if (replaced_by_unseen)
    appender.append(trace::Note{child.wall_ns,
                                "what the program became by exec left no dump: LD_PRELOAD was dropped on the way, or that "
                                "program cannot be preloaded; record it directly ('tailback doctor PROGRAM' tells more)"});
}

// Growing a dump beyond RLIMIT_FSIZE is to fail with EFBIG, which is told, and not to kill.
void ignore_file_size_signal() { std::signal(SIGXFSZ, SIG_IGN); }

// What only the launcher knows goes into the dump of the process it started; all others are cut to their length.
void add_launcher_records(const Aftermath& recorded, const std::vector<DumpSummary>& dumps) {
  const DumpSummary* last = last_of_root(dumps, recorded.child.pid);
  for (const DumpSummary& dump : dumps) {
    if (dump.still_running) continue;
    DumpAppender appender(dump.path, limit_of(dump));
    if (!appender.open())
      message(fmt::format("cannot complete {}: {}", dump.path, appender.error()));
    else if (&dump == last)
      append_stops(appender, recorded.child.stops, dump.started_mono_ns), append_end(appender, recorded, dump.ended_by_exec);
  }
}

// The recording that was analysed gets all that is known of its frames, any other (model null: each one) the names alone.
void add_symbols(const std::vector<DumpSummary>& dumps, const analyzers::Model* model) {
  for (const DumpSummary& dump : dumps) {
    if (dump.still_running) continue;
    DumpAppender appender(dump.path, limit_of(dump));
    if (appender.open()) {
      if (model && model->recording.path == dump.path)
        append_frames(appender, model->recording, *model->symbols, kMostSymbolBytes);
      else
        append_names(appender, analyzers::read_recording(dump.path, {}), kMostSymbolBytes);
    }
    if (!appender.error().empty()) message(fmt::format("cannot add the names of functions to {}: {}", dump.path, appender.error()));
  }
}

std::string near_path(const std::string& path) {
  std::error_code error;
  const std::string here = std::filesystem::current_path(error).string() + "/";
  return !error && path.starts_with(here) ? path.substr(here.size()) : path;
}

std::string size_of(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? "" : " (" + format_bytes(static_cast<double>(size)) + ")";
}

void print_next_steps(const std::vector<DumpSummary>& dumps) {
  const std::string first = near_path(dumps.front().path);
  std::string line = fmt::format("dump: {}{}", first, size_of(dumps.front().path));
  if (dumps.size() > 1) line += fmt::format(", and {} more of child processes in the same folder", dumps.size() - 1);
  message(line);
  for (const DumpSummary& dump : dumps)
    if (dump.still_running)
      message(fmt::format("process {} still runs and goes on recording into {}", dump.pid, near_path(dump.path)));
  message(fmt::format("next: tailback report {}", shell_quoted(first)));
  message(fmt::format("      tailback export --format pprof -o profile.pb.gz {}", shell_quoted(first)));
}

void analyze_and_print(const std::vector<DumpSummary>& dumps, const analyzers::Thresholds& thresholds) {
  analyzers::AnalysisOptions options;
  options.thresholds = thresholds;
  options.progress = progress_line;
  std::vector<std::string> paths;
  for (const DumpSummary& dump : dumps) paths.push_back(dump.path);
  const auto model = analyzers::load_model(paths, options);
  add_symbols(dumps, model.get());
  const analyzers::Report report = analyzers::analyze(*model, options);
  end_progress();
  const std::string text = text_report(report, {terminal_of(STDERR_FILENO), 10, true});
  std::fputs(("\n" + text + "\n").c_str(), stderr);
}

}  // namespace

void complete_and_report(const Aftermath& recorded) {
  ignore_file_size_signal();
  const auto dumps =
      find_dumps(recorded.output, static_cast<std::uint64_t>(recorded.child.pid), recorded.child.started_realtime_ns);
  if (dumps.empty()) {
    message("no dump was written: " + missing_dump_cause(recorded));
    return;
  }
  add_launcher_records(recorded, dumps);
  const std::vector<DumpSummary> busiest(dumps.begin(), dumps.begin() + static_cast<long>(std::min(dumps.size(), kMostAnalyzed)));
  try {
    if (recorded.quiet)
      add_symbols(busiest, nullptr);
    else
      analyze_and_print(busiest, recorded.thresholds);
  } catch (const std::exception& error) {  // the program's exit status must survive whatever the analysis meets
    end_progress();
    message(fmt::format("the recording is kept, but could not be analysed: {}", error.what()));
  }
  if (recorded.quiet) return;
  if (dumps.size() > busiest.size())
    message(
        fmt::format("of {} dumps the {} busiest were analysed; give others to 'tailback report'", dumps.size(), busiest.size()));
  print_next_steps(dumps);
}

}  // namespace tailback::tools
