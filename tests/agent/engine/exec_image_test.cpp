// SPDX-License-Identifier: Apache-2.0
// What another image gets of our environment: nothing it cannot take, nothing lost that is not ours.
#include "agent/engine/exec_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace tailback::engine {
namespace {

std::vector<std::string> rewritten(const std::vector<std::string>& before, ImageKind kind, std::uint64_t root) {
  std::vector<char*> pointers;
  for (const std::string& entry : before) pointers.push_back(const_cast<char*>(entry.c_str()));
  pointers.push_back(nullptr);
  ExecEnvironment environment(pointers.data());
  const std::size_t bytes = environment.plan(kind, root);
  if (bytes == 0) return before;
  std::vector<char> memory(bytes);
  std::vector<std::string> after;
  for (char* const* at = environment.build(memory.data()); *at; ++at) after.emplace_back(*at);
  return after;
}

using Entries = std::vector<std::string>;

TEST(ExecEnvironment, LeavesAloneWhatIsNotOurs) {
  const Entries none = {"A=1", "LD_PRELOAD=/lib/libother.so", "PATH=/bin"};
  for (const ImageKind kind : {ImageKind::takes_library, ImageKind::refuses_library, ImageKind::unknown}) EXPECT_EQ(rewritten(none, kind, 7), none);
  EXPECT_EQ(rewritten({}, ImageKind::refuses_library, 7), Entries{});
}

TEST(ExecEnvironment, TakesOnlyOurEntryOut) {
  for (const ImageKind kind : {ImageKind::refuses_library, ImageKind::takes_library})  // the second: nothing is at that path
    EXPECT_EQ(rewritten({"A=1", "LD_PRELOAD=/x/libtailback.so", "TAILBACK_ROOT_PID=3"}, kind, 7), (Entries{"A=1", "TAILBACK_ROOT_PID=3"}));
  EXPECT_EQ(rewritten({"LD_PRELOAD=/a.so:/x/libtailback.so b.so", "TAILBACK_ROOT_PID=3"}, ImageKind::refuses_library, 7),
            (Entries{"LD_PRELOAD=/a.so:b.so", "TAILBACK_ROOT_PID=3"}));
  const Entries similar = {"LD_PRELOAD=/x/mylibtailback.so", "LD_PRELOADED=libtailback.so"};
  EXPECT_EQ(rewritten(similar, ImageKind::refuses_library, 7), similar);
}

TEST(ExecEnvironment, TellsAChildWhoseChildItIs) {
  EXPECT_EQ(rewritten({"LD_PRELOAD=libtailback.so", "A=1"}, ImageKind::takes_library, 42), (Entries{"LD_PRELOAD=libtailback.so", "A=1", "TAILBACK_ROOT_PID=42"}));
  const Entries told = {"LD_PRELOAD=libtailback.so", "TAILBACK_ROOT_PID=3"};
  EXPECT_EQ(rewritten(told, ImageKind::takes_library, 42), told);
}

class Images : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tailback-images-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder = name;
  }
  void TearDown() override { EXPECT_EQ(std::system(("rm -r " + folder).c_str()), 0); }
  std::string file(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const std::string path = folder + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  ImageKind kind(const std::string& path) { return image_kind(AT_FDCWD, path.c_str()); }
  std::string folder;
};

TEST_F(Images, OfThisMachineAndOfOthers) {
  EXPECT_EQ(kind("/bin/sh"), ImageKind::takes_library);
  EXPECT_EQ(kind("/no/such/file"), ImageKind::unknown);
  EXPECT_EQ(kind(file("text", "no program")), ImageKind::unknown);
  EXPECT_EQ(kind(file("empty", "")), ImageKind::unknown);
  std::ifstream in("/bin/sh", std::ios::binary);
  std::string elf((std::istreambuf_iterator<char>(in)), {});
  elf[4] = 1;  // EI_CLASS: 32 bits
  EXPECT_EQ(kind(file("elf32", elf)), ImageKind::refuses_library);
  elf[4] = 2;
  const std::size_t loader = elf.find("/lib64/ld-linux");
  ASSERT_NE(loader, std::string::npos);
  elf.replace(loader, 15, "/lib64/ld-musl-");
  EXPECT_EQ(kind(file("musl", elf)), ImageKind::refuses_library);
  for (const std::size_t size : {std::size_t{64}, std::size_t{100}, std::size_t{700}}) kind(file("cut", elf.substr(0, size)));  // no crash
}

TEST_F(Images, ScriptsAreTheirInterpreters) {
  EXPECT_EQ(kind(file("script", "#!/bin/sh -e\n")), ImageKind::takes_library);
  EXPECT_EQ(kind(file("blank", "#! \t/bin/sh\n")), ImageKind::takes_library);
  EXPECT_EQ(kind(file("nothing", "#!\n")), ImageKind::unknown);
  const std::string self = folder + "/self";
  EXPECT_EQ(kind(file("self", "#!" + self + "\n")), ImageKind::unknown);
}

TEST_F(Images, InPath) {
  file("tool", "#!/bin/sh\n");
  std::string path = "PATH=/nowhere::" + folder;
  char* const environment[] = {path.data(), nullptr};
  EXPECT_EQ(image_kind_in_path("tool", environment), ImageKind::takes_library);
  EXPECT_EQ(image_kind_in_path("no-such-tool", environment), ImageKind::unknown);
  EXPECT_EQ(image_kind_in_path((folder + "/tool").c_str(), environment), ImageKind::takes_library);
}

}  // namespace
}  // namespace tailback::engine
