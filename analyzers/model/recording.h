// SPDX-License-Identifier: Apache-2.0
// One process's dump as tables, in the units of the schema (agent/trace/events.def); no judgement, no symbols.
// Single samples are kept only where asked for; everything else is bounded by threads, stacks and seconds.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/trace/decode.h"
#include "analyzers/model/allocation_tables.h"
#include "analyzers/model/call_tables.h"
#include "analyzers/model/lock_tables.h"
#include "analyzers/model/look_tables.h"
#include "analyzers/model/loop_tables.h"
#include "analyzers/model/pause_tables.h"

namespace tailback::analyzers {

using ModuleId = std::uint32_t;

struct ModuleRow {
  ModuleId id = 0;
  std::uint64_t start = 0, end = 0, bias = 0;
  std::string path, build_id;  // build_id: lower-case hex
  std::optional<std::uint64_t> unloaded_ns;
  std::uint32_t first_generation = 0, last_generation = ~0u;  // of the stacks that can mean this module
  bool placed = true;                                         // false: only its name is known, its file resolves nothing
};

struct NodeRow {  // a stack is a node; index = StackId, in the order of the file; parents before children
  std::uint64_t address = 0;
  StackId parent = 0;
  std::uint8_t kind = 0;        // as in stack_node.kind
  std::uint32_t generation = 0; // number of the generation node at its root, 0 none: tells modules at one address apart
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

// Where a recording comes from when it is not a dump of tailback's own.
struct Source {
  std::string format;  // "heaptrack file"; empty: a dump
  std::string holds;   // what its figures are, for the report
};

struct Recording {
  std::string path;
  Source source;
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
  CallTables calls;                              // waiting and I/O
  LockTables locks;
  LoopTables loops;                              // event loops
  LookTable look;                                // of the last time that somebody asked
  AllocationTables allocations;                  // the heap
  PauseTables pauses;

  std::uint64_t duration_ns = 0;                 // from start to the last time seen in any record
  bool complete = false;                         // ended in order

  std::uint64_t from_ns = 0, to_ns = 0;          // the stretch looked at; the whole recording unless a window was asked for
  std::uint64_t whole_cpu_ns = 0;                // CPU clocks of all threads over the whole recording, whatever was asked for
  std::uint64_t total_samples = 0;               // CPU samples behind `cpu`
  std::uint64_t ignored_records = 0;             // well-formed, but with ids that cannot be
  std::uint64_t samples_left_out = 0;            // single samples beyond ReadOptions::max_samples (counted in `cpu` all the same)
  std::vector<std::string> reader_notes;         // what the reader has to say about the input

  std::vector<std::unique_ptr<std::string>> strings;
};

struct ReadOptions {
  std::optional<std::uint64_t> from_ns, to_ns;   // single samples are cut exactly, aggregates where most of them lies inside
  std::string thread;                            // only threads of this name; empty: all
  std::size_t max_samples = 1'000'000;           // single samples kept: the first ones; 24 MB
  std::size_t max_cpu_rows = 10'000'000;         // beyond, the rows are merged into longer intervals; 320 MB
  std::size_t max_thread_states = 2'000'000;     // beyond, states are kept less densely; 192 MB
  std::size_t max_call_rows = 500'000;           // beyond, calls are not told apart by object, then by stack; 100 MB for each of three tables
  std::size_t max_call_events = 2'000'000;       // single calls and wakes kept, beyond of fewer windows; 112 MB
};

// Reads a dump (mapped, not copied). Throws InputError (input_error.h) naming file, cause and remedy when it is none, or
// when no thread has the name asked for.
Recording read_recording(const std::string& path, const ReadOptions& options = {});
// The same for a file image in memory; `name` stands for the path in messages.
Recording read_recording_image(std::span<const std::uint8_t> image, const std::string& name, const ReadOptions& options = {});

}  // namespace tailback::analyzers
