// SPDX-License-Identifier: Apache-2.0
// tailback export: a dump in a format that other tools read.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "tools/command.h"
#include "tools/exports/folded.h"
#include "tools/exports/gzip.h"
#include "tools/exports/pprof.h"
#include "tools/options/command_line.h"
#include "tools/output_file.h"
#include "tools/progress.h"

namespace tailback::tools {

namespace {

struct ExportOptions {
  std::vector<std::string> dumps;
  std::string format, output = "-", kind = "cpu", unit;
  bool by_thread = false, force = false, quiet = false;
};

struct Format {
  const char* name;
  bool binary;
  std::string (*write)(const analyzers::Model& model, const ProfileKind& kind, const ExportOptions& options);
};

// The numbers of folded stacks: one metric for each file.
struct Unit {
  const char* name;
  const char* kind;
  std::size_t value;  // of the kind's values
  std::uint64_t divisor;
};

// The first of a kind is its default.
constexpr Unit kUnits[] = {
    {"microseconds", "cpu", 1, 1000}, {"samples", "cpu", 0, 1},   {"bytes", "heap", 3, 1}, {"blocks", "heap", 2, 1},
    {"bytes", "allocs", 1, 1},        {"blocks", "allocs", 0, 1}, {"bytes", "peak", 0, 1},
};

const Unit& unit_of(const ExportOptions& options) {
  std::string known;
  for (const Unit& unit : kUnits) {
    if (options.kind != unit.kind) continue;
    if (options.unit.empty() || options.unit == unit.name) return unit;
    known += (known.empty() ? "" : " or ") + std::string(unit.name);
  }
  throw Failure(kWrongUsage, fmt::format("--unit {}: of --kind {} it takes {}", options.unit, options.kind, known));
}

std::string write_folded(const analyzers::Model& model, const ProfileKind& kind, const ExportOptions& options) {
  const Unit& unit = unit_of(options);
  return folded_stacks(model, kind, {unit.value, unit.divisor, options.by_thread});
}

std::string write_pprof(const analyzers::Model& model, const ProfileKind& kind, const ExportOptions& options) {
  return gzipped(pprof_profile(model, kind, {options.by_thread}));
}

constexpr Format kFormats[] = {{"folded", false, write_folded}, {"pprof", true, write_pprof}};

const Format& format_of(const std::string& name) {
  std::string known;
  for (const Format& format : kFormats) {
    if (name == format.name) return format;
    known += (known.empty() ? "" : ", ") + std::string(format.name);
  }
  throw Failure(kWrongUsage, name.empty() ? "export needs --format; this version writes: " + known
                                          : fmt::format("--format {}: not in this version; it writes: {}", name, known));
}

const ProfileKind& kind_of(const ExportOptions& options) {
  std::string known;
  for (const ProfileKind& kind : profile_kinds()) {
    if (options.kind == kind.name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw Failure(kWrongUsage, fmt::format("--kind {}: it takes {}", options.kind, known));
}

void check(const ExportOptions& options, const Format& format, const ProfileKind& kind) {
  if (options.dumps.empty())
    throw Failure(kWrongUsage, "export needs a dump; for instance: tailback export --format folded FILE.tbk");
  unit_of(options);
  if (!options.unit.empty() && format.binary)
    throw Failure(kWrongUsage, fmt::format("--unit is for folded stacks; {} holds all values of --kind {}", format.name, kind.name));
  if (options.by_thread && kind.of_heap)
    throw Failure(kWrongUsage, fmt::format("--by-thread is for CPU time; --kind {} is by allocation site", kind.name));
  if (format.binary && options.output == "-" && ::isatty(STDOUT_FILENO))
    throw Failure(kWrongUsage, fmt::format("{} is binary and standard output is a terminal; add -o profile.pb.gz", format.name));
}

void check_heap(const analyzers::Model& model, const ProfileKind& kind) {
  const std::string& path = model.recording.path;
  if (!model.heap.missing.empty())
    throw Failure(kFailed, fmt::format("{}: no --kind {}, {}", path, kind.name, model.heap.missing));
  if (std::string_view(kind.name) == "peak" && !model.heap.facts.peak)
    throw Failure(kFailed, fmt::format("{}: a {} does not hold the peak; take --kind heap", path, model.recording.source.format));
}

}  // namespace

int cmd_export(const Arguments& arguments) {
  CLI::App app("Write a dump in a format that other tools read", "export");
  set_usage(app, "[OPTIONS] --format F DUMP...");
  ExportOptions options;
  app.add_option("DUMP", options.dumps, "dumps of tailback record, or profiles of others; several become one")->option_text("...");
  app.add_option("-f,--format", options.format, "folded (flame graph tools, speedscope) or pprof (gzip)")->option_text("F");
  app.add_option("-k,--kind", options.kind, "what: cpu (the default), heap (live and total), allocs (total), peak")->option_text("KIND");
  app.add_option("-o,--output", options.output, "where to write; '-' is stdout, the default")->option_text("PATH");
  app.add_option("--unit", options.unit, "numbers of folded stacks: microseconds or samples; bytes or blocks of memory")->option_text("UNIT");
  app.add_flag("--by-thread", options.by_thread, "keep threads apart, by name (CPU time)");
  app.add_flag("--force", options.force, "overwrite an existing file");
  app.add_flag("-q,--quiet", options.quiet, "no progress");
  if (const auto status = parse(app, arguments)) return *status;
  const Format& format = format_of(options.format);
  const ProfileKind& kind = kind_of(options);
  check(options, format, kind);
  analyzers::AnalysisOptions analysis;
  if (!options.quiet) analysis.progress = progress_line;
  const auto model = analyzers::load_model(options.dumps, analysis);
  if (kind.of_heap) check_heap(*model, kind);
  const std::string content = format.write(*model, kind, options);
  end_progress();
  write_result(options.output, content, options.force);
  return kDone;
}

}  // namespace tailback::tools
