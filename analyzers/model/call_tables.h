// SPDX-License-Identifier: Apache-2.0
// What a recording knows of calls that may block: endpoints, sums of calls, where they came from, turns on connections, wakes.
// Part of Recording; filled by CallReader. Sums are over the stretch looked at, so their size does not grow with its length.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/trace/calls.h"
#include "analyzers/model/log_histogram.h"

namespace tailback::analyzers {

using ThreadId = std::uint32_t;
using StackId = std::uint32_t;

struct EndpointRow {
  trace::EndpointKind kind = trace::EndpointKind::unknown;
  std::string name;
  std::uint64_t flags = 0, size_bytes = 0;  // as in endpoint
};

struct CallCounts {
  std::uint64_t calls = 0, errors = 0, empty = 0, apart = 0, ns = 0, longest_ns = 0, blocked_calls = 0, blocked_ns = 0, bytes = 0;

  void add(const CallCounts& other) {
    calls += other.calls, errors += other.errors, empty += other.empty, apart += other.apart, ns += other.ns;
    longest_ns = std::max(longest_ns, other.longest_ns);
    blocked_calls += other.blocked_calls, blocked_ns += other.blocked_ns, bytes += other.bytes;
  }
};

// What calls are told apart by. `object` is a row of CallTables::endpoints where the call works on one, else an address; 0 none.
struct CallKey {
  ThreadId thread = 0;  // 0: threads of a thread_group
  trace::Call call = trace::Call::none;
  std::uint64_t object = 0;
  auto operator<=>(const CallKey&) const = default;
};

struct CallRow { CallKey key; CallCounts counts; };
struct CallStackRow { CallKey key; StackId stack = 0; std::uint64_t lock = 0; CallCounts counts; };  // lock: held meanwhile; errors and empty are not known
struct CallHistogramRow { CallKey key; LogHistogram latencies, sizes; };      // of all threads, and of locks and endpoints singly: key.thread is 0
struct CallEventRow { std::uint64_t t = 0, ns = 0; CallKey key; StackId stack = 0; std::uint64_t bytes = 0; };
// One thread's calls of one kind on one object in an interval: of those calls only by which threads wait for, or bring, work.
struct CallSpanRow { CallKey key; std::uint32_t end_ms = 0, span_ms = 0; std::uint64_t calls = 0, ns = 0, in_burst = 0; };  // in_burst: of wakes, as call_aggregate.empty
struct WakeRow { CallKey key; std::uint64_t count = 0; };
struct WakeEventRow { std::uint64_t t = 0; CallKey key; StackId stack = 0; };
struct BlockedRow { CallKey key; StackId stack = 0; std::uint64_t since = 0, t = 0; };  // still inside a call at t

struct TurnRow {
  std::uint64_t endpoint = 0, opened = 0, closed = 0, turns = 0, turn_ns = 0, delayed_turns = 0, delayed_ns = 0;
  std::uint64_t ready_turns = 0;  // of `turns`: the answer was there before anybody waited for it, and took nobody's time
  std::uint64_t first_turns = 0, first_ns = 0;  // of `turns` that were waited for, the first on a connection
  StackId delayed_stack = 0;
  LogHistogram latencies;
};

struct CallTables {
  bool seen = false;                         // the dump holds records of this kind, inside the window or not
  std::vector<EndpointRow> endpoints{1};     // [0] none
  std::vector<CallRow> rows;                 // one for each key
  std::vector<CallStackRow> stacks;          // one for each key and stack
  std::vector<CallHistogramRow> histograms;  // one for each call and endpoint
  std::vector<CallSpanRow> spans;            // over time, in the order of the file
  std::vector<TurnRow> turns;                // one for each endpoint
  std::vector<WakeRow> wakes;                // one for each key
  std::vector<CallEventRow> events;          // detail, in the order of the file
  std::vector<WakeEventRow> wake_events;     // detail, likewise
  std::uint64_t kept_stretches = 1;          // single calls and wakes are kept of each so-many-th stretch of kStretchNs alone (holds_events_of)
  std::vector<BlockedRow> still_blocked;     // the last of each thread
  std::uint64_t events_left_out = 0;         // of a stretch that is kept: more than there is room for
  static constexpr std::uint64_t kStretchNs = 5'000'000'000;  // holds a whole number of detail windows
  bool holds_events_of(std::uint64_t t) const { return t / kStretchNs % kept_stretches == 0; }
  std::uint64_t left_out = 0;                // records beyond the bounds: their objects, stacks or details are not told apart
};

}  // namespace tailback::analyzers
