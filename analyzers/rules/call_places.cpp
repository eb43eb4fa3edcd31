// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/call_places.h"

#include <algorithm>

#include <fmt/format.h>

namespace tailback::analyzers {

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

double cpu_inside(const Model& model, const CallPlace& place) {
  const auto& nodes = model.recording.nodes;
  std::vector<bool> callers(nodes.size()), inside(nodes.size());
  for (const CallSite* site : place.sites)
    if (site->stack && site->stack < nodes.size()) callers[site->stack] = true;
  for (std::size_t id = 1; id < nodes.size(); ++id)  // a parent comes before its children
    inside[id] = callers[nodes[id].parent] || inside[nodes[id].parent];
  double seconds = 0;
  for (const StackWeight& weight : model.cpu.stacks)
    if (weight.stack < inside.size() && inside[weight.stack]) seconds += static_cast<double>(weight.ns) * 1e-9;
  return seconds;
}

const EndpointRow& endpoint_of(const Model& model, const CallSite& site) {
  const auto& endpoints = model.recording.calls.endpoints;
  const bool on_endpoint = trace::works_on_endpoint(trace::group_of(site.key.call)) && site.key.object < endpoints.size();
  return endpoints[on_endpoint ? site.key.object : 0];
}

std::string endpoint_name(const EndpointRow& endpoint) {
  return endpoint.name.empty() ? fmt::format("({} without a name)", trace::name_of(endpoint.kind)) : endpoint.name;
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
