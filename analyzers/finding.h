// SPDX-License-Identifier: Apache-2.0
// What a rule says: one suggestion, in the terms of docs/report.schema.json. Plain data.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace tailback::analyzers {

enum class Severity { info, low, medium, high, critical };
enum class Category { cpu, memory, locks, pools, pauses, io, tasks };

const char* to_string(Severity severity);
const char* to_string(Category category);

struct Frame {
  std::string function;   // simplified for reading; module+0xstart when there is no symbol
  std::string full_name;  // demangled in full, empty when the same
  std::string file;
  std::uint32_t line = 0;
  std::string module;     // base name
  std::uint64_t address = 0;
  bool inlined = false;   // inlined into the next frame outward
};

struct Gain {
  std::string metric = "wall_time";  // wall_time | cpu_time | latency | memory | availability
  double fraction = 0, low = 0, high = 0;  // part of the metric that would go away
  std::string how;                   // how it was computed
};

struct Evidence {
  std::string label;
  std::variant<double, std::string> value;
  std::string unit;
};

struct StackEvidence {
  std::string role;   // waiter | holder | cpu | allocation | blocked | creator
  double weight = 0;  // in `unit`
  std::string unit;
  std::vector<Frame> frames;  // innermost first
};

struct Finding {
  std::string rule;
  Category category = Category::cpu;
  Severity severity = Severity::info;
  std::string title;       // one sentence with the number that matters
  double confidence = 0;   // 0..1
  Gain gain;
  double cpu_seconds = 0;  // CPU time that it explains, where rules that see the same time are told apart by that; 0: not known
  Frame culprit;
  std::string cause;       // only for rule pause
  std::vector<Evidence> evidence;
  std::vector<StackEvidence> stacks;
  std::vector<std::string> advice;
  std::string verify;
};

}  // namespace tailback::analyzers
