// SPDX-License-Identifier: Apache-2.0
// Profiles of other tools, cut short and changed at random places, compressed and not: a report or a refusal, within bounds of time and
// memory. Also files that unpack to very much.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zstd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "analyzers/foreign/input_stream.h"
#include "tests/fuzz/analyze_dump.h"

namespace tailback::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Input {
  std::string name;
  Bytes file, content;  // as it is, and unpacked
};

Bytes unpacked(const Bytes& file) {
  analyzers::foreign::InputStream in(file);
  Bytes content(1 << 20);
  content.resize(in.read(reinterpret_cast<char*>(content.data()), content.size()));
  return content;
}

std::vector<Input> inputs() {
  std::vector<Input> all;
  for (const auto& entry : std::filesystem::directory_iterator(TAILBACK_SOURCE_DIR "/tests/analyzers/foreign/profiles")) {
    if (entry.path().extension() == ".cpp") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    Bytes file(std::istreambuf_iterator<char>(in), {});
    Bytes content = unpacked(file);
    all.push_back({entry.path().filename(), std::move(file), std::move(content)});
  }
  std::sort(all.begin(), all.end(), [](const Input& a, const Input& b) { return a.name < b.name; });
  return all;
}

TEST(Foreign, EveryProfileIsAnalysed) {
  const auto all = inputs();
  ASSERT_GE(all.size(), 8u);
  for (const Input& input : all) {
    SCOPED_TRACE(input.name);
    EXPECT_TRUE(analyze_profile(input.file));
    EXPECT_TRUE(analyze_profile(input.content));
  }
}

TEST(Foreign, ProfilesCutShort) {
  for (const Input& input : inputs()) {
    SCOPED_TRACE(input.name);
    for (std::size_t part = 0; part < 25; ++part) {
      analyze_profile(std::span(input.file).first(input.file.size() * part / 25), part % 8 == 0);
      analyze_profile(std::span(input.content).first(input.content.size() * part / 25), false);
    }
  }
}

TEST(Foreign, ProfilesChangedAtRandomPlaces) {
  std::mt19937_64 random(4711);
  const auto change = [&](Bytes bytes) {
    for (int i = 0; i < 6; ++i) {
      // Half of the changes keep to what occurs in the file: digits stay digits more often than not.
      const std::uint8_t value = random() % 2 ? static_cast<std::uint8_t>(random()) : bytes[random() % bytes.size()];
      bytes[random() % bytes.size()] = value;
    }
    return bytes;
  };
  for (const Input& input : inputs()) {
    SCOPED_TRACE(input.name);
    for (int round = 0; round < 30; ++round) {
      analyze_profile(change(input.file), round == 0);
      analyze_profile(change(input.content), round == 0);
    }
  }
}

TEST(Foreign, PartsInAnotherOrder) {
  std::mt19937_64 random(99);
  for (const Input& input : inputs()) {
    SCOPED_TRACE(input.name);
    for (int round = 0; round < 20; ++round) {
      Bytes bytes = input.content;
      const std::size_t head = std::min<std::size_t>(bytes.size() / 4, 16), from = head + random() % (bytes.size() - head), length = random() % (bytes.size() - from);
      std::rotate(bytes.begin() + static_cast<std::ptrdiff_t>(head), bytes.begin() + static_cast<std::ptrdiff_t>(from),
                  bytes.begin() + static_cast<std::ptrdiff_t>(from + length));
      analyze_profile(bytes, round == 0);
    }
  }
}

// A line repeated until it fills forty megabytes, packed into some kilobytes.
Bytes bomb(const std::string& head, const std::string& line) {
  std::string text = head;
  while (text.size() < (40u << 20)) text += line;
  Bytes packed(ZSTD_compressBound(text.size()));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  return packed;
}

TEST(Foreign, BombsStayWithinBounds) {
  const std::string heaptrack = "v 10400 3\nX p\ns 1 f\ni 1 1 1 1 1\n";
  for (const Bytes& packed : {bomb(heaptrack, "t 1 0\n"), bomb(heaptrack, "a 1 0\n"), bomb(heaptrack + "t 1 0\na 1 1\n", "+ 0\n"), bomb(heaptrack, "s 0 \n"),
                              bomb(heaptrack, "i 1 1 1 1 1 1 1 1\n"), bomb(heaptrack + "t 1 0\na 1 1\n", "c 1\n"), bomb("v 10400 3\n", "x"), bomb("heap profile: 1: 1 [1: 1] @ heapprofile\n", "1: 1 [1: 1] @ 0x1\n"),
                              bomb("heap_v2/1\n", "@ 1\nt*: 1: 1 [1: 1]\n"), bomb("a;b 1\n", "a;b;a;b 1\n"), bomb("a;b 1\n", "a;"), bomb(std::string("\x0a\x04\x08\x01\x10\x02\x32\x00", 8), std::string("\x32\x00", 2))})
    analyze_profile(packed, false);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  EXPECT_LT(usage.ru_maxrss, 2 << 20);  // KiB
}

}  // namespace
}  // namespace tailback::fuzz
