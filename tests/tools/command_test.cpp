// SPDX-License-Identifier: Apache-2.0
// The command as a whole: exit statuses, where messages go, what it does when it meets a bug of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/support/trace_builder.h"

namespace tailback::tools {
namespace {

namespace files = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Result {
  int status = -1;
  std::string out, err;
};

class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tailback-command-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    tailback::testing::TraceBuilder builder;
    builder.run(1, 0, 4, builder.stack({"_start", "main", "work"}));
    builder.finish(4).write(folder_ + "/d.tbk");
  }
  void TearDown() override { files::remove_all(folder_); }
  std::string text(const std::string& name) const {
    std::ifstream in(folder_ + "/" + name);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  Result run(const std::string& arguments) const {
    const std::string command = "cd " + folder_ + " && env -u TAILBACK_OUTPUT timeout 60 " + TAILBACK_BUILD_DIR +
                                "/tools/tailback " + arguments + " >out 2>err";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text("out"), text("err")};
  }

  std::string folder_;
};

TEST_F(CommandTest, HelpGoesToStdoutAndSucceeds) {
  for (const char* arguments : {"--help", "help", "help record", "record --help", "report -h", "--version", "version"}) {
    const Result result = run(arguments);
    EXPECT_EQ(result.status, 0) << arguments;
    EXPECT_FALSE(result.out.empty()) << arguments;
    EXPECT_THAT(result.err, IsEmpty()) << arguments;
  }
}

TEST_F(CommandTest, WrongUsageIsToldWithTheRemedy) {
  const std::pair<const char*, const char*> wrong[] = {{"reprot", "did you mean 'tailback report'?"},
                                                       {"report", "record PROGRAM"},
                                                       {"report --frob d.tbk", "tailback report --help"},
                                                       {"report --html x.html d.tbk", "not available in this version"},
                                                       {"report --fail-on bad d.tbk", "critical"},
                                                       {"report --rule no-such-rule d.tbk", "cpu-hotspot"},
                                                       {"report --from 3 --to 2 d.tbk", "--from must be smaller"},
                                                       {"export d.tbk", "folded, pprof"},
                                                       {"export --format speedscope d.tbk", "folded, pprof"},
                                                       {"export --format pprof --unit samples d.tbk", "--unit"},
                                                       {"record", "needs a program"},
                                                       {"record -F 0 -- true", "from 1 to 10000"},
                                                       {"record -o %p/x -- true", "file's name only"}};
  for (const auto& [arguments, said] : wrong) {
    const Result result = run(arguments);
    EXPECT_EQ(result.status, 2) << arguments;
    EXPECT_THAT(result.err, HasSubstr(said)) << arguments;
    EXPECT_THAT(result.err, ::testing::StartsWith("tailback: ")) << arguments;
    EXPECT_THAT(result.out, IsEmpty()) << arguments;
  }
}

TEST_F(CommandTest, ReportsOfADump) {
  const Result text_only = run("report d.tbk");
  EXPECT_EQ(text_only.status, 0) << text_only.err;
  EXPECT_THAT(text_only.out, HasSubstr("work"));
  EXPECT_THAT(text_only.err, IsEmpty());
  const Result json_only = run("report --json - d.tbk");
  EXPECT_EQ(nlohmann::json::parse(json_only.out)["schema"], "tailback.report/1");
  EXPECT_EQ(run("report -q --json r.json d.tbk").out, "");
  EXPECT_EQ(nlohmann::json::parse(text("r.json")), nlohmann::json::parse(json_only.out));
}

TEST_F(CommandTest, FailOnTellsByTheExitStatus) {
  EXPECT_EQ(run("report --fail-on info d.tbk").status, 3);
  EXPECT_EQ(run("report --fail-on critical d.tbk").status, 0);
}

TEST_F(CommandTest, OneRuleOnly) {
  const auto json = nlohmann::json::parse(run("report --json - --rule cpu-spin --rule cpu-hotspot d.tbk").out);
  EXPECT_EQ(json["rules"].size(), 2u);
}

TEST_F(CommandTest, ResultsAreNeverOverwritten) {
  std::ofstream(folder_ + "/taken") << "precious";
  for (const char* arguments : {"report --json taken d.tbk", "export --format folded -o taken d.tbk", "doctor --json taken"}) {
    const Result result = run(arguments);
    EXPECT_EQ(result.status, 1) << arguments;
    EXPECT_THAT(result.err, HasSubstr("taken")) << arguments;
    EXPECT_THAT(result.err, HasSubstr("--force")) << arguments;
    EXPECT_EQ(text("taken"), "precious") << arguments;
  }
  EXPECT_EQ(run("export --force --format folded -o taken d.tbk").status, 0);
  EXPECT_THAT(text("taken"), HasSubstr("_start;main;work 4000000"));
}

TEST_F(CommandTest, WhatIsNoDumpIsRefused) {
  std::ofstream(folder_ + "/text") << "no dump";
  for (const char* arguments :
       {"report text", "report --records text", "export --format folded text", "report missing", "report ."}) {
    const Result result = run(arguments);
    EXPECT_EQ(result.status, 1) << arguments;
    EXPECT_THAT(result.err, HasSubstr(std::string(arguments).substr(std::string(arguments).rfind(' ') + 1))) << arguments;
  }
}

TEST_F(CommandTest, RawRecords) {
  const Result result = run("report --records d.tbk");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\ncpu_aggregate end_ms="));
  EXPECT_THAT(result.out, HasSubstr("\n# 1 blocks, "));
}

TEST_F(CommandTest, RecordPassesTheStatusOn) {
  EXPECT_EQ(run("record -q -- /bin/sh -c 'exit 7'").status, 7);
  EXPECT_EQ(run("record -q -- /bin/sh -c 'kill -9 $$'").status, 137);
  EXPECT_EQ(run("record -q -- no-such-program-anywhere").status, 127);
  EXPECT_EQ(run("record -q -- ./d.tbk").status, 126);
  EXPECT_EQ(run("record -q -o none/x.tbk -- true").status, 125);
  EXPECT_EQ(run("record -q --config none.toml -- true").status, 2);
}

TEST_F(CommandTest, AStaticProgramRunsAndIsExplained) {
  std::ofstream(folder_ + "/s.c") << "#include <stdio.h>\nint main(void) { puts(\"ran\"); return 4; }\n";
  ASSERT_EQ(std::system(("cc -static -o " + folder_ + "/s " + folder_ + "/s.c").c_str()), 0);
  const Result result = run("record -- ./s");
  EXPECT_EQ(result.status, 4);
  EXPECT_EQ(result.out, "ran\n");
  EXPECT_THAT(result.err, HasSubstr("./s is statically linked"));
  EXPECT_THAT(result.err, HasSubstr("no dump was written"));
  EXPECT_EQ(run("doctor ./s").status, 1);
}

TEST_F(CommandTest, WhatExecLeadsToUnseenIsSaid) {
  EXPECT_EQ(run("record -q -o e.tbk -- env -i /bin/sh -c 'exit 5'").status, 5);
  EXPECT_THAT(run("report --records e.tbk").out, HasSubstr("became by exec left no dump"));
  EXPECT_EQ(run("record -q -o f.tbk -- env /bin/sh -c 'exit 5'").status, 5);
  EXPECT_FALSE(files::exists(folder_ + "/f.tbk.2"));
  EXPECT_THAT(run("report --records f.tbk f.tbk.1").out, ::testing::Not(HasSubstr("left no dump")));
}

TEST_F(CommandTest, DoctorFindsThisMachineUsable) {
  const Result result = run("doctor --json - ls");
  EXPECT_EQ(result.status, 0) << result.out;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["possible"], true);
  std::set<std::string> ids;
  for (const auto& section : json["sections"])
    for (const auto& check : section["checks"]) ids.insert(check["id"]);
  for (const char* id :
       {"kernel", "glibc", "tick", "timers", "output", "sigurg", "cpu_timers", "schedstat", "library", "preload", "symbols"})
    EXPECT_TRUE(ids.contains(id)) << id;
}

// Ctrl-C of a terminal: the program gets it once, from the terminal, and decides; the report follows.
TEST_F(CommandTest, InterruptFromTheTerminal) {
  const std::string tailback = std::string(TAILBACK_BUILD_DIR) + "/tools/tailback", dump = folder_ + "/c.tbk";
  const char* script =
      "trap 'n=$((n+1)); echo got $n' INT; echo ready; i=0; while [ $i -lt 100 ]; do sleep 0.02; i=$((i+n)); done; exit 4";
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    ::execl(tailback.c_str(), "tailback", "record", "-q", "-o", dump.c_str(), "--", "/bin/sh", "-c", script, nullptr);
    ::_exit(99);
  }
  ASSERT_GT(child, 0);
  std::string shown;
  char buffer[1000];
  bool sent = false;
  for (ssize_t got; (got = ::read(terminal, buffer, sizeof buffer)) > 0;) {
    shown.append(buffer, static_cast<std::size_t>(got));
    if (!sent && shown.find("ready") != std::string::npos) sent = ::write(terminal, "\x03", 1) == 1;
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(terminal);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 4);
  EXPECT_THAT(shown, HasSubstr("got 1"));
  EXPECT_THAT(shown, ::testing::Not(HasSubstr("got 2")));
  EXPECT_TRUE(files::exists(dump));
}

TEST_F(CommandTest, ABugOfItsOwnLeavesAStack) {
  const Result result = run("record -q -- /bin/sh -c 'kill -SEGV $PPID; sleep 0.2'");
  EXPECT_EQ(result.status, 128 + SIGSEGV);
  EXPECT_THAT(result.err, HasSubstr("this is a bug in tailback, please report it"));
  EXPECT_THAT(result.err, HasSubstr("tailback::tools::cmd_record"));
}

}  // namespace
}  // namespace tailback::tools
