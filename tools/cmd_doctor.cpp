// SPDX-License-Identifier: Apache-2.0
// tailback doctor: what this machine and a program allow, and what will be missing. Exit status 1 when recording is impossible.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/command.h"
#include "tools/doctor/check.h"
#include "tools/options/command_line.h"
#include "tools/output_file.h"
#include "tools/reports/format.h"
#include "tools/reports/page.h"

namespace tailback::tools {

namespace {

struct Section {
  std::string title;
  DoctorChecks checks;
};

const char* name_of(Verdict verdict) {
  return verdict == Verdict::ok ? "ok" : verdict == Verdict::limited ? "limited" : "broken";
}

Style style_of(Verdict verdict) {
  return verdict == Verdict::ok ? Style::green : verdict == Verdict::limited ? Style::yellow : Style::red;
}

bool any(const std::vector<Section>& sections, Verdict verdict) {
  return std::any_of(sections.begin(), sections.end(), [&](const Section& section) {
    return std::any_of(section.checks.begin(), section.checks.end(),
                       [&](const DoctorCheck& check) { return check.verdict == verdict; });
  });
}

void print_check(Page& page, const DoctorCheck& check) {
  constexpr std::size_t kLabel = 9 + 21;
  const std::string label = padded(name_of(check.verdict), 9) + check.id;
  page.row(2, label, kLabel, check.found, check.verdict == Verdict::ok ? Style::plain : style_of(check.verdict));
  if (!check.effect.empty()) page.row(2, "", kLabel, check.effect, Style::dim);
  if (check.verdict != Verdict::ok && !check.remedy.empty()) page.row(2, "", kLabel, "remedy: " + check.remedy);
}

std::string text_of(const std::vector<Section>& sections) {
  Page page(terminal_of(STDOUT_FILENO));
  for (const Section& section : sections) {
    page.heading(section.title);
    for (const DoctorCheck& check : section.checks) print_check(page, check);
  }
  page.blank();
  if (any(sections, Verdict::broken))
    page.paragraph(0, "Recording is not possible until what is marked as broken is changed.", Style::red);
  else if (any(sections, Verdict::limited))
    page.paragraph(0, "Recording works; what is marked as limited will be missing.", Style::yellow);
  else
    page.paragraph(0, "All is well: nothing will be missing.", Style::green);
  return page.text().substr(1);
}

std::string json_of(const std::vector<Section>& sections) {
  nlohmann::ordered_json json = {{"schema", "tailback.doctor/1"},
                                 {"possible", !any(sections, Verdict::broken)},
                                 {"sections", nlohmann::ordered_json::array()}};
  for (const Section& section : sections) {
    nlohmann::ordered_json checks = nlohmann::ordered_json::array();
    for (const DoctorCheck& check : section.checks)
      checks.push_back({{"id", check.id},
                        {"verdict", name_of(check.verdict)},
                        {"found", valid_utf8(check.found)},
                        {"effect", valid_utf8(check.effect)},
                        {"remedy", valid_utf8(check.remedy)}});
    json["sections"].push_back({{"title", valid_utf8(section.title)}, {"checks", checks}});
  }
  return json.dump(1) + "\n";
}

}  // namespace

int cmd_doctor(const Arguments& arguments) {
  CLI::App app("What this machine and PROGRAM allow, and what will be missing", "doctor");
  set_usage(app, "[OPTIONS] [PROGRAM]");
  std::string program, json;
  bool force = false;
  app.add_option("PROGRAM", program, "a program to look at")->option_text(" ");
  app.add_option("--json", json, "write the result as JSON ('-' is stdout)")->option_text("FILE");
  app.add_flag("--force", force, "overwrite an existing file");
  if (const auto status = parse(app, arguments)) return *status;
  std::vector<Section> sections = {
      {"This machine", check_machine()}, {"Sampling", check_signals()}, {"Recording library", check_library()}};
  if (!program.empty()) sections.push_back({program, check_target(program)});
  if (!json.empty()) write_result(json, json_of(sections), force);
  if (json != "-") write_result("-", text_of(sections), false);
  return any(sections, Verdict::broken) ? kFailed : kDone;
}

}  // namespace tailback::tools
