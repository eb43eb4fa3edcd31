// SPDX-License-Identifier: Apache-2.0
// How rules about waiting and I/O gather calls by the place in the program's own code that made them, and speak of them alike.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "analyzers/model/wait_gain.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {

struct CallPlace {
  Frame culprit;                        // innermost own-code frame of its heaviest stack
  std::vector<const CallSite*> sites;   // most time first
  double calls = 0, seconds = 0, bytes = 0, blocked_seconds = 0;

  void add(const CallSite& site);
  void add(const CallPlace& other);
};

// Calls that are wanted, by the function that made them: the places with most time, most first.
inline constexpr std::size_t kMostPlaces = 50;
std::vector<CallPlace> places_of(const Model& model, const std::function<bool(const CallSite&)>& wanted);

// Time of the sites by thread, each second counted `part` times.
std::map<ThreadId, double> seconds_by_thread(const CallPlace& place, double part = 1);
// Time of the sites by the endpoint they work on, most first.
std::vector<std::pair<std::uint64_t, double>> seconds_by_endpoint(const Model& model, const CallPlace& place);

// For each stack, whether it lies inside the calls: in what was called from their places, or in library functions around them
// that do nothing but hand a buffer over and so run once for each call (a stream's flush).
std::vector<bool> stacks_inside(const Model& model, const CallPlace& place);
// Wall time that CPU time sampled inside the calls took: a thread's wait for a CPU goes in proportion.
double sampled_inside(const Model& model, const CallPlace& place);
// The innermost function of the program in which both stacks meet: what does two things, whatever helpers it does them with. That
// of `stack` where they meet beyond a helper or two, or only in the outermost function.
Frame where_they_meet(const Model& model, StackId stack, StackId other);

const EndpointRow& endpoint_of(const Model& model, const CallSite& site);  // an empty one when it works on none
// "in write_record" or, without a known place, "".
std::string in_function(const Frame& culprit);
std::vector<StackEvidence> blocked_stacks(const Model& model, const CallPlace& place, std::size_t most);

// What a part of wall time is worth: high from 30 %, medium from 10 %, low from 3 %, below that not worth a finding (info).
Severity severity_by_part(double part);

}  // namespace tailback::analyzers
