// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/sleep_runs.h"

#include <algorithm>
#include <vector>

namespace tailback::analyzers {

std::map<ThreadId, SleepRuns> sleep_runs(const Recording& recording) {
  constexpr std::uint64_t kLook = 100'000;  // ns between two sleeps: no work
  std::vector<const CallEventRow*> events;
  for (const CallEventRow& row : recording.calls.events) events.push_back(&row);
  std::stable_sort(events.begin(), events.end(), [](const CallEventRow* a, const CallEventRow* b) { return a->t < b->t; });
  std::map<ThreadId, SleepRuns> runs;
  std::map<ThreadId, const CallEventRow*> last;  // call of each thread
  for (const CallEventRow* row : events) {
    const CallEventRow*& before = last[row->key.thread];
    if (row->key.call == trace::Call::sleep) {
      SleepRuns& of_thread = runs[row->key.thread];
      of_thread.sleeps += 1;
      if (before && before->key.call == trace::Call::sleep && row->t <= before->t + before->ns + kLook) of_thread.again += 1;
    }
    before = row;
  }
  return runs;
}

}  // namespace tailback::analyzers
