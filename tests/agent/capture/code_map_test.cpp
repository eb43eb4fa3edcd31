// SPDX-License-Identifier: Apache-2.0
// The module map: what it learns from an address, and that an unload and walkers keep out of each other's way.
#include "agent/capture/code_map.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace tailback::capture {
namespace {

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

int marker() { return 1; }

TEST(CodeMap, LearnsTheProgramLibcAndTheVdso) {
  CodeMap map;
  ASSERT_TRUE(map.init("/the/program"));
  EXPECT_EQ(map.count(), 0u);
  const auto* program = map.find(reinterpret_cast<std::uint64_t>(&marker));
  ASSERT_NE(program, nullptr);
  EXPECT_STREQ(program->path, "/the/program");
  const auto* libc = map.find(address_of(dlsym(RTLD_DEFAULT, "gnu_get_libc_version")));
  ASSERT_NE(libc, nullptr);
  EXPECT_NE(std::string(libc->path).find("libc.so.6"), std::string::npos);
  EXPECT_EQ(libc->build_id_bytes, 20u);
  EXPECT_NE(libc->unwind.header, 0u);
  const auto* vdso = map.find(getauxval(AT_SYSINFO_EHDR) + 0x40);
  ASSERT_NE(vdso, nullptr);
  EXPECT_STREQ(vdso->path, "[vdso]");
  EXPECT_NE(vdso->unwind.header, 0u);
  EXPECT_EQ(map.count(), 3u);
  EXPECT_EQ(map.find(libc->start), libc);
  EXPECT_EQ(map.count(), 3u);
  EXPECT_EQ(libc->id, 2u);
  EXPECT_EQ(&map.entry(1), libc);
  EXPECT_EQ(map.find(address_of(&map) /* a stack */), nullptr);
}

TEST(CodeMap, AgreesWithTheLoader) {
  CodeMap map;
  ASSERT_TRUE(map.init("/the/program"));
  int seen = 0;
  const auto check = [&](dl_phdr_info& info) {
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      const auto& header = info.dlpi_phdr[i];
      const auto at = info.dlpi_addr + header.p_vaddr;
      if (header.p_type == PT_LOAD && (header.p_flags & PF_X)) {
        const auto* entry = map.find(at);
        ASSERT_NE(entry, nullptr) << info.dlpi_name;
        EXPECT_EQ(entry->bias, info.dlpi_addr);
        ++seen;
      }
      if (header.p_type == PT_GNU_EH_FRAME) {
        const auto* entry = map.find(at);
        ASSERT_NE(entry, nullptr);
        EXPECT_EQ(entry->eh_frame_hdr, at);
        EXPECT_EQ(entry->unwind.header, at);
        EXPECT_GE(entry->unwind.header_end, at + header.p_memsz);
      }
    }
  };
  dl_iterate_phdr([](dl_phdr_info* info, std::size_t, void* data) { return (*static_cast<decltype(check)*>(data))(*info), 0; },
                  const_cast<void*>(static_cast<const void*>(&check)));
  EXPECT_GE(seen, 4);
}

TEST(CodeMap, NothingIsLookedUpWhileAnUnloadRuns) {
  CodeMap map;
  ASSERT_TRUE(map.init("/the/program"));
  const auto here = reinterpret_cast<std::uint64_t>(&marker);
  ASSERT_NE(map.find(here), nullptr);
  map.begin_unload();
  map.begin_unload();  // two at a time
  EXPECT_FALSE(map.enter());
  EXPECT_EQ(map.find(here), nullptr);
  map.end_unload();
  EXPECT_FALSE(map.enter());
  map.end_unload();
  EXPECT_TRUE(map.enter());
  map.leave();
  EXPECT_NE(map.find(here), nullptr);
  EXPECT_EQ(map.generation(), 1u);  // nothing went away
}

TEST(CodeMap, AnUnloadWaitsForWalkersButNotForEver) {
  CodeMap map;
  ASSERT_TRUE(map.init("/the/program"));
  ASSERT_TRUE(map.enter());
  std::atomic<bool> begun{false};
  std::thread unloader([&] {
    map.begin_unload();
    begun = true;
    map.end_unload();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(begun);
  map.leave();
  unloader.join();
  EXPECT_TRUE(begun);
  ASSERT_TRUE(map.enter());
  map.begin_unload();  // a walker that never leaves: its thread was stopped
  map.end_unload();
  map.after_fork();
  EXPECT_TRUE(map.enter());
}

TEST(CodeMap, RacingThreadsPublishEveryModule) {
  for (int round = 0; round < 20; ++round) {
    CodeMap map;
    ASSERT_TRUE(map.init("/the/program"));
    const std::uint64_t addresses[] = {reinterpret_cast<std::uint64_t>(&marker), address_of(dlsym(RTLD_DEFAULT, "gnu_get_libc_version")),
                                       address_of(dlsym(RTLD_DEFAULT, "_ZNSt8ios_base4InitC1Ev")), getauxval(AT_SYSINFO_EHDR)};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (const auto address : addresses) ASSERT_NE(map.find(address), nullptr);
      });
    for (auto& thread : threads) thread.join();
    EXPECT_GE(map.count(), 4u);
    for (std::uint32_t i = 0; i < map.count(); ++i) {
      EXPECT_EQ(map.entry(i).id, i + 1);
      EXPECT_EQ(map.entry(i).ready, 1u);
    }
  }
}

}  // namespace
}  // namespace tailback::capture
