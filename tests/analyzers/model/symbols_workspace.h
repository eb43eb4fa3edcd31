// SPDX-License-Identifier: Apache-2.0
// For the symbol tests: a temporary folder with compiled programs in it, and recordings built by hand that refer to them.
#pragma once
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "analyzers/model/symbols.h"
#include "analyzers/model/symbols/elf_file.h"

namespace tailback::analyzers {

class Workspace {
 public:
  Workspace() {
    std::string name = testing::TempDir() + "tailback_symbols_XXXXXX";
    folder_ = mkdtemp(name.data()) ? name : std::string();
  }
  ~Workspace() {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  // Runs a shell command inside the folder; its output.
  std::string run(const std::string& command) const {
    std::string text;
    FILE* pipe = popen(("cd " + folder_ + " && timeout 60 sh -c '" + command + "'").c_str(), "r");
    if (!pipe) return text;
    std::array<char, 4096> buffer;
    for (std::size_t count = 0; (count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), count);
    status_ = pclose(pipe);
    return text;
  }
  // The same for a command that must succeed.
  std::string must_run(const std::string& command) const {
    const std::string text = run(command);
    EXPECT_EQ(status_, 0) << command << "\n" << text;
    return text;
  }

  struct Extent {
    std::uint64_t start = 0, size = 0;
  };
  // Functions of a binary's symbol table with a size, by their name there.
  std::map<std::string, Extent> functions(const std::string& binary) const {
    std::map<std::string, Extent> result;
    std::istringstream lines(must_run("nm -S --defined-only " + binary));
    std::string start, size, type, name;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      if (fields >> start >> size >> type >> name && (type == "T" || type == "t" || type == "W" || type == "w"))
        result[name] = {std::stoull(start, nullptr, 16), std::stoull(size, nullptr, 16)};
    }
    return result;
  }

  static bool has(const std::string& program) { return system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0; }
  static std::string build_id_of(const std::string& file) {
    const auto elf = ElfFile::open(file);
    return elf ? elf->build_id() : std::string();
  }

 private:
  std::string folder_;
  mutable int status_ = 0;
};

// A recording of one process, by hand.
class RecordingByHand {
 public:
  RecordingByHand() { recording.nodes.emplace_back(); }

  ModuleId module(const std::string& path, const std::string& build_id, std::uint64_t bias, std::uint64_t size = 0x10000000) {
    ModuleRow row;
    row.id = static_cast<ModuleId>(recording.modules.size() + 1);
    row.start = bias;
    row.end = bias + size;
    row.bias = bias;
    row.path = path;
    row.build_id = build_id;
    recording.modules.push_back(row);
    return row.id;
  }
  // `address` as in the process.
  StackId node(ModuleId module, std::uint64_t address, StackId parent = 0, std::uint8_t kind = 0) {
    NodeRow row;
    row.address = address;
    row.module = module;
    row.parent = parent;
    row.kind = kind;
    recording.nodes.push_back(row);
    return static_cast<StackId>(recording.nodes.size() - 1);
  }

  Recording recording;
};

// "name:line" of each frame at a node, innermost first.
inline std::vector<std::string> names_and_lines(const Symbols& symbols, StackId node) {
  std::vector<std::string> texts;
  for (const SymbolFrame& frame : symbols.frames(node))
    texts.push_back(symbols.function_name(frame.function) + ":" + std::to_string(frame.line));
  return texts;
}

// A program whose function outermost() contains middle() and innermost() inlined, each line known.
inline constexpr const char* kInlineProgram =
    "namespace area {\n"                                                              // 1
    "volatile int sink;\n"                                                            // 2
    "__attribute__((always_inline)) inline void innermost(int x) {\n"                 // 3
    "  sink = x * 3;\n"                                                               // 4
    "}\n"                                                                             // 5
    "template <class T> __attribute__((always_inline)) inline void middle(T x) {\n"   // 6
    "  innermost(int(x) + 1);\n"                                                      // 7
    "}\n"                                                                             // 8
    "__attribute__((noinline)) void outermost(int x) {\n"                             // 9
    "  middle<long>(x + 2);\n"                                                        // 10
    "  sink = x;\n"                                                                   // 11
    "}\n"                                                                             // 12
    "namespace { __attribute__((noinline)) int hidden(int x) { return x * sink; } }\n"  // 13
    "}\n"                                                                             // 14
    "int main(int argc, char**) { area::outermost(argc); return area::hidden(argc); }\n";
inline constexpr const char* kOutermost = "_ZN4area9outermostEi";
inline constexpr const char* kHidden = "_ZN4area12_GLOBAL__N_16hiddenEi";

}  // namespace tailback::analyzers
