// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/call_places.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kHelpers = 2;  // functions between what is done twice and the function that does it

// Runs once for each time that a buffer goes to the kernel or is filled from it, and does nothing else: libstdc++, glibc's stdio.
bool hands_buffer_over(const std::string& bare) {
  static constexpr std::array<std::string_view, 24> kNames = {
      "std::ostream::flush", "std::basic_ostream::flush", "std::filebuf::sync", "std::basic_filebuf::sync", "std::filebuf::overflow", "std::basic_filebuf::overflow",
      "std::filebuf::underflow", "std::basic_filebuf::underflow", "std::filebuf::_M_convert_to_external", "std::basic_filebuf::_M_convert_to_external",
      "fflush", "_IO_fflush", "fflush_unlocked", "_IO_new_file_sync", "_IO_new_file_write", "_IO_new_do_write", "new_do_write", "_IO_new_file_overflow", "__overflow",
      "_IO_new_file_underflow", "_IO_file_read", "__underflow", "_IO_do_flush", "_IO_flush_all"};
  return bare.starts_with("std::__basic_file::") || std::find(kNames.begin(), kNames.end(), bare) != kNames.end();
}

// The node in whose calls all below it serves the call at `stack`.
StackId around_buffer(const Model& model, StackId stack) {
  const auto host = [&](StackId node) { return bare_name(model.symbols->full_name(model.symbols->frames(node).back().function)); };
  while (model.recording.nodes[stack].parent && hands_buffer_over(host(stack))) stack = model.recording.nodes[stack].parent;
  return stack;
}

}  // namespace

void CallPlace::add(const CallSite& site) {
  sites.push_back(&site);
  calls += site.calls, seconds += site.seconds, bytes += site.bytes, blocked_seconds += site.blocked_seconds;
}

void CallPlace::add(const CallPlace& other) {
  sites.insert(sites.end(), other.sites.begin(), other.sites.end());
  calls += other.calls, seconds += other.seconds, bytes += other.bytes, blocked_seconds += other.blocked_seconds;
}

std::vector<CallPlace> places_of(const Model& model, const std::function<bool(const CallSite&)>& wanted) {
  std::vector<CallPlace> places;
  std::map<StackId, std::size_t> by_stack;
  std::map<std::pair<std::string, std::string>, std::size_t> by_function;
  for (const CallSite& site : model.waits.sites) {
    if (!wanted(site)) continue;
    auto known = by_stack.find(site.stack);
    if (known == by_stack.end()) {
      const Frame culprit = site.stack ? own_frame(model, site.stack) : Frame{};
      const auto [place, added] = by_function.emplace(std::pair(culprit.function, culprit.module), places.size());
      if (added) places.push_back({culprit, {}});
      known = by_stack.emplace(site.stack, place->second).first;
    }
    places[known->second].add(site);
  }
  std::stable_sort(places.begin(), places.end(), [](const CallPlace& a, const CallPlace& b) { return a.seconds > b.seconds; });
  if (places.size() > kMostPlaces) places.erase(places.begin() + kMostPlaces, places.end());
  return places;
}

std::map<ThreadId, double> seconds_by_thread(const CallPlace& place, double part) {
  std::map<ThreadId, double> seconds;
  for (const CallSite* site : place.sites) seconds[site->key.thread] += part * site->seconds;
  return seconds;
}

std::vector<std::pair<std::uint64_t, double>> seconds_by_endpoint(const Model& model, const CallPlace& place) {
  std::map<std::uint64_t, double> seconds;
  for (const CallSite* site : place.sites)
    if (&endpoint_of(model, *site) != &model.recording.calls.endpoints.front()) seconds[site->key.object] += site->seconds;
  std::vector<std::pair<std::uint64_t, double>> sorted(seconds.begin(), seconds.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

std::vector<bool> stacks_inside(const Model& model, const CallPlace& place) {
  const auto& nodes = model.recording.nodes;
  std::vector<bool> callers(nodes.size()), inside(nodes.size());
  for (const CallSite* site : place.sites)
    if (site->stack && site->stack < nodes.size()) callers[around_buffer(model, site->stack)] = true;
  for (std::size_t id = 1; id < nodes.size(); ++id)  // a parent comes before its children
    inside[id] = callers[nodes[id].parent] || inside[nodes[id].parent];
  return inside;
}

double sampled_inside(const Model& model, const CallPlace& place) {
  const std::vector<bool> inside = stacks_inside(model, place);
  std::map<ThreadId, double> by_thread;
  for (const CpuRow& row : model.recording.cpu)
    if (row.stack < inside.size() && inside[row.stack]) by_thread[row.thread] += static_cast<double>(row.weight_ns) * 1e-9;
  double seconds = 0;
  for (const auto& [thread, cpu] : by_thread) {
    const ThreadWaits* waits = model.waits.find(thread);
    seconds += cpu * (waits && waits->running > 0 ? 1 + waits->runnable / waits->running : 1);
  }
  return seconds;
}

Frame where_they_meet(const Model& model, StackId stack, StackId other) {
  const std::vector<Frame> mine = own_frames(model, stack), others = own_frames(model, other);
  const auto same = [](const Frame& a, const Frame& b) { return a.function == b.function && a.module == b.module; };
  const auto apart = std::mismatch(mine.rbegin(), mine.rend(), others.rbegin(), others.rend(), same).first;
  const auto common = static_cast<std::size_t>(apart - mine.rbegin());
  if (common < 2 || mine.size() - common > kHelpers) return own_frame(model, stack);
  return mine[mine.size() - common];
}

const EndpointRow& endpoint_of(const Model& model, const CallSite& site) {
  const auto& endpoints = model.recording.calls.endpoints;
  const bool on_endpoint = trace::works_on_endpoint(trace::group_of(site.key.call)) && site.key.object < endpoints.size();
  return endpoints[on_endpoint ? site.key.object : 0];
}

std::string in_function(const Frame& culprit) { return culprit.function.empty() ? "" : " in " + culprit.function; }

std::vector<StackEvidence> blocked_stacks(const Model& model, const CallPlace& place, std::size_t most) {
  std::map<StackId, double> seconds;
  for (const CallSite* site : place.sites)
    if (site->stack) seconds[site->stack] += site->seconds;
  std::vector<std::pair<StackId, double>> sorted(seconds.begin(), seconds.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<StackEvidence> evidence;
  for (const auto& [stack, time] : sorted) {
    if (evidence.size() == most) break;
    evidence.push_back({"blocked", time, "seconds", model.symbols->stack(stack)});
  }
  return evidence;
}

Severity severity_by_part(double part) {
  constexpr double kHigh = 0.30, kMedium = 0.10, kLow = 0.03;
  return part >= kHigh ? Severity::high : part >= kMedium ? Severity::medium : part >= kLow ? Severity::low : Severity::info;
}

}  // namespace tailback::analyzers
