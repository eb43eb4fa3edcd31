// SPDX-License-Identifier: Apache-2.0
// One process's dump as tables, in the units of the schema (agent/trace/events.def); no judgement, no symbols.
// Single samples are kept only where asked for; everything else is bounded by threads, stacks and seconds.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/trace/decode.h"

namespace tailback::analyzers {

using ThreadId = std::uint32_t;
using StackId = std::uint32_t;
using ModuleId = std::uint32_t;

struct ModuleRow {
  ModuleId id = 0;
  std::uint64_t start = 0, end = 0, bias = 0;
  std::string path, build_id;  // build_id: lower-case hex
  std::optional<std::uint64_t> unloaded_ns;
};

struct NodeRow {  // a stack is a node; index = StackId
  std::uint64_t address = 0;
  StackId parent = 0;
  std::uint8_t kind = 0;        // as in stack_node.kind
  std::uint32_t generation = 0; // how many generation nodes came before: tells modules at one address apart
  ModuleId module = 0;          // 0: none (JIT)
};

struct CodeRangeRow { std::uint64_t start = 0, size = 0; ModuleId module = 0; };
struct MappingRow { std::uint64_t start = 0, end = 0; std::string name; };
struct SymbolRow { std::uint64_t start = 0, size = 0; ModuleId module = 0; std::string name; };
struct FrameInfoRow { std::uint64_t address = 0; ModuleId module = 0; std::uint32_t depth = 0, line = 0; std::string function, file; };

// Cumulative counters of a thread at one moment.
struct ThreadCounters {
  std::uint64_t t = 0, cpu_ns = 0, user_ns = 0, system_ns = 0, run_delay_ns = 0;
  std::uint64_t voluntary_switches = 0, involuntary_switches = 0, minor_faults = 0, major_faults = 0;
  std::uint64_t samples = 0, sampled_ns = 0, lost_ns = 0;
};

struct ThreadTable {
  struct Row {
    ThreadId id = 0;
    std::uint64_t tid = 0, start_ns = 0;
    std::optional<std::uint64_t> end_ns;
    ThreadId creator = 0;
    StackId creation_stack = 0;
    std::uint64_t start_routine = 0, start_argument = 0, flags = 0;
    std::string name;                     // the last one it had
    std::vector<ThreadCounters> states;   // ascending in t; the last holds its final figures
  };
  std::vector<Row> rows;                  // ascending id
  const Row* find(ThreadId id) const;
};

struct ThreadGroupRow {  // short-lived threads not listed singly, summed over the recording
  StackId creation_stack = 0;
  std::uint64_t start_routine = 0, start_argument = 0, first_t = 0, last_t = 0;
  std::uint64_t count = 0, lifetime_ns = 0, cpu_ns = 0, user_ns = 0, system_ns = 0, run_delay_ns = 0;
};

struct CpuRow {  // tier 1, or single samples already folded into the same form by the reader
  std::uint32_t end_ms = 0, span_ms = 0;
  ThreadId thread = 0;
  StackId stack = 0;
  std::uint32_t samples = 0;
  std::uint64_t weight_ns = 0;
};

struct SampleRow {  // tiers 2 and 3, inside windows only
  std::uint64_t t = 0;
  std::uint32_t weight_ns = 0;
  ThreadId thread = 0;
  StackId stack = 0;
  std::uint16_t cpu = 0, flags = 0;
};

struct Recording {
  std::string path;
  std::uint64_t file_bytes = 0;
  trace::DecodeResult quality;

  // Copies of the single records (strings owned by `strings`).
  trace::Session session;
  trace::Machine machine;
  std::optional<trace::SessionEnd> end;
  std::optional<trace::ExitStatus> exit_status;
  trace::Overhead overhead;                      // the last one
  std::vector<trace::Loss> losses;               // the last of each kind
  std::vector<trace::Governor> governor;
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::string>> options;

  std::vector<ModuleRow> modules;
  std::vector<NodeRow> nodes;                    // [0] unused
  std::vector<CodeRangeRow> code_ranges;         // sorted by (module, start)
  std::vector<MappingRow> mappings;
  std::vector<SymbolRow> symbols;
  std::vector<FrameInfoRow> frame_infos;
  ThreadTable threads;
  std::vector<ThreadGroupRow> thread_groups;
  std::vector<CpuRow> cpu;                       // each sampled nanosecond exactly once
  std::vector<SampleRow> samples;                // detail
  std::vector<trace::DetailWindow> windows;
  std::vector<trace::ProcessState> process;
  std::vector<trace::SystemState> system;
  std::vector<trace::CgroupState> cgroup;

  std::uint64_t duration_ns = 0;                 // from start to the last time seen in any record
  bool complete = false;                         // ended in order

  std::vector<std::unique_ptr<std::string>> strings;
};

// Reads a dump (mapped, not copied). Throws InputError (pipeline.h) naming file, cause and remedy when it is none.
Recording read_recording(const std::string& path);

}  // namespace tailback::analyzers
