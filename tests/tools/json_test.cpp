// SPDX-License-Identifier: Apache-2.0
// The JSON report: valid by docs/report.schema.json (checked by an independent validator), and saying what the report says.
#include "tools/reports/json.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/tools/sample_report.h"

namespace tailback::tools {
namespace {

using namespace tailback::testing;

// Exit status of the validator: 0 valid, 3 not.
int validate(const std::string& json) {
  char path[] = "/tmp/tailback-report-XXXXXX";
  const int file = ::mkstemp(path);
  EXPECT_GE(file, 0);
  ::close(file);
  std::ofstream(path) << json;
  const std::string source = TAILBACK_SOURCE_DIR;
  const std::string command =
      "/usr/bin/python3 " + source + "/tests/tools/validate_report.py " + source + "/docs/report.schema.json " + path;
  const int status = std::system(command.c_str());
  ::unlink(path);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(JsonReport, FollowsTheSchema) {
  EXPECT_EQ(validate(json_report(full_report())), 0);
  EXPECT_EQ(validate(json_report(clean_report())), 0);
  EXPECT_EQ(validate(json_report(hostile_report())), 0);
}

TEST(JsonReport, TheSchemaIsStrict) {
  auto json = nlohmann::json::parse(json_report(full_report()));
  const auto broken = [&](auto&& change) {
    auto copy = json;
    change(copy);
    return validate(copy.dump());
  };
  EXPECT_EQ(broken([](auto&) {}), 0);
  EXPECT_EQ(broken([](auto& r) { r["extra"] = 1; }), 3);
  EXPECT_EQ(broken([](auto& r) { r.erase("locks"); }), 3);
  EXPECT_EQ(broken([](auto& r) { r["findings"][0]["severity"] = "grave"; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["findings"][0]["gain"]["fraction"] = 1.5; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["findings"][0]["stacks"][0]["frames"][0].erase("inlined"); }), 3);
  EXPECT_EQ(broken([](auto& r) { r["target"]["exit_status"] = "0"; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["threads"][0]["cpu_seconds"] = -1; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["threads"][0]["role"] = "lazy"; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["waiting"][0]["cause"] = "the weather"; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["allocations"]["mode"] = "guessed"; }), 3);
  EXPECT_EQ(broken([](auto& r) { r["allocations"]["sites"][0].erase("live_bytes"); }), 3);
  EXPECT_EQ(broken([](auto& r) { r["allocations"] = nlohmann::json::object(); }), 0) << "not recorded";
  EXPECT_EQ(broken([](auto& r) { r["io"][0]["operations"][0].erase("p99_seconds"); }), 3);
}

TEST(JsonReport, SaysWhatTheReportSays) {
  const auto json = nlohmann::json::parse(json_report(full_report()));
  EXPECT_EQ(json["schema"], "tailback.report/1");
  EXPECT_EQ(json["tool"]["version"], TAILBACK_VERSION);
  EXPECT_EQ(json["target"]["command"], (std::vector<std::string>{"./planner", "--input", "cities.csv"}));
  EXPECT_EQ(json["findings"][0]["rank"], 1);
  EXPECT_EQ(json["findings"][1]["rank"], 2);
  EXPECT_EQ(json["findings"][0]["culprit"]["line"], 88);
  EXPECT_EQ(json["findings"][0]["evidence"][3]["value"], "regex compiled in a loop");
  EXPECT_DOUBLE_EQ(json["findings"][0]["gain"]["low"], 0.49);
  EXPECT_EQ(json["findings"][0]["stacks"][0]["frames"].size(), 152u);
  EXPECT_EQ(json["threads"].size(), 10u);
  EXPECT_TRUE(json["threads"][1]["run_delay_seconds"].is_null());
  EXPECT_EQ(json["threads"][9]["count"], 22080);
  EXPECT_EQ(json["threads"][1]["role"], "held up");
  EXPECT_EQ(json["threads"][1]["waiting"][0]["cause"], "disk");
  EXPECT_TRUE(json["threads"][0]["unexplained_seconds"].is_null());
  EXPECT_DOUBLE_EQ(json["waiting"][0]["by_design_seconds"], 61.25);
  EXPECT_EQ(json["io"][0]["operations"][0]["call"], "fdatasync");
  EXPECT_EQ(json["io"][1]["bytes"], 5 << 20);
  EXPECT_EQ(json["rules"][2]["outcome"], "not_applicable");
  EXPECT_TRUE(nlohmann::json::parse(json_report(clean_report()))["target"]["exit_status"].is_null());
}

}  // namespace
}  // namespace tailback::tools
