// SPDX-License-Identifier: Apache-2.0
// Exports of a synthetic recording, read back by independent readers: protoc for the fields, Debian's Go pprof for the meaning.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/support/trace_builder.h"
#include "tools/exports/folded.h"
#include "tools/exports/gzip.h"
#include "tools/exports/pprof.h"
#include "tools/exports/protobuf_writer.h"

namespace tailback::tools {
namespace {

namespace files = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

std::string output_of(const std::string& command, int* status = nullptr) {
  std::string out;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (std::size_t got; pipe && (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, got);
  const int ended = pipe ? ::pclose(pipe) : -1;
  if (status) *status = ended;
  return out;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

// All numbers behind `field: ` in messages named `message` at the top level of protoc's text form.
std::vector<long> numbers(const std::string& text, const std::string& message, const std::string& field) {
  std::vector<long> result;
  std::istringstream in(text);
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line[0] != ' ' && line[0] != '}') inside = line == message + " {";
    const std::string prefix = "  " + field + ": ";
    if (inside && line.starts_with(prefix)) result.push_back(std::stol(line.substr(prefix.size())));
  }
  return result;
}

const ProfileKind& kind(std::string_view name) {
  const auto kinds = profile_kinds();
  return *std::find_if(kinds.begin(), kinds.end(), [&](const ProfileKind& one) { return one.name == name; });
}

class ExportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tailback-export-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    tailback::testing::TraceBuilder builder(2, "/usr/bin/program");
    builder.define("inner;odd\nname", {"inner.h", 7, "program", "outer", true});
    builder.define("outer", {"outer.cc", 30, "program", "", true});
    builder.define("in_library", {"lib.c", 5, "libwork.so.1", "", true});
    const auto worker = builder.thread({"worker", 0, "worker_start", 0, 1, {"main"}, 0});
    builder.add(trace::FrameInfo{builder.module("program"), builder.address_of("worker_start") - 16, 0, "worker_start", "", 0});
    builder.run(1, 0, 2, builder.stack({"_start", "main", "inner;odd\nname"}));
    builder.run(worker, 0, 2, builder.stack({"clone3", "worker_start", "in_library"}), {0.5});
    builder.run(worker, 2, 3, builder.stack({"clone3", "worker_start"}), {1, 0, 0, 0, false});
    builder.run(1, 2, 3, builder.stack_on(1, 0, {"deep", "deeper"}));
    builder.add(trace::AllocationSite{.t = 1, .stack = builder.stack({"_start", "main", "outer"}), .blocks = 50, .bytes = 5000, .freed_blocks = 20, .freed_bytes = 2000, .peak_bytes = 4000});
    builder.add(trace::AllocationSite{.t = 1, .stack = builder.stack({"_start", "main", "in_library"}), .blocks = 7, .bytes = 700, .freed_blocks = 7, .freed_bytes = 700, .peak_bytes = 0});
    builder.add(trace::HeapState{.t = 2, .exact = 1, .blocks = 57, .bytes = 5700, .freed_blocks = 27, .freed_bytes = 2700, .peak_bytes = 4000, .peak_bound_bytes = 4000});
    builder.finish(3).write(folder_ + "/d.tbk");
    model_.recording = analyzers::read_recording(folder_ + "/d.tbk");
    model_.heap = analyzers::Heap::build(model_.recording);
    model_.symbols = std::make_unique<analyzers::Symbols>(model_.recording, analyzers::SymbolOptions{});
  }
  void TearDown() override { files::remove_all(folder_); }

  // protoc's text form of the profile.
  std::string decoded(const PprofOptions& options) {
    std::ofstream(folder_ + "/p", std::ios::binary) << pprof_profile(model_, kind(kind_), options);
    const std::string source = std::string(TAILBACK_SOURCE_DIR) + "/tests/tools";
    int status = -1;
    const std::string text = output_of(
        "protoc --proto_path=" + source + " --decode=perftools.profiles.Profile " + source + "/profile.proto <" + folder_ + "/p",
        &status);
    EXPECT_EQ(status, 0) << text;
    return text;
  }
  std::string go_pprof(const std::string& arguments) {
    std::ofstream(folder_ + "/p.gz", std::ios::binary) << gzipped(pprof_profile(model_, kind(kind_), {kind_ == "cpu"}));
    const std::string go = ::access("/usr/bin/go", X_OK) == 0 ? "/usr/bin/go" : "/usr/lib/go-1.19/bin/go";
    int status = -1;
    const std::string text = output_of(
        "HOME=" + folder_ + " PPROF_TMPDIR=" + folder_ + " " + go + " tool pprof " + arguments + " " + folder_ + "/p.gz",
        &status);
    EXPECT_EQ(status, 0) << text;
    return text;
  }
  double true_cpu_seconds() const {
    double ns = 0;
    for (const auto& thread : model_.recording.threads.rows) ns += static_cast<double>(thread.states.back().cpu_ns);
    return ns * 1e-9;
  }

  std::string folder_, kind_ = "cpu";
  analyzers::Model model_;
};

TEST_F(ExportTest, FoldedIsOneLineForEachStackRootFirst) {
  const std::string text = folded_stacks(model_, kind("cpu"), {.divisor = 1000});
  std::istringstream in(text);
  double sum = 0;
  const std::regex form("^[^;\n]+(;[^;\n]+)* [1-9][0-9]*$");
  for (std::string line; std::getline(in, line);) {
    EXPECT_TRUE(std::regex_match(line, form)) << line;
    sum += std::stod(line.substr(line.rfind(' ') + 1));
  }
  EXPECT_NEAR(sum * 1e-6, true_cpu_seconds(), 0.01);  // nothing dropped: time without a stack is there too
  EXPECT_THAT(text, HasSubstr("_start;main;outer;inner:odd?name_[i] "));
  EXPECT_THAT(text, HasSubstr("clone3;worker_start;in_library "));
  EXPECT_THAT(text, HasSubstr("worker_start;[no stack] "));
  EXPECT_THAT(text, HasSubstr("[truncated];deep;deeper "));
}

TEST_F(ExportTest, FoldedByThreadAndInSamples) {
  const std::string text = folded_stacks(model_, kind("cpu"), {.value = 0, .by_thread = true});
  EXPECT_THAT(text, HasSubstr("worker;clone3;worker_start;in_library "));
  EXPECT_THAT(text, Not(HasSubstr("[no stack]")));  // no samples stand behind it
  std::uint64_t samples = 0, sum = 0;
  for (const auto& row : model_.recording.cpu) samples += row.samples;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) sum += std::stoull(line.substr(line.rfind(' ') + 1));
  EXPECT_EQ(sum, samples);
}

TEST_F(ExportTest, PprofFollowsItsRules) {
  const std::string text = decoded({});
  EXPECT_FALSE(std::regex_search(text, std::regex("(^|\n) *[0-9]+: "))) << "a field that the format does not have";
  for (const char* message : {"mapping", "location", "function"}) {
    std::vector<long> ids = numbers(text, message, "id");
    ASSERT_FALSE(ids.empty()) << message;
    std::sort(ids.begin(), ids.end());
    for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], static_cast<long>(i + 1)) << message;
  }
  EXPECT_EQ(text.find("string_table: \"\"\n"), text.find("string_table: "));
  EXPECT_EQ(numbers(text, "sample", "value").size(), 2 * count(text, "sample {\n"));
  EXPECT_EQ(numbers(text, "sample_type", "type").size(), 2u);
  const auto locations = numbers(text, "location", "id");
  for (const long id : numbers(text, "sample", "location_id")) EXPECT_LE(id, static_cast<long>(locations.size()));
  EXPECT_EQ(count(text, "has_functions: true"), count(text, "mapping {\n"));
  EXPECT_EQ(count(text, "label {"), 0u);
  EXPECT_THAT(text, HasSubstr("default_sample_type: "));
  EXPECT_THAT(text, HasSubstr("duration_nanos: "));
}

TEST_F(ExportTest, PprofKeepsThreadsApartOnRequest) {
  const std::string text = decoded({true});
  EXPECT_EQ(count(text, "label {"), 2 * count(text, "sample {\n"));
  EXPECT_THAT(text, HasSubstr("\"thread_name\""));
}

TEST_F(ExportTest, GoPprofReadsIt) {
  const std::string raw = go_pprof("-raw");
  EXPECT_THAT(raw, HasSubstr("PeriodType: cpu nanoseconds"));
  EXPECT_THAT(raw, HasSubstr("samples/count cpu/nanoseconds[dflt]"));
  EXPECT_THAT(raw, HasSubstr("tailback " TAILBACK_VERSION));
  EXPECT_THAT(raw, HasSubstr("1: 0x"));
  const std::string top = go_pprof("-top -nodecount=50");
  EXPECT_THAT(top, HasSubstr("File: program"));
  EXPECT_THAT(top, HasSubstr("Type: cpu"));
  EXPECT_THAT(top, HasSubstr("in_library"));
  std::smatch total;
  ASSERT_TRUE(std::regex_search(top, total, std::regex("of ([0-9.]+)s total"))) << top;
  EXPECT_NEAR(std::stod(total[1]), true_cpu_seconds(), 0.02);
  EXPECT_THAT(go_pprof("-peek=outer"), HasSubstr("(inline)"));
  EXPECT_THAT(go_pprof("-tags"), HasSubstr("worker"));
}

TEST_F(ExportTest, FoldedOfTheHeap) {
  EXPECT_EQ(folded_stacks(model_, kind("heap"), {.value = 3}), "_start;main;outer 3000\n");
  EXPECT_EQ(folded_stacks(model_, kind("heap"), {.value = 2}), "_start;main;outer 30\n");
  EXPECT_EQ(folded_stacks(model_, kind("allocs"), {.value = 1}), "_start;main;in_library 700\n_start;main;outer 5000\n");
  EXPECT_EQ(folded_stacks(model_, kind("allocs"), {.value = 0}), "_start;main;in_library 7\n_start;main;outer 50\n");
  EXPECT_EQ(folded_stacks(model_, kind("peak"), {.value = 0}), "_start;main;outer 4000\n");
}

TEST_F(ExportTest, PprofOfTheHeap) {
  for (const auto& [name, types] : {std::pair("heap", 4u), std::pair("allocs", 2u), std::pair("peak", 1u)}) {
    SCOPED_TRACE(name);
    kind_ = name;
    const std::string text = decoded({});
    EXPECT_EQ(numbers(text, "sample_type", "type").size(), types);
    EXPECT_EQ(numbers(text, "sample", "value").size(), types * count(text, "sample {\n"));
    EXPECT_THAT(text, HasSubstr("\nperiod: 1\n"));
  }
}

TEST_F(ExportTest, GoPprofReadsTheHeap) {
  kind_ = "heap";
  const std::string raw = go_pprof("-raw");
  EXPECT_THAT(raw, HasSubstr("PeriodType: space bytes"));
  EXPECT_THAT(raw, HasSubstr("alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]"));
  EXPECT_THAT(go_pprof("-top -unit=B"), HasSubstr("of 3000B total"));
  EXPECT_THAT(go_pprof("-top -unit=B -sample_index=alloc_space"), HasSubstr("of 5700B total"));
  kind_ = "allocs";
  EXPECT_THAT(go_pprof("-raw"), HasSubstr("alloc_objects/count alloc_space/bytes[dflt]"));
  kind_ = "peak";
  EXPECT_THAT(go_pprof("-top -unit=B"), HasSubstr("of 4000B total"));
}

TEST(Gzip, RoundTrip) {
  for (const std::size_t size : {0u, 1u, 100000u, 3000000u}) {
    std::string data(size, ' ');
    unsigned state = 1;
    for (char& c : data) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    char path[] = "/tmp/tailback-gzip-XXXXXX";
    const int file = ::mkstemp(path);
    ASSERT_GE(file, 0);
    ::close(file);
    std::ofstream(path, std::ios::binary) << gzipped(data);
    EXPECT_EQ(output_of(std::string("gzip -dc <") + path), data) << size;
    ::unlink(path);
  }
}

TEST(Protobuf, Encoding) {
  ProtobufWriter writer;
  writer.varint_field(1, 300);
  writer.varint_field(2, 0);
  writer.bytes_field(3, "");
  const std::uint64_t values[] = {1, 128};
  writer.packed_field(16, values);
  EXPECT_EQ(writer.bytes(), std::string("\x08\xac\x02\x1a\x00\x82\x01\x03\x01\x80\x01", 11));
}

}  // namespace
}  // namespace tailback::tools
