// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/mapping_places.h"

#include <algorithm>
#include <map>

#include "analyzers/model/own_frame.h"
#include "analyzers/model/program_functions.h"

namespace tailback::analyzers {

namespace {

CallCounts sum_of(const Model& model, trace::Call call) {
  CallCounts sum;
  for (const CallRow& row : model.recording.calls.rows)
    if (row.key.call == call) sum.add(row.counts);
  return sum;
}

double part(double of, double all) { return all > 0 ? of / all : 0; }

}  // namespace

std::vector<AllocationPlace> mapping_places(const Model& model) {
  const CallCounts mapped = sum_of(model, trace::Call::map), unmapped = sum_of(model, trace::Call::unmap);
  ProgramFunctions functions(model.recording, *model.symbols);
  std::map<FunctionId, AllocationPlace> places;
  CallCounts known;  // by stack: estimated, all of it is scaled to the exact sums
  for (const CallStackRow& row : model.recording.calls.stacks) {
    if (row.key.call != trace::Call::map || !row.stack) continue;
    known.add(row.counts);
    AllocationPlace& place = places[functions.innermost(row.stack)];
    if (place.culprit.function.empty()) place.culprit = own_frame(model, row.stack);
    place.blocks += static_cast<double>(row.counts.calls), place.bytes += static_cast<double>(row.counts.bytes);
  }
  const auto of = [](std::uint64_t count) { return static_cast<double>(count); };
  const double alive = std::max(0.0, 1 - part(of(unmapped.bytes), of(mapped.bytes)));
  std::vector<AllocationPlace> all;
  for (auto& [function, place] : places) {
    const double share = part(place.bytes, of(known.bytes));
    place.function = function;
    place.blocks *= part(of(mapped.calls), of(known.calls));
    place.bytes = share * of(mapped.bytes);
    place.live_bytes = alive * place.bytes;
    place.allocate_seconds = share * of(mapped.ns) * 1e-9, place.free_seconds = share * of(unmapped.ns) * 1e-9;
    all.push_back(std::move(place));
  }
  std::sort(all.begin(), all.end(), [](const AllocationPlace& a, const AllocationPlace& b) { return a.bytes > b.bytes; });
  return all;
}

}  // namespace tailback::analyzers
