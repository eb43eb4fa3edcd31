// SPDX-License-Identifier: Apache-2.0
// From the threads' sums of calls to records in the dump, and the endpoints that they name. Under the drain lock; signal-safe.
#pragma once
#include "agent/capture/calls.h"
#include "agent/capture/endpoints.h"
#include "agent/capture/thread.h"
#include "agent/engine/counts.h"
#include "agent/engine/detail.h"
#include "agent/engine/stack_writer.h"

namespace tailback::engine {

class CallWriter {
 public:
  void init(capture::Endpoints& endpoints, StackWriter& stacks, Detail& detail, DumpFile& dump);
  // A new dump from now on.
  void begin(std::uint64_t session_start_ns);

  // Takes the set that the thread has turned its back on, and its events; `all`: both sets, when the thread makes no more calls or is
  // the one that asks.
  void thread(capture::ThreadBlock& block, std::uint64_t thread, bool all, std::uint64_t now_ns);
  // Its events alone.
  void events(capture::ThreadBlock& block, std::uint64_t thread);
  // Lets the threads turn to the other set, half a second after the last time. Call once in each drain, after all threads.
  void advance(std::uint64_t now_ns);
  // The sums of threads that are not listed, at the end; before, advance() writes them.
  void groups(std::uint64_t now_ns);
  // What a thread is inside of now, when it is inside of anything.
  void pending(const capture::ThreadBlock& block, std::uint64_t now_ns);
  // After this the endpoint that a call works on is in the dump.
  void write_endpoint(trace::Call call, std::uint64_t object);
  // What was said on the connections of each endpoint.
  void turns(std::uint64_t now_ns);

  std::uint64_t calls() const { return calls_; }      // written so far
  std::uint64_t blocked() const { return blocked_; }
  std::uint64_t acquisitions() const { return acquisitions_; }  // of locks, estimated
  std::uint64_t lost() const { return lost_; }                // their object or stack is not known
  std::uint64_t events_lost() const { return events_lost_; }  // in detail windows

 private:
  void take_set(capture::ThreadCalls& own, std::uint32_t index, std::uint64_t thread, std::uint64_t now_ns);
  void write_set(capture::CallSums& set, std::uint64_t thread);
  void merge_set(capture::CallSums& set);
  void channel(capture::ChannelSums& sums, std::uint64_t thread);
  void stack(capture::StackSums& sums, std::uint64_t thread);
  void event(const capture::CallEvent& event, std::uint64_t thread);
  void long_turn(const capture::CallEvent& event, std::uint64_t thread, std::uint64_t t);
  bool spend_turn(std::uint64_t t);
  void set_interval(std::uint64_t begin_ns, std::uint64_t end_ns) { interval_begin_ = begin_ns < end_ns ? begin_ns : end_ns, interval_end_ = end_ns; }
  void announce_window(std::uint64_t now_ns);
  void write_turns(std::uint64_t id, capture::Turns& turns);

  capture::Endpoints* endpoints_ = nullptr;
  StackWriter* stacks_ = nullptr;
  Detail* detail_ = nullptr;
  DumpFile* dump_ = nullptr;
  std::uint64_t session_start_ns_ = 0;
  std::uint64_t interval_begin_ = 0, interval_end_ = 0;  // of the records being written
  std::uint64_t previous_ns_ = 0, advanced_ns_ = 0;      // when the last epoch and this one began
  std::uint64_t turns_ns_ = 0;                           // when turns were written last
  std::uint64_t calls_ = 0, blocked_ = 0, acquisitions_ = 0, lost_ = 0, events_lost_ = 0;
  std::uint64_t turns_second_ = 0, turns_told_ = 0;      // long turns written in that second
  bool telling_turn_ = false;                            // the last long turn was written: its parts are as well
  Counts latencies_{}, sizes_{};  // of the record being written: the stack below may be small
  struct Written {
    std::uint32_t flags;  // with kWritten
    std::uint64_t size_bytes;
  };
  Written* written_ = nullptr;           // of each endpoint
  capture::CallSums* grouped_ = nullptr;  // of threads that are not listed one by one
};

}  // namespace tailback::engine
