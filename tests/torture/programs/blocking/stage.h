// SPDX-License-Identifier: Apache-2.0
// Blocks a thread in one call for 50 ms and prints what the thread's own clock says. The thread has the name of the call, so that a
// recording can be asked for it, and calls nothing else that could wait. The main thread sets up, ends the wait, and clears away.
#pragma once
#include <pthread.h>

#include <functional>

#include "tests/torture/programs/waiting.h"

namespace blocking {

using namespace programs;

class Stage {
 public:
  // Prints "NAME KINDS RESULT", with `times` also the microseconds of each call.
  explicit Stage(bool times) : times_(times) {}

  // `call` returns whether it got what it should; `end` lets it return, and is called by the main thread 50 ms after the call
  // began, with the blocked thread. Without `end` the call must come back by itself. `kinds`: as in calls.def, alternatives by |.
  void block(const char* name, const char* kinds, const std::function<bool()>& call, const std::function<void(pthread_t)>& end = {});

  // The same for calls whose time nobody can choose: flushing to a disk.
  void measure(const char* name, const char* kinds, const std::function<bool()>& call);

  void skip(const char* name, const char* why);
  bool good() const { return good_; }

 private:
  long long run(const char* name, const std::function<bool()>& call, const std::function<void(pthread_t)>& end, bool& right);
  void print(const char* name, const char* kinds, long long microseconds, bool right);

  bool times_, good_ = true;
};

constexpr long kBlockedMs = 50;

// One file for each.
void block_on_locks(Stage& stage);
void block_on_threads(Stage& stage);
void block_on_time(Stage& stage);
void block_on_descriptors(Stage& stage);
void block_on_connections(Stage& stage);
void block_on_files(Stage& stage);
void block_on_stdio(Stage& stage);
void block_on_processes(Stage& stage);
void block_on_names(Stage& stage);

}  // namespace blocking
