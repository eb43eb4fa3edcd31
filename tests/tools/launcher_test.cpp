// SPDX-License-Identifier: Apache-2.0
// The launcher: what the program gets, how it ends, where its dump goes, how the dump is completed.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>

#include "agent/trace/decode.h"
#include "analyzers/model/mapped_input.h"
#include "tests/support/trace_builder.h"
#include "tools/command.h"
#include "tools/launcher/child.h"
#include "tools/launcher/dump_append.h"
#include "tools/launcher/dumps.h"
#include "tools/launcher/library.h"
#include "tools/launcher/output_pattern.h"

namespace tailback::tools {
namespace {

namespace files = std::filesystem;
constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

class LauncherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tailback-launcher-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
  }
  void TearDown() override { files::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string text(const std::string& name) const {
    std::ifstream in(path(name));
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  ChildResult shell(const std::string& script, std::vector<std::pair<std::string, std::string>> environment = {}) const {
    return run_child({"/bin/sh", {"sh", "-c", script, path("out")}, std::move(environment), {}});
  }

  std::string folder_;
};

TEST_F(LauncherTest, ExitStatusAndSignals) {
  EXPECT_EQ(shell("exit 7").shell_status(), 7);
  EXPECT_EQ(shell("kill -9 $$").shell_status(), 128 + SIGKILL);
  const ChildResult killed = shell("kill -TERM $$");
  EXPECT_FALSE(killed.exited);
  EXPECT_EQ(killed.status, SIGTERM);
}

TEST_F(LauncherTest, FiguresOfTheProgram) {
  const ChildResult result = shell("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; sleep 0.05");
  EXPECT_GT(result.wall_ns, 50'000'000u);
  EXPECT_GT(result.user_ns, 0u);
  EXPECT_LT(result.user_ns + result.system_ns, result.wall_ns);
}

TEST_F(LauncherTest, EnvironmentAndNumberOfTheProcess) {
  const ChildResult result = shell("echo $TAILBACK_ROOT_PID $$ $MARK >\"$0\"", {{"MARK", "a b"}});
  const std::string pid = std::to_string(result.pid);
  EXPECT_EQ(text("out"), pid + " " + pid + " a b\n");
  EXPECT_EQ(::getenv("MARK"), nullptr);
}

TEST_F(LauncherTest, WhatCannotBeExecuted) {
  EXPECT_EQ(run_child({path("missing"), {"missing"}, {}, {}}).exec_error, ENOENT);
  std::ofstream(path("text")) << "x";
  EXPECT_EQ(run_child({path("text"), {"text"}, {}, {}}).exec_error, EACCES);
}

TEST_F(LauncherTest, DispositionsAndMaskArePassedOn) {
  ::signal(SIGUSR2, SIG_IGN);
  shell("grep -E 'SigBlk|SigIgn|SigCgt' /proc/self/status >\"$0\"");
  ::signal(SIGUSR2, SIG_DFL);
  std::istringstream status(text("out"));
  std::uint64_t blocked = 1, ignored = 0;
  for (std::string name, mask; status >> name >> mask;) {
    if (name == "SigBlk:") blocked = std::stoull(mask, nullptr, 16);
    if (name == "SigIgn:") ignored = std::stoull(mask, nullptr, 16);
  }
  EXPECT_EQ(blocked, 0u);
  EXPECT_EQ(ignored & (1ull << (SIGUSR2 - 1)), 1ull << (SIGUSR2 - 1));
  EXPECT_EQ(ignored & (1ull << (SIGINT - 1)), 0u);
  struct sigaction now {};
  ::sigaction(SIGTERM, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST_F(LauncherTest, SignalsSentToTheLauncherReachTheProgram) {
  const pid_t self = ::getpid();
  std::thread sender([&] {
    sigset_t all;  // the launcher has one thread, which takes signals once it knows whom to pass them to
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (text("out") != "ready\n") std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::kill(self, SIGTERM);
  });
  const ChildResult result =
      shell("trap 'exit 9' TERM; echo ready >\"$0\"; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); sleep 0.02; done");
  sender.join();
  EXPECT_EQ(result.shell_status(), 9);
}

TEST_F(LauncherTest, Pattern) {
  files::current_path(folder_);
  const OutputPattern standard("");
  EXPECT_EQ(standard.expanded("/usr/bin/xz", 12), path("tailback.xz.12.tbk"));
  EXPECT_TRUE(standard.matches("tailback.make.77.tbk"));
  EXPECT_TRUE(standard.matches("tailback.make.77.tbk.3"));
  EXPECT_FALSE(standard.matches("tailback.txt"));
  EXPECT_FALSE(standard.is_fixed());
  const OutputPattern fixed("100%%.tbk");
  EXPECT_TRUE(fixed.is_fixed());
  EXPECT_EQ(fixed.expanded("x", 1), path("100%.tbk"));
  EXPECT_TRUE(fixed.matches("100%.tbk"));
  EXPECT_EQ(OutputPattern(folder_).expanded("a", 5), path("tailback.a.5.tbk"));
  EXPECT_THROW(OutputPattern("%p/x.tbk"), Failure);
  for (const char* wrong : {"-", "x.%t.tbk", "x%"}) EXPECT_THROW(OutputPattern{wrong}, Failure) << wrong;
  EXPECT_THROW(OutputPattern(path("none/x.tbk")).check_folder(), Failure);
  files::current_path("/");
}

TEST_F(LauncherTest, PatternInAFolderWithAPercentSign) {
  files::create_directory(path("50%p"));
  files::current_path(path("50%p"));
  EXPECT_EQ(OutputPattern("x.tbk").expanded("x", 9), path("50%p/x.tbk"));
  files::current_path("/");
}

TEST(Preload, ComesFirst) {
  EXPECT_EQ(prepended_preload("libtailback.so", nullptr), "libtailback.so");
  EXPECT_EQ(prepended_preload("/x/libtailback.so", "liba.so libb.so"), "/x/libtailback.so:liba.so libb.so");
}

std::vector<std::string> notes_of(const std::string& path, trace::DecodeResult& result) {
  const analyzers::MappedInput file(path);
  trace::Decoder decoder(file.bytes());
  std::vector<std::string> notes;
  result = decoder.for_each_event([&](const auto& event) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(event)>, trace::Note>) notes.emplace_back(event.text);
  });
  return notes;
}

std::vector<std::uint8_t> dump_with_notes(std::size_t count, bool ended) {
  tailback::testing::DumpImage image;
  const std::string text(1000, 'n');
  for (std::size_t i = 0; i < count; ++i) image.add(trace::Note{i, text});
  return image.image(ended);
}

TEST_F(LauncherTest, AppendedRecordsFollowTheOthers) {
  for (const std::size_t before : {0u, 1u, 64u, 65u, 200u})
    for (const bool ended : {true, false}) {
      tailback::testing::write_file(path("d.tbk"), dump_with_notes(before, ended));
      ASSERT_EQ(::truncate(path("d.tbk").c_str(), ended ? static_cast<off_t>(files::file_size(path("d.tbk"))) : 1 << 22), 0);
      {
        DumpAppender appender(path("d.tbk"), kNoLimit);
        ASSERT_TRUE(appender.open()) << appender.error();
        for (int i = 0; i < 100; ++i) ASSERT_TRUE(appender.append(trace::Note{1, std::string(1000, 'a')}));
      }
      trace::DecodeResult result;
      const auto notes = notes_of(path("d.tbk"), result);
      ASSERT_EQ(notes.size(), before + 100) << before << " " << ended;
      EXPECT_EQ(notes.back()[0], 'a');
      EXPECT_EQ(result.damaged_blocks + result.damaged_records + result.trailing_bytes, 0u);
      EXPECT_EQ(result.ended, ended);
      EXPECT_LT(files::file_size(path("d.tbk")), trace::kHeaderBytes + (before / 60 + 4) * trace::kBlockBytes);
    }
}

TEST_F(LauncherTest, TheUnusedTailIsCutOff) {
  tailback::testing::write_file(path("d.tbk"), dump_with_notes(3, false));
  ASSERT_EQ(::truncate(path("d.tbk").c_str(), 1 << 30), 0);
  { DumpAppender appender(path("d.tbk"), kNoLimit); }
  EXPECT_LT(files::file_size(path("d.tbk")), 8192u);
  trace::DecodeResult result;
  EXPECT_EQ(notes_of(path("d.tbk"), result).size(), 3u);
  EXPECT_FALSE(result.ended);
}

TEST_F(LauncherTest, ABlockNotYetCoveredByTheHeaderDoesNotCount) {
  tailback::testing::write_file(path("d.tbk"), dump_with_notes(70, true));
  trace::FileHeader before{}, after{};
  { DumpAppender appender(path("d.tbk"), kNoLimit); }
  std::ifstream(path("d.tbk"), std::ios::binary).read(reinterpret_cast<char*>(&before), sizeof before);
  { DumpAppender(path("d.tbk"), kNoLimit).append(trace::Note{1, "late"}); }
  std::ifstream(path("d.tbk"), std::ios::binary).read(reinterpret_cast<char*>(&after), sizeof after);
  EXPECT_GT(after.used_bytes, before.used_bytes);
  std::fstream(path("d.tbk"), std::ios::binary | std::ios::in | std::ios::out)
      .write(reinterpret_cast<char*>(&before), sizeof before);
  trace::DecodeResult result;
  EXPECT_EQ(notes_of(path("d.tbk"), result).size(), 70u);  // as if power had gone just before the header was written
}

TEST_F(LauncherTest, TheLimitOfTheSizeHolds) {
  constexpr std::uint64_t kLimit = 256 << 10;
  tailback::testing::write_file(path("d.tbk"), dump_with_notes(70, true));
  std::size_t added = 0;
  {
    DumpAppender appender(path("d.tbk"), kLimit);
    while (appender.append(trace::Note{1, std::string(1000, 'a')})) ++added;
  }
  EXPECT_GT(added, 100u);
  EXPECT_LE(files::file_size(path("d.tbk")), kLimit);
  trace::DecodeResult result;
  EXPECT_EQ(notes_of(path("d.tbk"), result).size(), 70 + added);
}

TEST_F(LauncherTest, OnlyDumpsAreTouched) {
  const std::string text(100000, 't');
  std::ofstream(path("text")) << text;
  EXPECT_FALSE(DumpAppender(path("text"), kNoLimit).open());
  EXPECT_EQ(files::file_size(path("text")), text.size());
  files::create_symlink(path("text"), path("link"));
  EXPECT_FALSE(DumpAppender(path("link"), kNoLimit).open());
  EXPECT_FALSE(DumpAppender(path("missing"), kNoLimit).open());
  EXPECT_FALSE(files::exists(path("missing")));
}

struct Planted {
  std::uint64_t pid, root_pid, cpu_ns, started = 5'000'000'000;
};

void plant(const std::string& path, const Planted& planted) {
  tailback::testing::DumpImage image;
  trace::Session session;
  session.pid = planted.pid;
  image.add(session);
  const std::string root = std::to_string(planted.root_pid);
  image.add(trace::Option{"root_pid", root});
  trace::ThreadState state;
  state.thread = 1;
  state.cpu_ns = planted.cpu_ns / 2;
  image.add(state);  // an older figure of the same thread
  state.cpu_ns = planted.cpu_ns;
  image.add(state);
  auto bytes = image.image();
  trace::FileHeader header{};
  std::memcpy(&header, bytes.data(), sizeof header);
  header.pid = static_cast<std::uint32_t>(planted.pid);
  header.started_realtime_ns = planted.started;
  std::memcpy(bytes.data(), &header, sizeof header);
  tailback::testing::write_file(path, bytes);
}

TEST_F(LauncherTest, DumpsOfThisRunAreFound) {
  const OutputPattern pattern(path("%e.%p.tbk"));
  plant(path("sh.100.tbk"), {100, 100, 4'000'000'000});
  plant(path("xz.101.tbk"), {101, 100, 9'000'000'000});
  plant(path("xz.102.tbk"), {102, 55, 9'000'000'000});                // another run's
  plant(path("sh.100.tbk.1"), {100, 100, 1'000'000, 1'000'000'000});  // an older process with that number
  plant(path("note.txt"), {100, 100, 1});
  auto dumps = find_dumps(pattern, 100, 4'900'000'000);
  ASSERT_EQ(dumps.size(), 2u);
  EXPECT_EQ(dumps[0].path, path("sh.100.tbk"));
  EXPECT_EQ(dumps[0].cpu_ns, 4'000'000'000u);
  EXPECT_EQ(dumps[1].pid, 101u);
}

TEST_F(LauncherTest, AWrapperYieldsToTheProgramItStarted) {
  const OutputPattern pattern(path("%e.%p.tbk"));
  plant(path("sh.100.tbk"), {100, 100, 3'000'000});
  plant(path("xz.101.tbk"), {101, 100, 9'000'000'000});
  const auto dumps = find_dumps(pattern, 100, 4'900'000'000);
  ASSERT_EQ(dumps.size(), 2u);
  EXPECT_EQ(dumps[0].pid, 101u);
}

TEST_F(LauncherTest, ForceRemovesDumpsAndNothingElse) {
  const OutputPattern pattern(path("run.tbk"));
  plant(path("run.tbk"), {1u << 30, 1, 1});
  plant(path("run.tbk.1"), {1u << 30, 1, 1});
  std::ofstream(path("run.tbk.2")) << "precious";
  plant(path("run.tbk.3"), {1u << 30, 1, 1});
  remove_old_dumps(pattern, "x", 1);
  EXPECT_FALSE(files::exists(path("run.tbk")));
  EXPECT_FALSE(files::exists(path("run.tbk.1")));
  EXPECT_EQ(text("run.tbk.2"), "precious");
  EXPECT_TRUE(files::exists(path("run.tbk.3")));
}

}  // namespace
}  // namespace tailback::tools
