// SPDX-License-Identifier: Apache-2.0
// Builds synthetic dumps for tests, byte for byte as the agent writes them (agent/trace/encode.h), without running anything.
//
// Two levels: add() takes any record of the schema; run(), thread() and stack() describe a program in terms of what its
// threads did, and finish() writes the counters that follow from it. Not for the product; not thread-safe.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/trace/calls.h"
#include "agent/trace/encode.h"

namespace tailback::testing {

inline constexpr std::uint64_t kSecond = 1'000'000'000;
inline constexpr std::uint64_t kMillisecond = 1'000'000;

// Records into blocks: the framing of layout.h.
class DumpImage {
 public:
  DumpImage();

  template <class Event>
  void add(const Event& event) {
    std::uint8_t bytes[trace::kBlockBytes];
    const std::size_t size = trace::encode(event, bytes, sizeof bytes - sizeof(trace::BlockHeader));
    add_raw(bytes, size);
  }
  // Bytes of one record as they are, well-formed or not.
  void add_raw(const void* bytes, std::size_t size);
  // Begins a new block whatever room is left.
  void next_block();

  // The file so far. `ended`: closed in order, the last block sealed; else as a killed writer leaves it.
  std::vector<std::uint8_t> image(bool ended = true) const;
  void reserve(std::size_t bytes) { bytes_.reserve(bytes); }

 private:
  void begin_block();
  std::vector<std::uint8_t> bytes_;
  std::size_t block_ = 0;  // offset of the open block
  std::uint64_t sequence_ = 0;
};

void write_file(const std::string& path, const std::vector<std::uint8_t>& bytes);

// What a function looks like to the reader of the dump (frame_info and symbol records).
struct FunctionSpec {
  std::string file;
  std::uint32_t line = 0;
  std::string module = "program";
  std::string inlined_into;  // name of the function it is inlined into at this address; empty: none
  bool known = true;         // false: only a code_range
};

struct ThreadSpec {
  std::string name;
  double start = 0;                        // seconds
  std::string start_routine;               // name of a function
  std::uint64_t start_argument = 0;
  std::uint64_t creator = 1;
  std::vector<std::string> creation_stack; // outermost first
  std::uint64_t flags = 0;
};

struct EndpointSpec {
  trace::EndpointKind kind = trace::EndpointKind::file;
  std::uint64_t flags = 0, size_bytes = 0;
};

// Many like calls of one kind by one thread on one object from one place.
struct CallSpec {
  std::uint64_t thread = 1;
  trace::Call call = trace::Call::none;
  std::uint64_t object = 0;   // endpoint, or address
  std::uint64_t stack = 0;
  double calls = 1;
  double each = 0;            // seconds; from 20 us on a call counts as blocked
  double bytes_each = 0;
  double errors = 0, empty = 0, apart = 0;  // of the calls
  double from = 0, to = 1;    // seconds
  std::uint64_t lock = 0;     // held meanwhile
};

struct TurnSpec {
  double opened = 0, turns = 0, each = 0;       // seconds a turn
  double delayed = 0, delayed_each = 0.04;      // further turns that were delayed
  double ready = 0;                             // further ones whose answer nobody had to wait for
  double first = 0, first_each = 0;             // of `turns`, the first on a connection, and how long one of these takes
  std::uint64_t delayed_stack = 0;
  double from = 0, to = 1;
};

// An event loop: many like short turns, and long ones in which one stack ran, a sample each 5 ms, or one call blocked.
struct LoopSpec {
  std::uint64_t thread = 1, loop = 6;
  std::uint64_t wait = 0;                    // stack of its wait
  double turns = 1000, each = 20e-6, ready = 1;
  double from = 0, to = 10;                  // seconds
  double late = 0, late_each = 0;            // time-outs
  std::uint64_t long_stack = 0;
  trace::Call long_call = trace::Call::none; // none: it runs
  double longs = 0, long_each = 0.08, untold = 0;  // untold: further long ones, which only the sums have
  std::uint64_t ready_after = 5;
};

using OverTime = std::function<double(double seconds)>;

// What one place allocates: so many blocks until a moment, so many of them freed.
struct HeapSiteSpec {
  std::uint64_t stack = 0;
  double size = 100;             // bytes of a block
  OverTime blocks, freed;        // cumulative, ascending; freed: none when empty
  double life = 0;               // seconds, of freed blocks; 0: no samples
};

struct HeapSpec {
  double to = 10, every = 0.25;  // seconds; records at each step
  bool exact = true;
  double samples_each = 0;       // sampled: mean bytes between samples, for the deviation of the estimates
  bool released_at_end = false;  // everything is freed at the very end
  std::vector<HeapSiteSpec> sites;
};

// Blocks that one place allocates again and again, all freed, as sums and samples at the end of the recording.
struct ChurnSpec {
  std::uint64_t stack = 0;
  double blocks = 0, temporary = 0, reallocations = 0;
  std::vector<std::pair<double, double>> sizes;  // bytes, part of the blocks
  double life = 1e-7;                            // seconds
  double allocate = 30e-9, free = 25e-9;         // seconds inside one call
  double crossed = 0, moved_bytes = 0;           // blocks freed by another thread; bytes copied by realloc
  double samples = 1000;
};

class TraceBuilder {
 public:
  // A recording of `program` on `cpus` CPUs. The main thread (1) exists from the start.
  explicit TraceBuilder(unsigned cpus = 2, std::string program = "/usr/bin/program");

  template <class Event>
  TraceBuilder& add(const Event& event) {
    image_.add(event);
    return *this;
  }
  DumpImage& image() { return image_; }

  // Says more about a function before its first use; those never defined are known by name, in module "program".
  TraceBuilder& define(const std::string& function, FunctionSpec spec);
  std::uint64_t address_of(const std::string& function);
  // The module's id; loaded at first use, 16 MiB apart.
  std::uint64_t module(const std::string& name);
  // The stack of these functions, outermost first.
  std::uint64_t stack(const std::vector<std::string>& functions);
  // The same on a root node of another kind (1 unknown beyond, 2 generation with its number as `address`, 3 folded).
  std::uint64_t stack_on(std::uint64_t root_kind, std::uint64_t address, const std::vector<std::string>& functions);
  std::uint64_t node(std::uint64_t parent, std::uint64_t address, std::uint64_t kind = 0);

  std::uint64_t thread(const ThreadSpec& spec);
  TraceBuilder& end_thread(std::uint64_t thread, double at);

  // The thread spends from..to (seconds): `busy` of it on a CPU at `stack`, `waiting` runnable but without a CPU. Gives an
  // aggregate for each second and grows the thread's counters. `system`: part of the CPU time inside the kernel.
  struct Load {
    double busy = 1, waiting = 0, system = 0;
    double switches_per_second = 0;  // voluntary ones
    bool sampled = true;             // false: the CPU time has no stacks
    double faults_per_second = 0;    // minor ones
    std::uint64_t lock = 0;          // held meanwhile
  };
  TraceBuilder& run(std::uint64_t thread, double from, double to, std::uint64_t stack, Load load);
  TraceBuilder& run(std::uint64_t thread, double from, double to, std::uint64_t stack) { return run(thread, from, to, stack, Load{}); }
  // A file, a peer, ...; one id for each name.
  std::uint64_t endpoint(const std::string& name, EndpointSpec spec);
  std::uint64_t file(const std::string& name, std::uint64_t size_bytes = 0) { return endpoint(name, {.size_bytes = size_bytes}); }
  std::uint64_t peer(const std::string& name) { return endpoint(name, {.kind = trace::EndpointKind::tcp_peer}); }
  // Sums and stacks for each second of from..to, as the agent writes them.
  TraceBuilder& calls(const CallSpec& spec);
  // Flushes, each of `each` seconds, of a file.
  TraceBuilder& flushes(std::uint64_t thread, std::uint64_t file, std::uint64_t stack, double count, double each, double to = 1) {
    return calls({.thread = thread, .call = trace::Call::fsync, .object = file, .stack = stack, .calls = count, .each = each, .to = to});
  }
  TraceBuilder& turns(std::uint64_t endpoint, const TurnSpec& spec);
  TraceBuilder& loop(const LoopSpec& spec);
  TraceBuilder& heap(const HeapSpec& spec);
  TraceBuilder& churn(double at, const ChurnSpec& spec);
  // Resident bytes over time; 64 MiB if never said.
  TraceBuilder& resident(OverTime bytes) { resident_ = std::move(bytes); return *this; }
  // CPUs of the machine kept busy by others, 0..1 of all.
  TraceBuilder& others_busy(double fraction) { others_busy_ = fraction; return *this; }

  // Writes counters second by second up to `seconds` and the end of the session; then image_bytes() is the whole file.
  // `reason` as in session_end.
  TraceBuilder& finish(double seconds, std::uint64_t reason = 0);
  std::vector<std::uint8_t> image_bytes(bool ended = true) const { return image_.image(ended); }
  void write(const std::string& path) const { write_file(path, image_.image()); }

 private:
  struct Second { double cpu = 0, system = 0, waiting = 0, switches = 0, faults = 0, samples = 0, sampled = 0; };
  struct ThreadLife {
    double start = 0, end = -1;
    std::vector<Second> seconds;
  };
  struct Module { std::uint64_t id = 0, start = 0, used = 0; };
  Second& second_of(std::uint64_t thread, std::size_t second);
  void write_states(std::uint64_t id, const ThreadLife& life, double end);
  void write_process(double end);
  void describe(std::uint64_t module, std::uint64_t address, std::uint64_t depth, const std::string& function);

  DumpImage image_;
  unsigned cpus_;
  double others_busy_ = 0;
  OverTime resident_;
  std::map<std::string, FunctionSpec> functions_;
  std::map<std::string, std::uint64_t> addresses_;
  std::map<std::string, Module> modules_;
  std::map<std::vector<std::uint64_t>, std::uint64_t> nodes_;
  std::map<std::string, std::uint64_t> endpoints_;
  std::map<std::uint64_t, ThreadLife> threads_;
};

}  // namespace tailback::testing
