// SPDX-License-Identifier: Apache-2.0
// Any bytes as module or debug file: damaged copies of a real binary must give an answer, soon, and nothing worse.
#include <elf.h>
#include <sys/stat.h>

#include <chrono>
#include <random>

#include "tests/analyzers/model/symbols_workspace.h"

namespace tailback::analyzers {
namespace {

struct Region {
  std::uint64_t offset, size;
};

// The parts of a file that the readers interpret.
std::vector<Region> interpreted_regions(const ElfFile& file, std::size_t file_size) {
  std::vector<Region> regions{{0, file_size}, {0, 64}, {64, 512}};
  std::uint64_t headers = 0;
  memcpy(&headers, file.image().data() + 40, sizeof headers);
  regions.push_back({headers, file_size - headers});
  for (const ElfSection& section : file.sections())
    for (const char* part : {"debug", "sym", "str", "eh_frame", "rela", "note", "plt"})
      if (section.type != SHT_NOBITS && section.size && section.name.find(part) != std::string::npos)
        regions.push_back({section.offset, section.size});
  return regions;
}

std::string damaged(std::string bytes, const Region& region, std::mt19937& random) {
  for (unsigned changes = 1 + random() % 12; changes > 0; --changes) {
    const std::size_t at = region.offset + random() % region.size;
    if (at >= bytes.size()) continue;
    switch (random() % 4) {
      case 0: bytes[at] = static_cast<char>(random()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8)); break;
      case 2: bytes[at] = static_cast<char>(0xff); break;
      default: for (std::size_t i = at; i < std::min(at + 8, bytes.size()); ++i) bytes[i] = random() % 2 ? static_cast<char>(0xff) : 0;
    }
  }
  if (random() % 20 == 0) bytes.resize(random() % bytes.size());
  return bytes;
}

void resolve_everything(const std::string& path, const ElfSection& text) {
  RecordingByHand hand;
  const ModuleId module = hand.module(path, "", 0);
  std::vector<StackId> nodes;
  for (std::uint64_t offset = 0; offset < text.size; offset += 7) nodes.push_back(hand.node(module, text.address + offset));
  const Symbols symbols(hand.recording, {});
  for (const StackId node : nodes) ASSERT_FALSE(symbols.frames(node).empty());
  symbols.data_symbol(text.address + 0x3000);
}

class DamagedFile : public testing::TestWithParam<const char*> {};

TEST_P(DamagedFile, GivesAnAnswerSoon) {
  const Workspace work;
  work.write("program.cpp", kInlineProgram);
  work.must_run(std::string("g++ -O2 -g ") + GetParam() + " program.cpp -o program 2>&1");
  std::ifstream in(work.path("program"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const auto whole = ElfFile::open(work.path("program"));
  ASSERT_TRUE(whole);
  const std::vector<Region> regions = interpreted_regions(*whole, bytes.size());
  std::mt19937 random(17);
  double slowest = 0;
  for (int i = 0; i < 600; ++i) {
    const std::string path = work.write("damaged", damaged(bytes, regions[random() % regions.size()], random));
    const auto start = std::chrono::steady_clock::now();
    resolve_everything(path, *whole->section(".text"));
    slowest = std::max(slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  EXPECT_LT(slowest, 5.0);
}

INSTANTIATE_TEST_SUITE_P(Forms, DamagedFile, testing::Values("-gdwarf-4", "-gdwarf-5", "-gz"));

TEST(StrangeFiles, AreRefused) {
  const Workspace work;
  const std::string fifo = work.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string empty = work.write("empty", ""), text = work.write("text", "no ELF at all"),
                    magic = work.write("magic", std::string("\177ELF\2\1\1\0", 8) + std::string(200, '\xff'));
  for (const std::string& path : {fifo, empty, text, magic, work.path("absent"), std::string("/"), std::string("/dev/zero"), std::string()}) {
    RecordingByHand hand;
    const StackId node = hand.node(hand.module(path, "", 0x1000), 0x1234);
    const Symbols symbols(hand.recording, {});
    EXPECT_FALSE(symbols.resolved(symbols.frames(node)[0].function)) << path;
    EXPECT_LE(symbols.notes().size(), 2u);
  }
}

TEST(StrangeRecordings, ExtremeNumbersAreAnswered) {
  RecordingByHand hand;
  const ModuleId module = hand.module("/nowhere/lib.so", "ff", UINT64_MAX - 10, 5);
  hand.recording.code_ranges.push_back({UINT64_MAX - 3, UINT64_MAX, module});
  hand.recording.symbols.push_back({UINT64_MAX - 3, UINT64_MAX, module, "x"});
  hand.recording.symbols.push_back({UINT64_MAX, 0, module, "y"});
  hand.recording.frame_infos.push_back({5, module, UINT32_MAX, 1, "deep", "f"});
  hand.recording.mappings.push_back({UINT64_MAX, 0, "reversed"});
  std::vector<StackId> nodes{hand.node(module, 5), hand.node(module, 0), hand.node(module, UINT64_MAX), hand.node(77, 123), hand.node(0, UINT64_MAX)};
  const Symbols symbols(hand.recording, {});
  for (const StackId node : nodes) EXPECT_FALSE(symbols.frames(node).empty());
  EXPECT_EQ(symbols.frames_at(UINT64_MAX).size(), 1u);
}

}  // namespace
}  // namespace tailback::analyzers
