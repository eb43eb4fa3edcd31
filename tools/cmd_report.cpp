// SPDX-License-Identifier: Apache-2.0
// tailback report: dumps to ranked suggestions, as text or JSON, or their raw records.
#include <CLI/CLI.hpp>

#include "tools/command.h"
#include "tools/options/command_line.h"
#include "tools/report_options.h"
#include "tools/reports/records.h"

namespace tailback::tools {

int cmd_report(const Arguments& arguments) {
  CLI::App app("Analyse dumps: ranked suggestions, what was looked at, how good the data is", "report");
  set_usage(app, "[OPTIONS] DUMP...");
  std::vector<std::string> dumps;
  ReportOptions options;
  bool records = false;
  app.add_option("DUMP", dumps, "dumps of tailback record, or profiles of other tools; several are analysed together")->option_text("...");
  options.declare(app);
  app.add_flag("--records", records, "print the raw records instead");
  if (const auto status = parse(app, arguments)) return *status;
  if (dumps.empty())
    throw Failure(kWrongUsage, "report needs a dump; 'tailback record PROGRAM' writes one, then: tailback report FILE.tbk");
  options.check();
  if (!records) return report_on(dumps, options);
  for (const std::string& dump : dumps) print_records(dump, stdout);
  return kDone;
}

}  // namespace tailback::tools
