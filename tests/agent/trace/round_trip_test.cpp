// SPDX-License-Identifier: Apache-2.0
// Every kind of record survives encoding and decoding, field by field, and both an older and a newer writer can be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "agent/trace/decode.h"
#include "tests/support/trace_builder.h"

namespace tailback::trace {
namespace {

using testing::DumpImage;

// Different values of different lengths for each field, so that an exchange of two fields cannot go unseen.
struct Fill {
  std::uint64_t next;
  std::vector<std::string>& texts;
  void step() { next = next * 0x9e3779b97f4a7c15ULL + 1; }
  void operator()(const char*, u64& value) { step(), value = next >> (next % 61); }
  void operator()(const char*, i64& value) { step(), value = static_cast<i64>(next) >> (next % 61); }
  void operator()(const char* name, str& value) {
    step();
    texts.push_back(std::string(name) + std::to_string(next) + std::string(next % 300, '\xfe'));
    value = texts.back();
  }
};

template <class Event>
std::string describe(const Event& event) {
  std::string text = Event::kName;
  for_each_field(event, [&](const char* name, const auto& value) {
    text += std::string(" ") + name + "=";
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, str>) text += value;
    else text += std::to_string(value);
  });
  return text;
}

std::vector<std::string> read_all(const std::vector<std::uint8_t>& file, DecodeResult* result = nullptr) {
  std::vector<std::string> events;
  Decoder decoder(file);
  const DecodeResult got = decoder.for_each_event([&](const auto& event) { events.push_back(describe(event)); });
  if (result) *result = got;
  return events;
}

// Calls make(Type{}) for each kind of the schema.
template <class Make>
int for_each_kind(Make&& make) {
  int kinds = 0;
  for (std::uint32_t id = 0; id < 4096; ++id) kinds += with_event_of(static_cast<Kind>(id), make);
  return kinds;
}

TEST(RoundTrip, EveryKindComesBackFieldByField) {
  DumpImage image;
  std::vector<std::string> written, texts;
  texts.reserve(100'000);
  for (std::uint64_t seed = 1; seed <= 40; ++seed)
    for_each_kind([&](auto event) {
      for_each_field(event, Fill{seed * 7919, texts});
      image.add(event);
      written.push_back(describe(event));
    });
  DecodeResult result;
  EXPECT_EQ(read_all(image.image(), &result), written);
  EXPECT_TRUE(result.ended);
  EXPECT_GT(result.blocks, 1u) << "the records must cross a block border";
  EXPECT_EQ(result.records, written.size());
  EXPECT_EQ(result.damaged_blocks + result.damaged_records + result.unknown_records + result.trailing_bytes, 0u);
}

TEST(RoundTrip, ExtremesOfEachType) {
  DumpImage image;
  std::vector<std::string> written;
  const std::string longest(kMaxStringBytes, 'x');
  for (const u64 number : {u64{0}, u64{127}, u64{128}, ~u64{0}, u64{1} << 63}) {
    CpuSample sample{.t = number, .thread = ~number, .stack = number, .weight_ns = number, .cpu = number, .flags = number};
    image.add(sample);
    written.push_back(describe(sample));
  }
  for (const str text : {str(), str("\0", 1), str(longest)}) {
    Note note{.t = 1, .text = text};
    image.add(note);
    written.push_back(describe(note));
  }
  EXPECT_EQ(read_all(image.image()), written);
}

TEST(RoundTrip, StringsBeyondTheLimitAreCutByTheWriter) {
  DumpImage image;
  const std::string longer(kMaxStringBytes + 500, 'x');
  image.add(Note{.t = 3, .text = longer});
  EXPECT_THAT(read_all(image.image()), ::testing::ElementsAre(describe(Note{.t = 3, .text = str(longer).substr(0, kMaxStringBytes)})));
}

TEST(RoundTrip, EncodedSizeIsWhatEncodeWrites) {
  std::vector<std::string> texts;
  texts.reserve(1000);
  const int kinds = for_each_kind([&](auto event) {
    for_each_field(event, Fill{42, texts});
    std::uint8_t bytes[kBlockBytes];
    const std::size_t size = encode(event, bytes, sizeof bytes);
    EXPECT_EQ(size, encoded_size(event)) << decltype(event)::kName;
    EXPECT_EQ(encode(event, bytes, size), size);
    std::uint8_t untouched[kBlockBytes] = {};
    EXPECT_EQ(encode(event, untouched, size - 1), 0u);
    EXPECT_THAT(std::vector<std::uint8_t>(untouched, untouched + size), ::testing::Each(0)) << "nothing is written when there is no room";
  });
  EXPECT_GT(kinds, 20);
}

TEST(RoundTrip, IdsAndNamesAreUnique) {
  std::map<std::string, int> names;
  for_each_kind([&](auto event) {
    ++names[decltype(event)::kName];
    EXPECT_LT(static_cast<std::uint32_t>(decltype(event)::kKind), 1u << 14) << "kinds are meant to fit into two bytes, those that come often into one";
  });
  for (const auto& [name, count] : names) EXPECT_EQ(count, 1) << name;
}

// A record of `kind` made of bare numbers.
void add_numbers(DumpImage& image, std::uint64_t kind, const std::vector<std::uint64_t>& numbers) {
  std::uint8_t fields[256], record[300];
  std::uint8_t* end = fields;
  for (const auto number : numbers) end = put_varint(end, number);
  std::uint8_t* at = put_varint(put_varint(record, kind), static_cast<std::uint64_t>(end - fields));
  at = std::copy(fields, end, at);
  image.add_raw(record, static_cast<std::size_t>(at - record));
}

TEST(Compatibility, FieldsAnOlderWriterDidNotKnowKeepTheirDefault) {
  DumpImage image;
  add_numbers(image, static_cast<std::uint64_t>(Kind::cpu_sample), {11, 12, 13});
  EXPECT_THAT(read_all(image.image()), ::testing::ElementsAre(describe(CpuSample{.t = 11, .thread = 12, .stack = 13})));
}

TEST(Compatibility, FieldsOfANewerWriterAreIgnored) {
  DumpImage image;
  add_numbers(image, static_cast<std::uint64_t>(Kind::module_unload), {7, 8, 9, 10, 11});
  image.add(ModuleUnload{.id = 1, .t = 2});
  EXPECT_THAT(read_all(image.image()),
              ::testing::ElementsAre(describe(ModuleUnload{.id = 7, .t = 8}), describe(ModuleUnload{.id = 1, .t = 2})));
}

TEST(Compatibility, KindsOfANewerWriterAreSkippedAndCounted) {
  DumpImage image;
  image.add(ModuleUnload{.id = 1, .t = 2});
  add_numbers(image, 4000, {1, 2, 3});
  add_numbers(image, 0xffffffffu, {});
  image.add(ModuleUnload{.id = 3, .t = 4});
  DecodeResult result;
  EXPECT_EQ(read_all(image.image(), &result).size(), 2u);
  EXPECT_EQ(result.unknown_records, 2u);
  EXPECT_EQ(result.damaged_records, 0u);
}

TEST(Compatibility, ANewerFormatVersionIsRefusedByName) {
  auto file = DumpImage().image();
  file[8] = kVersion + 1;
  DecodeResult result;
  EXPECT_TRUE(read_all(file, &result).empty());
  EXPECT_THAT(result.error, ::testing::AllOf(::testing::HasSubstr(std::to_string(kVersion + 1)), ::testing::HasSubstr(std::to_string(kVersion))));
}

}  // namespace
}  // namespace tailback::trace
