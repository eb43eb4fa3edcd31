// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/queueing.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tailback::analyzers {

double waiting_probability(double servers, double load) {
  if (load <= 0) return 0;
  if (servers <= load) return 1;
  double blocked = 1;  // Erlang's B by its recursion, which neither overflows nor cancels
  for (double k = 1; k <= servers; ++k) blocked = load * blocked / (k + load * blocked);
  const double utilization = load / servers;
  return blocked / (1 - utilization * (1 - blocked));
}

double mean_wait(double servers, double load, double service) {
  if (servers <= load) return std::numeric_limits<double>::infinity();
  return waiting_probability(servers, load) * service / (servers - load);
}

double staffing(double load) { return std::ceil(load + 2 * std::sqrt(std::max(0.0, load))); }

Backlog backlog_of(const std::vector<Inflow>& inflows, double rate) {
  Backlog out;
  if (rate <= 0 || inflows.empty()) return out;
  double queued = 0, area = 0, tasks = 0, now = inflows.front().start;
  out.finish = now;
  for (const Inflow& inflow : inflows) {
    const double idle = std::max(0.0, inflow.start - now), drained = std::min(queued, rate * idle);  // between two inflows
    area += drained > 0 ? drained / rate * (2 * queued - drained) / 2 + (idle - drained / rate) * (queued - drained) : 0;
    queued -= drained;
    const double change = inflow.tasks - rate * inflow.length, left = std::max(0.0, queued + change);
    // Where the queue runs empty within the stretch only the part before counts.
    const double until = change < 0 && queued + change < 0 ? inflow.length * queued / -change : inflow.length;
    area += until * (queued + left) / 2;
    queued = left;
    tasks += inflow.tasks;
    now = inflow.start + inflow.length;
    out.longest = std::max(out.longest, queued);
    if (inflow.tasks > 0 || queued > 0) out.finish = now;
  }
  area += queued * queued / rate / 2;
  out.finish += queued / rate;
  out.mean_wait = tasks > 0 ? area / tasks : 0;
  out.mean_length = out.finish > inflows.front().start ? area / (out.finish - inflows.front().start) : 0;
  return out;
}

}  // namespace tailback::analyzers
