// SPDX-License-Identifier: Apache-2.0
// The dump on disk: readable at any moment, never replacing or following, never growing past its limit.
#include "agent/engine/dump_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "agent/trace/decode.h"

namespace tailback::engine {
namespace {

namespace fs = std::filesystem;

class DumpFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tailback_dump_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = (folder_ / "a.tbk").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::vector<std::uint8_t> bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // Threads of all thread_name records, in file order, and what the decoder said.
  static trace::DecodeResult read(const std::string& path, std::vector<std::uint64_t>& threads) {
    const auto bytes = bytes_of(path);
    threads.clear();
    return trace::Decoder(bytes).for_each_event([&](const auto& event) {
      if constexpr (requires { event.thread, event.name; }) threads.push_back(event.thread);
    });
  }

  fs::path folder_;
  std::string path_;
  std::unique_ptr<DumpFile> dump_ = std::make_unique<DumpFile>();
};

TEST_F(DumpFileTest, IsReadableBeforeAndAfterItsEnd) {
  ASSERT_EQ(dump_->create(path_.c_str(), 1 << 24, 42, 7), 0);
  for (std::uint64_t i = 1; i <= 20'000; ++i) ASSERT_TRUE(dump_->append(trace::ThreadName{i, i, "a thread's name"}));
  std::vector<std::uint64_t> threads;
  auto result = read(path_, threads);
  EXPECT_EQ(result.error, "");
  EXPECT_FALSE(result.ended);
  EXPECT_EQ(threads.size(), 20'000u);
  dump_->finish();
  result = read(path_, threads);
  EXPECT_TRUE(result.ended);
  EXPECT_EQ(threads.size(), 20'000u);
  EXPECT_EQ(threads.back(), 20'000u);
  EXPECT_GT(result.blocks, 4u);
  EXPECT_EQ(result.damaged_blocks + result.damaged_records, 0u);
  EXPECT_LT(fs::file_size(path_), 20'000u * 32);
}

TEST_F(DumpFileTest, IsPrivateAndNeverReplacesOrFollows) {
  std::ofstream(path_) << "precious";
  fs::create_symlink(folder_ / "elsewhere", folder_ / "a.tbk.1");
  ASSERT_EQ(dump_->create(path_.c_str(), 1 << 20, 1, 1), 0);
  EXPECT_EQ(std::string(dump_->path()), path_ + ".2");
  struct stat status {};
  ASSERT_EQ(stat(dump_->path(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  dump_->finish();
  EXPECT_FALSE(fs::exists(folder_ / "elsewhere"));
  EXPECT_EQ(fs::file_size(path_), 8u);
}

TEST_F(DumpFileTest, FinishLeavesAnotherFileAtItsPathAlone) {
  ASSERT_EQ(dump_->create(path_.c_str(), 1 << 20, 1, 1), 0);
  fs::rename(path_, folder_ / "moved");
  std::ofstream(path_) << std::string(300'000, 'x');
  dump_->finish();
  EXPECT_EQ(fs::file_size(path_), 300'000u);
}

TEST_F(DumpFileTest, SaysWhyItCannotBeCreated) {
  EXPECT_EQ(dump_->create((folder_ / "missing" / "a.tbk").c_str(), 1 << 20, 1, 1), -ENOENT);
  EXPECT_EQ(dump_->create(path_.c_str(), 1000, 1, 1), -EFBIG);
  EXPECT_EQ(dump_->create(std::string(5000, 'a').c_str(), 1 << 20, 1, 1), -ENAMETOOLONG);
  EXPECT_EQ(dump_->state(), DumpState::closed);
  EXPECT_FALSE(dump_->append(trace::Note{1, "lost"}));
}

TEST_F(DumpFileTest, StopsAtItsLimitAndKeepsWhatItHas) {
  ASSERT_EQ(dump_->create(path_.c_str(), trace::kHeaderBytes + 3 * trace::kBlockBytes, 1, 1), 0);
  std::uint64_t written = 0;
  while (dump_->append(trace::ThreadName{written + 1, 0, "name"})) ASSERT_LT(++written, 1'000'000u);
  EXPECT_EQ(dump_->state(), DumpState::full);
  EXPECT_FALSE(dump_->append(trace::Note{1, "more"}));
  dump_->finish();
  std::vector<std::uint64_t> threads;
  EXPECT_TRUE(read(path_, threads).ended);
  EXPECT_EQ(threads.size(), written);
  EXPECT_LE(fs::file_size(path_), trace::kHeaderBytes + 3 * trace::kBlockBytes);
}

TEST_F(DumpFileTest, KeepsRoomForTheLastRecordsWhenFull) {
  ASSERT_EQ(dump_->create(path_.c_str(), 1 << 20, 1, 1), 0);
  while (dump_->append(trace::Note{1, "text"})) {}
  ASSERT_EQ(dump_->state(), DumpState::full);
  dump_->open_reserve();
  EXPECT_TRUE(dump_->append(trace::ThreadName{77, 1, "last"}));
  dump_->finish();
  std::vector<std::uint64_t> threads;
  const auto result = read(path_, threads);
  EXPECT_TRUE(result.ended);
  EXPECT_EQ(threads, std::vector<std::uint64_t>{77});
  EXPECT_EQ(result.damaged_blocks + result.damaged_records, 0u);
  EXPECT_LE(fs::file_size(path_), 1u << 20);
}

TEST_F(DumpFileTest, StaysBelowTheFileSizeLimitWithoutASignal) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit limit{256 * 1024, 256 * 1024};
    setrlimit(RLIMIT_FSIZE, &limit);
    if (dump_->create(path_.c_str(), 1 << 30, 1, 1) != 0) _exit(2);
    while (dump_->append(trace::Note{1, "some text that fills the file"})) {}
    dump_->finish();
    _exit(fs::file_size(path_) <= 256 * 1024 ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(DumpFileTest, SurvivesSigkillUpToTheLastRecord) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (dump_->create(path_.c_str(), 1 << 28, 1, 1) != 0) _exit(2);
    for (std::uint64_t i = 1; i <= 50'000; ++i) dump_->append(trace::ThreadName{i, i, "name"});
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  std::vector<std::uint64_t> threads;
  const auto result = read(path_, threads);
  EXPECT_FALSE(result.ended);
  EXPECT_EQ(result.damaged_blocks + result.damaged_records, 0u);
  EXPECT_EQ(threads.size(), 50'000u);
}

TEST_F(DumpFileTest, HasItsNameOnceItCanBeRead) {
  // A file system without unnamed files gives the name first.
  const int unnamed = open(folder_.c_str(), O_TMPFILE | O_RDWR, 0600);
  if (unnamed < 0) GTEST_SKIP() << "no unnamed files in " << folder_;
  close(unnamed);
  for (int kill_after_us = 0; kill_after_us < 200; ++kill_after_us) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) {
        DumpFile& dump = *new DumpFile;
        if (dump.create(path_.c_str(), 1 << 20, 1, 1) != 0) _exit(2);
      }
    }
    usleep(static_cast<useconds_t>(500 + kill_after_us));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    for (const auto& entry : fs::directory_iterator(folder_)) {
      std::vector<std::uint64_t> threads;
      EXPECT_EQ(read(entry.path(), threads).error, "") << entry.path();
      fs::remove(entry.path());
    }
  }
}

TEST_F(DumpFileTest, IsCreatedWhereNamesCannotComeLater) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (chroot(folder_.c_str()) != 0 || chdir("/") != 0) _exit(77);  // there is no /proc in it
    _exit(dump_->create("/a.tbk", 1 << 20, 1, 1) == 0 && dump_->append(trace::ThreadName{1, 1, "name"}) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "chroot is not allowed";
  EXPECT_EQ(WEXITSTATUS(status), 0);
  std::vector<std::uint64_t> threads;
  EXPECT_EQ(read(path_, threads).error, "");
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace tailback::engine
