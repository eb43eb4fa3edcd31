// SPDX-License-Identifier: Apache-2.0
// How rules about locks name locks and their holders, and speak of them alike.
#pragma once
#include <string>
#include <vector>

#include "analyzers/model/lock_gain.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {

std::string lock_name(const Model& model, const Lock& lock);
// "0x7f...", with the module it lies in when it is in none's symbols.
Evidence lock_evidence(const Model& model, std::uint64_t address);

// "thread 1234 (worker)": threads of one name are told apart.
std::string exact_label(const Model& model, ThreadId thread);

// Of the time in which it is held, the part spent in calls that block, other than waiting for further locks.
double blocked_part(const Lock& lock);
// Likewise the part spent waiting for further locks.
double chained_part(const Lock& lock);

// The function that gives the lock back after having held most others up; without one where most is waited.
Frame holder_of(const Model& model, const Lock& lock);
std::vector<StackEvidence> lock_stacks(const Model& model, const char* role, const std::vector<LockPlace>& places, std::size_t most);
// Who waited, how long holders held others up, how often and how long the lock is held.
std::vector<Evidence> wait_evidence(const Model& model, const Lock& lock);

struct WorkInside {
  std::string function;
  double part = 0;  // of CPU time while the lock was held
};
// What runs while the lock is held, below the function that holds it: by total time, most first.
std::vector<WorkInside> work_inside(const Model& model, const Lock& lock, const Frame& holder, std::size_t most);

}  // namespace tailback::analyzers
