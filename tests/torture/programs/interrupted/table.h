// SPDX-License-Identifier: Apache-2.0
// Calls that wait, what came of them when a signal arrived, and what must be done before and to end them.
#pragma once
#include <errno.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/torture/programs/waiting.h"

namespace interrupted {

using programs::in_ms;

constexpr long kLimitMs = 150;
inline const timespec kLimit{0, kLimitMs * 1'000'000};

// What came of a call, in words that are the same at each run.
struct Outcome {
  long result;
  int error;        // errno, or the error that was returned
  std::string more; // what else it changed
};

inline Outcome outcome(long result, std::string more = {}) { return {result, result < 0 ? errno : 0, std::move(more)}; }
inline Outcome returned(int error, std::string more = {}) { return {error ? -1 : 0, error, std::move(more)}; }

// The signal comes within the first half, a busy machine apart.
inline std::string left(const timespec& time) {
  const long ms = time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
  return ms == 0 ? "nothing left" : ms > kLimitMs / 2 && ms < kLimitMs ? "most left" : ms == kLimitMs ? "all left" : "some left";
}

struct Cell {
  const char* name;
  std::function<Outcome()> call;
  std::function<void()> end, prepare;
};

class Table {
 public:
  void add(const char* name, std::function<Outcome()> call, std::function<void()> end = {}, std::function<void()> prepare = {}) {
    cells_.push_back({name, std::move(call), std::move(end), std::move(prepare)});
  }
  // With SA_RESTART or without.
  void run(int flags) const;

 private:
  std::vector<Cell> cells_;
};

void add_sleeps(Table& table);
void add_multiplexers(Table& table);
void add_signals(Table& table);
void add_locks(Table& table);
void add_inputs(Table& table);
void add_outputs(Table& table);
void add_connections(Table& table);
void add_queues(Table& table);
bool remove_queues();
void add_files(Table& table, const programs::Scratch& scratch);
void add_children(Table& table);

}  // namespace interrupted
