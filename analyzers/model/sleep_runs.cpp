// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/sleep_runs.h"

#include <algorithm>
#include <vector>

namespace tailback::analyzers {

namespace {

struct Event {
  std::uint64_t t = 0, end = 0;
  ThreadId thread = 0;
  bool sleep = false;
};

// Calls that took a while, and wakes of others, which may be quick.
std::vector<Event> events_of(const Recording& recording) {
  std::vector<Event> events;
  for (const CallEventRow& row : recording.calls.events) events.push_back({row.t, row.t + row.ns, row.key.thread, row.key.call == trace::Call::sleep});
  for (const WakeEventRow& row : recording.calls.wake_events) events.push_back({row.t, row.t, row.key.thread, false});
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) { return a.t < b.t; });
  return events;
}

}  // namespace

std::map<ThreadId, SleepRuns> sleep_runs(const Recording& recording) {
  constexpr std::uint64_t kLook = 100'000;  // ns between two sleeps: no work
  std::map<ThreadId, SleepRuns> runs;
  std::map<ThreadId, Event> last;  // of each thread
  for (const Event& event : events_of(recording)) {
    Event& before = last[event.thread];
    if (event.sleep) {
      SleepRuns& of_thread = runs[event.thread];
      of_thread.sleeps += 1;
      if (before.sleep && event.t <= before.end + kLook) of_thread.again += 1;
    }
    before = event;
  }
  return runs;
}

}  // namespace tailback::analyzers
