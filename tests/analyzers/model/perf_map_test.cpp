// SPDX-License-Identifier: Apache-2.0
// Perf maps: the format, overlapping lines, and files that must not be believed.
#include "analyzers/model/symbols/perf_map.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "tests/analyzers/model/symbols_workspace.h"

namespace tailback::analyzers {
namespace {

TEST(PerfMap, NamesAddressesInsideTheirRange) {
  const PerfMap map = PerfMap::parse("7f0000001000 20 py::work:/srv/app.py\n0x7f0000002000 0x10 LazyCompile:*fib /srv/a b.js:3\n");
  EXPECT_EQ(map.size(), 2u);
  EXPECT_EQ(map.name(0x7f0000001000), "py::work:/srv/app.py");
  EXPECT_EQ(map.name(0x7f000000101f), "py::work:/srv/app.py");
  EXPECT_EQ(map.name(0x7f0000001020), "");
  EXPECT_EQ(map.name(0x7f0000002008), "LazyCompile:*fib /srv/a b.js:3");
}

TEST(PerfMap, LaterLinesReplaceEarlierOnes) {
  const PerfMap map = PerfMap::parse("1000 100 old\n1080 100 newer\n1000 10 newest\n");
  EXPECT_EQ(map.name(0x1008), "newest");
  EXPECT_EQ(map.name(0x1010), "old");
  EXPECT_EQ(map.name(0x1080), "newer");
}

TEST(PerfMap, BrokenLinesArePassedOver) {
  const PerfMap map = PerfMap::parse("zzz 10 a\n10\n10 10\n10 zz b\n\n ffffffffffffffff 2 c\nffffffffffffffff 2 d\n1111111111111111111 1 e\n20 8 good\r\n30 8 last");
  EXPECT_EQ(map.size(), 2u);
  EXPECT_EQ(map.name(0x21), "good");
  EXPECT_EQ(map.name(0x31), "last");
}

TEST(PerfMap, RandomBytesEnd) {
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    std::string text(random() % 2000, ' ');
    for (char& c : text) c = "0123456789abcdef \n\tx\0"[random() % 21];
    PerfMap::parse(text).name(random());
  }
}

TEST(PerfMap, OnlyAnOwnRegularRecentFileIsBelieved) {
  const Workspace work;
  const std::string file = work.write("perf-1.map", "1000 10 here\n");
  EXPECT_EQ(PerfMap::read(file, 0).name(0x1000), "here");
  EXPECT_EQ(PerfMap::read(file, static_cast<std::uint64_t>(time(nullptr)) + 100).name(0x1000), "") << "older than the process";
  const std::string link = work.path("perf-2.map");
  ASSERT_EQ(symlink(file.c_str(), link.c_str()), 0);
  EXPECT_EQ(PerfMap::read(link, 0).name(0x1000), "") << "a link";
  const std::string fifo = work.path("perf-3.map");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(PerfMap::read(fifo, 0).size(), 0u) << "a FIFO must not be waited for";
  EXPECT_EQ(PerfMap::read(work.path("absent"), 0).size(), 0u);
  if (geteuid() == 0 && chown(file.c_str(), 12345, 12345) == 0) {
    EXPECT_EQ(PerfMap::read(file, 0).name(0x1000), "") << "someone else's";
  }
}

}  // namespace
}  // namespace tailback::analyzers
