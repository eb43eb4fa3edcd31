// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/options.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace tailback::engine {
namespace {

// Read from an environment that is written over afterwards.
struct Read : Options {
  explicit Read(std::initializer_list<const char*> entries) {
    std::vector<std::string> kept(entries.begin(), entries.end());
    std::vector<char*> environment;
    for (auto& entry : kept) environment.push_back(entry.data());
    environment.push_back(nullptr);
    read(environment.data());
    for (auto& entry : kept) entry.assign(entry.size(), '#');
  }
};

TEST(Options, DefaultsAreThoseOfTheContract) {
  const Read options({"PATH=/bin", "TAILBACK_FREQUENCY_X=5"});
  EXPECT_TRUE(options.enabled);
  EXPECT_STREQ(options.output, "tailback.%e.%p.tbk");
  EXPECT_EQ(options.frequency, 199u);
  EXPECT_EQ(options.max_size, 1u << 30);
  EXPECT_TRUE(options.follow_children);
  EXPECT_EQ(options.rejected, nullptr);
}

TEST(Options, ReadsEveryKind) {
  const Read options({"TAILBACK_ENABLED=0", "TAILBACK_FREQUENCY=1000", "TAILBACK_DURATION=1.5", "TAILBACK_DELAY=0.000000002",
                                "TAILBACK_OUTPUT=/tmp/%p", "TAILBACK_FOLLOW_CHILDREN=no"});
  EXPECT_FALSE(options.enabled);
  EXPECT_EQ(options.frequency, 1000u);
  EXPECT_EQ(options.duration_ns, 1'500'000'000u);
  EXPECT_EQ(options.delay_ns, 2u);
  EXPECT_STREQ(options.output, "/tmp/%p");
  EXPECT_FALSE(options.follow_children);
}

TEST(Options, KeepsTheDefaultAndSaysSoWhenAValueCannotBeRead) {
  for (const char* entry : {"TAILBACK_FREQUENCY=fast", "TAILBACK_FREQUENCY=", "TAILBACK_FREQUENCY=12x", "TAILBACK_FREQUENCY=-3",
                            "TAILBACK_FREQUENCY=99999999999999999999", "TAILBACK_DURATION=1.2.3", "TAILBACK_DURATION=.",
                            "TAILBACK_DURATION=1e3", "TAILBACK_FOLLOW_CHILDREN=perhaps", "TAILBACK_OUTPUT="}) {
    const Read options({entry});
    ASSERT_NE(options.rejected, nullptr) << entry;
    EXPECT_EQ(std::string(entry).rfind(options.rejected, 0), 0u) << entry;
    EXPECT_EQ(options.frequency, 199u) << entry;
    EXPECT_EQ(options.duration_ns, 0u) << entry;
  }
}

TEST(Options, FrequencyIsBounded) {
  EXPECT_EQ(Read({"TAILBACK_FREQUENCY=0"}).frequency, 1u);
  EXPECT_EQ(Read({"TAILBACK_FREQUENCY=1000000"}).frequency, 10'000u);
}

TEST(Options, ListsThemselvesForTheDump) {
  std::map<std::string, std::string> listed;
  Read({"TAILBACK_DURATION=2"}).for_each(
      [](void* into, std::string_view name, std::string_view value) {
        (*static_cast<std::map<std::string, std::string>*>(into))[std::string(name)] = std::string(value);
      },
      &listed);
  EXPECT_EQ(listed["frequency"], "199");
  EXPECT_EQ(listed["duration"], "2000000000");
  EXPECT_EQ(listed["alloc"], "sampled");
  EXPECT_EQ(listed["follow_children"], "1");
}

}  // namespace
}  // namespace tailback::engine
