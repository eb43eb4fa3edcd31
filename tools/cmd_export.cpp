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
  std::string format, output = "-", unit;
  bool by_thread = false, force = false, quiet = false;
};

struct Format {
  const char* name;
  bool binary;
  std::string (*write)(const analyzers::Model& model, const ExportOptions& options);
};

std::string write_folded(const analyzers::Model& model, const ExportOptions& options) {
  return folded_stacks(model, {options.unit == "samples" ? FoldedUnit::samples : FoldedUnit::microseconds, options.by_thread});
}

std::string write_pprof(const analyzers::Model& model, const ExportOptions& options) {
  return gzipped(pprof_profile(model, {options.by_thread}));
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

void check(const ExportOptions& options, const Format& format) {
  if (options.dumps.empty())
    throw Failure(kWrongUsage, "export needs a dump; for instance: tailback export --format folded FILE.tbk");
  if (!options.unit.empty() && options.unit != "samples" && options.unit != "microseconds")
    throw Failure(kWrongUsage, fmt::format("--unit {}: it takes samples or microseconds", options.unit));
  if (!options.unit.empty() && format.binary)
    throw Failure(kWrongUsage,
                  fmt::format("--unit is for folded stacks; {} always holds both samples and CPU time", format.name));
  if (format.binary && options.output == "-" && ::isatty(STDOUT_FILENO))
    throw Failure(kWrongUsage, fmt::format("{} is binary and standard output is a terminal; add -o profile.pb.gz", format.name));
}

}  // namespace

int cmd_export(const Arguments& arguments) {
  CLI::App app("Write a dump in a format that other tools read", "export");
  set_usage(app, "[OPTIONS] --format F DUMP...");
  ExportOptions options;
  app.add_option("DUMP", options.dumps, "dumps of tailback record; several become one profile")->option_text("...");
  app.add_option("-f,--format", options.format, "folded (flame graph tools, speedscope) or pprof (gzip)")->option_text("F");
  app.add_option("-o,--output", options.output, "where to write; '-' is stdout, the default")->option_text("PATH");
  app.add_option("--unit", options.unit, "numbers of folded stacks: microseconds of CPU time, or samples")->option_text("UNIT");
  app.add_flag("--by-thread", options.by_thread, "keep threads apart, by name");
  app.add_flag("--force", options.force, "overwrite an existing file");
  app.add_flag("-q,--quiet", options.quiet, "no progress");
  if (const auto status = parse(app, arguments)) return *status;
  const Format& format = format_of(options.format);
  check(options, format);
  analyzers::AnalysisOptions analysis;
  if (!options.quiet) analysis.progress = progress_line;
  const auto model = analyzers::load_model(options.dumps, analysis);
  const std::string content = format.write(*model, options);
  end_progress();
  write_result(options.output, content, options.force);
  return kDone;
}

}  // namespace tailback::tools
