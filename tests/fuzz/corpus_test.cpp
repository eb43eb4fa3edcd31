// SPDX-License-Identifier: Apache-2.0
// The fuzzer's corpus as a plain test, and each of its inputs cut short and changed at random places.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/analyze_dump.h"

namespace tailback::fuzz {
namespace {

std::vector<std::pair<std::string, std::vector<std::uint8_t>>> corpus() {
  std::vector<std::pair<std::string, std::vector<std::uint8_t>>> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(TAILBACK_SOURCE_DIR "/tests/fuzz/corpus")) {
    std::ifstream in(entry.path(), std::ios::binary);
    inputs.emplace_back(entry.path().filename(), std::vector<std::uint8_t>(std::istreambuf_iterator<char>(in), {}));
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

TEST(Corpus, EveryInputIsAnalysed) {
  const auto inputs = corpus();
  ASSERT_GE(inputs.size(), 5u);
  for (const auto& [name, bytes] : inputs) {
    SCOPED_TRACE(name);
    EXPECT_EQ(analyze_dump(bytes), !name.starts_with("refused-"));
  }
}

TEST(Corpus, InputsCutShort) {
  for (const auto& [name, bytes] : corpus()) {
    SCOPED_TRACE(name);
    for (std::size_t part = 0; part < 20; ++part) analyze_dump(std::span(bytes).first(bytes.size() * part / 20));
  }
}

TEST(Corpus, InputsChangedAtRandomPlaces) {
  std::mt19937_64 random(31337);
  for (const auto& [name, bytes] : corpus()) {
    SCOPED_TRACE(name);
    if (bytes.size() <= 4096) continue;
    for (int round = 0; round < 20; ++round) {
      auto changed = bytes;
      for (int change = 0; change < 8; ++change) changed[4096 + random() % (changed.size() - 4096)] = static_cast<std::uint8_t>(random());
      analyze_dump(changed);
    }
  }
}

}  // namespace
}  // namespace tailback::fuzz
