// SPDX-License-Identifier: Apache-2.0
// Turns the events of one dump into the tables of a Recording. Used by read_recording only.
//
// Numbers in the input are never believed: stacks are renumbered in the order of their records, tables grow with the
// records present and not with the ids they claim, a record with an impossible id is counted and left out.
#pragma once
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>

#include "analyzers/model/call_reader.h"
#include "analyzers/model/cpu_rows.h"
#include "analyzers/model/recording.h"

namespace tailback::analyzers {

// Numbers of the file to rows of a table: an array as long as the numbers are dense, else a hash map.
class IdMap {
 public:
  static constexpr std::uint32_t kNone = ~0u;
  std::uint32_t find(std::uint64_t id) const;
  // False when the number is already there.
  bool insert(std::uint64_t id, std::uint32_t row);

 private:
  void grow(std::size_t size);
  std::vector<std::uint32_t> dense_;
  std::unordered_map<std::uint64_t, std::uint32_t> sparse_;
  std::size_t count_ = 0;
};

class RecordingReader {
 public:
  RecordingReader(Recording& recording, const ReadOptions& options);

  void operator()(const trace::Session& event);
  void operator()(const trace::Option& event);
  void operator()(const trace::Machine& event);
  void operator()(const trace::ClockPair& event) { saw(event.t); }
  void operator()(const trace::SessionEnd& event);
  void operator()(const trace::ExitStatus& event) { out_.exit_status = event; }
  void operator()(const trace::Loss& event);
  void operator()(const trace::Overhead& event);
  void operator()(const trace::Governor& event);
  void operator()(const trace::Note& event);
  void operator()(const trace::Module& event);
  void operator()(const trace::ModuleUnload& event);
  void operator()(const trace::Mapping& event);
  void operator()(const trace::CodeRange& event);
  void operator()(const trace::Symbol& event);
  void operator()(const trace::FrameInfo& event);
  void operator()(const trace::StackNode& event);
  void operator()(const trace::Thread& event);
  void operator()(const trace::ThreadName& event);
  void operator()(const trace::ThreadState& event);
  void operator()(const trace::ThreadGroup& event);
  void operator()(const trace::CpuAggregate& event);
  void operator()(const trace::CpuSample& event);
  void operator()(const trace::DetailWindow& event);
  void operator()(const trace::ProcessState& event);
  void operator()(const trace::SystemState& event);
  void operator()(const trace::CgroupState& event);
  void operator()(const trace::Endpoint& event) { calls_.endpoint(event); }
  void operator()(const trace::CallAggregate& event);
  void operator()(const trace::CallStack& event);
  void operator()(const trace::CallEvent& event);
  void operator()(const trace::Wake& event);
  void operator()(const trace::StillBlocked& event);
  void operator()(const trace::RequestTurns& event);
  void operator()(const trace::AllocationSite& event);
  void operator()(const trace::AllocationSamples& event);
  void operator()(const trace::HeapState& event);
  void operator()(const trace::AllocatorState& event);
  void operator()(const trace::LeakScan& event);
  void operator()(const trace::LeakedSite& event);
  void operator()(const trace::LockOrder& event);
  void operator()(const trace::Deadlock& event);
  void operator()(const trace::ThreadLook& event);
  void operator()(const trace::HeldLock& event);
  void operator()(const trace::PauseSeen& event);
  void operator()(const trace::BusyStretch& event);
  void operator()(const trace::WorldStopped& event);
  void operator()(const trace::StuckWait& event);
  void operator()(const trace::LongTurn& event);
  void operator()(const trace::LongTurnPart& event);

  // Sorts and joins what needs all records. Call once, after the last event.
  void finish();

 private:
  using GroupKey = std::tuple<StackId, std::uint64_t, std::uint64_t>;

  std::string_view keep(std::string_view text);
  void saw(std::uint64_t t);
  void ignore() { ++out_.ignored_records; }
  bool in_window(std::uint64_t t) const { return t >= from_ && t < to_; }
  // Whether an interval's sums count: its middle lies in the window. False as well for one that cannot be.
  bool counts_interval(std::uint64_t end_ms, std::uint64_t span_ms);
  bool sees_call(std::uint64_t t, std::uint64_t thread);
  bool sees_heap(std::uint64_t t);
  void add_long_calls(const trace::CallStack& event);
  void add_turns(const trace::CallAggregate& event);
  void add_loop(const trace::CallAggregate& event);
  void add_lock_cpu(std::uint64_t lock, StackId stack, std::uint64_t weight_ns);
  StackId stack_of(std::uint64_t id);
  StackId unknown_caller();
  // The row of a thread, made up (found late) when its own record is missing. kNone: an impossible id.
  std::uint32_t thread_row(std::uint64_t id);
  void thin_states();
  void know_every_thread();
  void attribute_nodes();
  void say_what_was_cut();

  Recording& out_;
  const ReadOptions& options_;
  std::uint64_t from_ = 0, to_ = 0;
  CpuRowTable cpu_;
  CallReader calls_;
  IdMap nodes_, threads_, modules_;
  StackId unknown_caller_ = 0;
  std::uint32_t newest_generation_ = 0;
  std::vector<std::uint32_t> fresh_modules_;  // read since the last node
  std::vector<std::uint16_t> depths_;  // of the nodes
  std::vector<std::uint64_t> name_times_;  // of the threads' last names
  std::map<GroupKey, std::size_t> groups_;
  std::map<std::string, std::size_t, std::less<>> losses_;
  std::unordered_map<StackId, std::size_t> site_rows_, sample_rows_, leak_rows_;
  std::map<std::pair<std::uint64_t, StackId>, std::size_t> lock_cpu_rows_;
  std::map<std::tuple<std::uint64_t, std::uint64_t, ThreadId>, std::size_t> lock_orders_;
  std::map<std::uint64_t, std::size_t> deadlocks_;  // by their number
  std::unordered_map<ThreadId, std::size_t> turn_rows_;
  std::uint64_t stuck_ = 0;                         // number of the last standstill
  std::map<std::pair<ThreadId, std::uint64_t>, std::size_t> loops_;
  std::map<std::pair<ThreadId, std::uint64_t>, std::size_t> long_turns_;  // by thread and begin
  std::size_t states_ = 0;
  std::uint64_t state_spacing_ = 0;
  std::uint64_t straddling_ns_ = 0;
  std::uint64_t short_lived_cpu_ns_ = 0;
};

}  // namespace tailback::analyzers
