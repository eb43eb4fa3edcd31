// SPDX-License-Identifier: Apache-2.0
// How long symbolisation takes: 10,000 distinct addresses, inline frames included, of a 100 MB binary with debug data made by
// make_debug_binary.sh beside this program (kept for the next run). With --short it reads itself instead.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>
#include <string>

#include "analyzers/model/symbols.h"
#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {
namespace {

constexpr double kLimitSeconds = 2;
constexpr std::size_t kAddresses = 10'000;
constexpr int kRounds = 5;

struct Result {
  double seconds = 0;
  std::size_t frames = 0, functions = 0;
  double unresolved = 0;
};

Recording recording_of(const std::string& path, std::size_t count) {
  Recording recording;
  const auto file = ElfFile::open(path);
  const ElfSection* text = file ? file->section(".text") : nullptr;
  if (!text) return recording;
  ModuleRow module;
  module.id = 1;
  module.end = UINT64_MAX;
  module.path = path;
  module.build_id = file->build_id();
  recording.modules.push_back(module);
  recording.nodes.emplace_back();
  std::mt19937_64 random(1);
  std::set<std::uint64_t> addresses;
  while (addresses.size() < std::min<std::uint64_t>(count, text->size / 4)) addresses.insert(text->address + random() % text->size);
  for (const std::uint64_t address : addresses) {
    NodeRow node;
    node.address = address;
    node.module = 1;
    recording.nodes.push_back(node);
  }
  return recording;
}

// From nothing opened to every frame known.
Result measure(const Recording& recording) {
  std::vector<StackId> nodes;
  for (StackId node = 1; node < recording.nodes.size(); ++node) nodes.push_back(node);
  std::shuffle(nodes.begin(), nodes.end(), std::mt19937(2));
  const auto start = std::chrono::steady_clock::now();
  const Symbols symbols(recording, {});
  symbols.resolve_all(nodes);
  Result result;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const StackId node : nodes) result.frames += symbols.frames(node).size();
  result.functions = symbols.function_count();
  result.unresolved = symbols.unresolved_fraction();
  return result;
}

std::string subject(bool short_form) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  if (short_form) return self;
  const std::string big = std::filesystem::path(self).parent_path().string() + "/symbols_subject.so";
  const std::string command = std::string("'") + TAILBACK_SOURCE_DIR + "/tests/bench/make_debug_binary.sh' '" + big + "' 100000000 >&2";
  if (access(big.c_str(), R_OK) != 0 && std::system(command.c_str()) != 0) return {};
  return big;
}

int run(bool short_form) {
  const std::string path = subject(short_form);
  const Recording recording = recording_of(path, short_form ? 1000 : kAddresses);
  if (recording.nodes.size() < 2) {
    fmt::print(stderr, "symbols: cannot make or read {}\n", path.empty() ? "the big binary" : path);
    return 1;
  }
  std::vector<double> seconds;
  Result result;
  for (int round = 0; round < (short_form ? 1 : kRounds); ++round) {
    result = measure(recording);
    seconds.push_back(result.seconds);
  }
  std::sort(seconds.begin(), seconds.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double median = seconds[seconds.size() / 2];
  const double megabytes = static_cast<double>(std::filesystem::file_size(path)) / 1e6;
  fmt::print("symbols: {} addresses of a {:.0f} MB binary, {} frames, {} functions, {:.1f} % without a name\n",
             recording.nodes.size() - 1, megabytes, result.frames, result.functions, result.unresolved * 100);
  fmt::print("symbols: {:.2f} s ({:.2f} to {:.2f} in {} rounds), peak memory {} MiB{}\n", median, seconds.front(), seconds.back(),
             seconds.size(), usage.ru_maxrss / 1024,
             short_form ? "" : fmt::format("; limit {} s: {}", kLimitSeconds, seconds.back() <= kLimitSeconds ? "met" : "not met"));
  return 0;
}

}  // namespace
}  // namespace tailback::analyzers

int main(int argc, char** argv) {
  const bool short_form = argc > 1 && std::string(argv[1]) == "--short";
  return tailback::analyzers::run(short_form);
}
