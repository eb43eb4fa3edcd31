// SPDX-License-Identifier: Apache-2.0
// Where time goes while a thread does not run: each thread's wall time without gaps, each endpoint with its operations, each
// place that calls came from. Sums of calls are exact; shares between places are exact for calls that blocked, else estimated.
// No judgement, but one distinction that every judgement needs: waiting for work by design, and being held up.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "analyzers/model/recording.h"
#include "analyzers/model/timeline.h"

namespace tailback::analyzers {

enum class WaitCause : std::uint8_t { disk, network, pipe, device, lock, condition, semaphore, barrier, join, futex, sleep, poll, child, file_lock, lookup, other };
inline constexpr std::size_t kWaitCauses = static_cast<std::size_t>(WaitCause::other) + 1;

// A pipe that this process made and only reads from: a child answers on it.
bool is_answered_by_child(const Recording& recording, std::uint64_t endpoint);

const char* to_string(WaitCause cause);  // as a person says it: "disk", "name lookup"
bool is_wake(trace::Call call);          // tells somebody who may wait; an unlock and a thread's end, which only sometimes do, are none
WaitCause cause_of(trace::Call call, trace::EndpointKind kind);
bool is_disk(trace::EndpointKind kind);
bool is_socket(trace::EndpointKind kind);

// Calls of one kind by one thread on one object from one place.
struct CallSite {
  CallKey key;
  StackId stack = 0;       // 0 not known
  double calls = 0, seconds = 0, bytes = 0;
  double blocked_calls = 0, blocked_seconds = 0;  // of them
  double longest = 0;      // seconds
  double apart = 0;        // part of the calls on a connection that no buffer could have joined to the one before: the thread waited in between
};

enum class ThreadRole : std::uint8_t {
  working,      // hardly waits
  held_up,      // waits for something that it needs to go on
  idle_worker,  // waits at one place for work: queue, request, input of a pipe
  event_loop,   // waits for any of its descriptors
  timer,        // sleeps
  coordinator,  // waits for threads or processes that it started
};
const char* to_string(ThreadRole role);

struct ThreadWaits {
  ThreadId thread = 0;
  double alive = 0, running = 0, runnable = 0;    // seconds; these, `blocked` and `unexplained` add up to `alive`
  std::array<double, kWaitCauses> blocked{};
  double unexplained = 0;                         // page faults, calls that are not looked at, waits below a call's resolution
  ThreadRole role = ThreadRole::working;
  std::array<double, kWaitCauses> designed{};     // of blocked: waiting for work

  double blocked_seconds() const;
  double by_design() const;
  // Time in which it worked or was held up: what others may have to wait for.
  double engaged() const { return running + runnable + blocked_seconds() - by_design(); }
};

struct OperationTotals {
  trace::Call call = trace::Call::none;
  CallCounts counts;
  LogHistogram latencies, sizes;
};

struct EndpointTotals {
  std::uint64_t endpoint = 0;               // row of Recording::calls.endpoints
  CallCounts counts;
  LogHistogram latencies;
  std::vector<OperationTotals> operations;  // most time first
  const TurnRow* turns = nullptr;
};

class Waits {
 public:
  static Waits build(const Recording& recording, const Timeline& timeline);

  std::string missing;                    // not empty: why nothing is known
  std::vector<CallSite> sites;            // most time first
  std::vector<EndpointTotals> endpoints;  // most time first
  std::vector<ThreadWaits> threads;       // as Recording::threads.rows
  std::array<double, kWaitCauses> by_cause{};         // seconds of all threads
  std::array<double, kWaitCauses> by_design{};        // of them, waiting for work
  std::unordered_map<std::uint64_t, std::size_t> endpoint_index;  // row of an endpoint -> place in `endpoints`

  const EndpointTotals* of_endpoint(std::uint64_t endpoint) const;
  const ThreadWaits* find(ThreadId thread) const;
};

}  // namespace tailback::analyzers
