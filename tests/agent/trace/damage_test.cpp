// SPDX-License-Identifier: Apache-2.0
// Damaged dumps: torn blocks, wrong checksums, files cut anywhere, random bytes. What is readable is delivered, what is not
// is counted, nothing is read outside the input (each image lies against the end of its own heap block, for the sanitizers).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "agent/trace/decode.h"
#include "tests/support/trace_builder.h"

namespace tailback::trace {
namespace {

using testing::DumpImage;

struct Read {
  DecodeResult result;
  std::vector<std::uint64_t> numbers;  // t of the module_unload records
};

// Decodes a copy that ends with its heap block.
Read read(const std::uint8_t* data, std::size_t size) {
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[size]);
  std::copy(data, data + size, copy.get());
  Read read;
  Decoder decoder({copy.get(), size});
  read.result = decoder.for_each_event([&](const auto& event) {
    if constexpr (std::is_same_v<std::decay_t<decltype(event)>, ModuleUnload>) read.numbers.push_back(event.t);
    for_each_field(event, [](const char*, const auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, str>) {
        volatile char last = value.empty() ? '\0' : value.back();
        (void)last;
      }
    });
  });
  return read;
}
Read read(const std::vector<std::uint8_t>& file) { return read(file.data(), file.size()); }

// `blocks` blocks of `each` records numbered through.
DumpImage numbered(int blocks, int each) {
  DumpImage image;
  for (int b = 0; b < blocks; ++b) {
    if (b) image.next_block();
    for (int i = 0; i < each; ++i) image.add(ModuleUnload{.id = 1, .t = static_cast<u64>(b * each + i)});
  }
  return image;
}

std::size_t block_offset(int block) { return kHeaderBytes + static_cast<std::size_t>(block) * kBlockBytes; }

TEST(Damage, AWrongChecksumCostsItsBlockOnly) {
  auto file = numbered(3, 10).image();
  file[block_offset(1) + sizeof(BlockHeader) + 5] ^= 0x40;
  const Read got = read(file);
  EXPECT_THAT(got.numbers, ::testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29));
  EXPECT_EQ(got.result.damaged_blocks, 1u);
  EXPECT_EQ(got.result.blocks, 2u);
}

TEST(Damage, EveryFlippedBitOfASealedBlockIsNoticed) {
  const auto intact = numbered(2, 8).image();
  std::uint32_t committed = 0;
  std::memcpy(&committed, intact.data() + block_offset(0) + 4, sizeof committed);
  for (std::size_t byte = 0; byte < committed; ++byte)
    for (int bit = 0; bit < 8; ++bit) {
      auto file = intact;
      file[block_offset(0) + sizeof(BlockHeader) + byte] ^= static_cast<std::uint8_t>(1 << bit);
      const Read got = read(file);
      ASSERT_EQ(got.result.damaged_blocks, 1u) << byte << "." << bit;
      ASSERT_EQ(got.numbers.size(), 8u);
    }
}

TEST(Damage, ABrokenBlockHeaderCostsItsBlockOnly) {
  for (const std::size_t field : {0u, 4u}) {  // magic, committed
    auto file = numbered(3, 10).image();
    for (std::size_t i = 0; i < 4; ++i) file[block_offset(1) + field + i] = 0xff;
    const Read got = read(file);
    EXPECT_EQ(got.numbers.size(), 20u) << field;
    EXPECT_EQ(got.result.damaged_blocks, 1u) << field;
  }
}

TEST(Damage, AnOpenBlockCountsUpToWhatIsCommitted) {
  DumpImage image = numbered(2, 10);
  auto file = image.image(false);
  EXPECT_EQ(read(file).numbers.size(), 20u);
  EXPECT_FALSE(read(file).result.ended);
  // Bytes behind `committed` are a record half written.
  std::uint32_t committed = 0;
  std::memcpy(&committed, file.data() + block_offset(1) + 4, sizeof committed);
  std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(block_offset(1) + sizeof(BlockHeader) + committed), 100, 0xff);
  EXPECT_EQ(read(file).numbers.size(), 20u);
  // A record that claims more than there is ends its block, not the file.
  const std::uint8_t torn[] = {static_cast<std::uint8_t>(Kind::module_unload), 100, 1};
  image.add_raw(torn, sizeof torn);
  image.next_block();
  image.add(ModuleUnload{.id = 1, .t = 99});
  const Read got = read(image.image());
  EXPECT_EQ(got.numbers.size(), 21u);
  EXPECT_EQ(got.result.damaged_records, 1u);
}

TEST(Damage, FieldsThatDoNotFitTheirRecordCostTheRecordOnly) {
  DumpImage image;
  const std::uint8_t unfinished_number[] = {static_cast<std::uint8_t>(Kind::module_unload), 2, 1, 0x80};
  const std::uint8_t number_too_long[] = {static_cast<std::uint8_t>(Kind::module_unload), 12, 1, 0x80, 0x80, 0x80, 0x80,
                                          0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
  const std::uint8_t text_too_long[] = {static_cast<std::uint8_t>(Kind::note), 3, 1, 200, 'x'};
  image.add_raw(unfinished_number, sizeof unfinished_number);
  image.add_raw(number_too_long, sizeof number_too_long);
  image.add_raw(text_too_long, sizeof text_too_long);
  image.add(ModuleUnload{.id = 1, .t = 5});
  const Read got = read(image.image());
  EXPECT_THAT(got.numbers, ::testing::ElementsAre(5));
  EXPECT_EQ(got.result.damaged_records, 3u);
}

TEST(Damage, CutAtEveryByteOffset) {
  const auto file = numbered(2, 40).image();
  std::size_t before = 0;
  for (std::size_t size = 0; size <= file.size(); ++size) {
    const Read got = read(file.data(), size);
    if (size < sizeof(FileHeader)) ASSERT_FALSE(got.result.error.empty());
    else ASSERT_TRUE(got.result.error.empty()) << size;
    ASSERT_GE(got.numbers.size(), before) << size;  // more bytes never give less
    before = got.numbers.size();
    ASSERT_EQ(before % 40, 0u) << "a block whose checksum cannot be right gives nothing";
  }
  EXPECT_EQ(before, 80u);
}

TEST(Damage, HeadersThatCannotBeAreErrors) {
  EXPECT_THAT(read({}).result.error, ::testing::HasSubstr("too short"));
  auto file = DumpImage().image();
  file[0] = 'X';
  EXPECT_THAT(read(file).result.error, ::testing::HasSubstr("not a tailback dump"));
  file = DumpImage().image();
  for (std::size_t i = 16; i < 20; ++i) file[i] = 0xff;  // block_bytes
  EXPECT_THAT(read(file).result.error, ::testing::HasSubstr("damaged"));
  file = DumpImage().image();
  for (std::size_t i = 16; i < 20; ++i) file[i] = 0;
  EXPECT_THAT(read(file).result.error, ::testing::HasSubstr("damaged"));
}

TEST(Damage, HeaderBeyondTheFileGivesNothing) {
  auto file = DumpImage().image();
  for (std::size_t i = 12; i < 16; ++i) file[i] = 0xff;  // header_bytes
  const Read got = read(file);
  EXPECT_EQ(got.result.records, 0u);
}

TEST(Damage, RandomBytesBehindAValidHeader) {
  std::mt19937_64 random(20261121);
  const auto header = DumpImage().image();
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint8_t> file(header.begin(), header.begin() + kHeaderBytes);
    file.resize(kHeaderBytes + random() % (3 * kBlockBytes));
    for (std::size_t i = kHeaderBytes; i < file.size(); ++i) file[i] = static_cast<std::uint8_t>(random());
    FileHeader* at = reinterpret_cast<FileHeader*>(file.data());
    at->used_bytes = 0;
    for (std::size_t block = kHeaderBytes; block + sizeof(BlockHeader) < file.size(); block += kBlockBytes) {
      auto* open = reinterpret_cast<BlockHeader*>(file.data() + block);  // unsealed: nothing but the framing protects
      *open = {.magic = kBlockMagic, .committed = static_cast<std::uint32_t>(random() % kBlockBytes)};
    }
    const Read got = read(file);
    EXPECT_TRUE(got.result.error.empty());
    EXPECT_LE(got.result.blocks + got.result.damaged_blocks, 4u);
  }
}

TEST(Damage, RandomChangesToARealFile) {
  std::mt19937_64 random(7);
  testing::TraceBuilder builder;
  builder.run(1, 0, 5, builder.stack({"main", "work", "inner"}));
  builder.finish(5);
  const auto intact = builder.image_bytes(false);
  for (int round = 0; round < 3000; ++round) {
    auto file = intact;
    for (int change = 0; change < 20; ++change) file[random() % 9000] = static_cast<std::uint8_t>(random());
    read(file);
  }
  EXPECT_GT(read(intact).result.records, 20u);
}

}  // namespace
}  // namespace tailback::trace
