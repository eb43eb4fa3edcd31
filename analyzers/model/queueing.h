// SPDX-License-Identifier: Apache-2.0
// What queues in front of a pool do. Sources: A. K. Erlang (1917) for the probability of waiting; Halfin and Whitt, "Heavy-Traffic Limits
// for Queues with Many Exponential Servers" (1981) for square-root staffing; the backlog as a fluid (G. F. Newell, "Applications of
// Queueing Theory", 1971).
#pragma once
#include <cstddef>
#include <vector>

namespace tailback::analyzers {

// Probability that a task must wait when `load` tasks are served at a time on average by `servers` (M/M/k); 1 from full load on.
double waiting_probability(double servers, double load);
// Mean seconds that a task waits (M/M/k), infinite from full load on.
double mean_wait(double servers, double load, double service);

// Servers for which tasks hardly wait: the load and two of its standard deviations.
double staffing(double load);

struct Inflow { double start = 0, length = 0, tasks = 0; };  // a stretch of time, seconds

struct Backlog {
  double mean_wait = 0;    // seconds, over all tasks
  double mean_length = 0;  // tasks in the queue, over the time until the last is served
  double longest = 0;
  double finish = 0;       // seconds, when the last task is served
};

// The tasks as a fluid through a queue that `rate` tasks a second leave. Inflows in order of time.
Backlog backlog_of(const std::vector<Inflow>& inflows, double rate);

}  // namespace tailback::analyzers
