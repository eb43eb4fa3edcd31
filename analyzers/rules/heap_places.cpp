// SPDX-License-Identifier: Apache-2.0
#include "analyzers/rules/heap_places.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "analyzers/model/patterns.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostSites = 3000;  // whose stacks are resolved; together they hold nearly all
constexpr double kNanosecond = 1e-9;

double most_live(const HeapSite& site) {
  double most = std::max(site.peak_bytes, site.live_bytes());
  for (const LivePoint& point : *site.live) most = std::max(most, static_cast<double>(point.bytes));
  return most;
}

std::vector<const HeapSite*> sites_that_matter(const Heap& heap) {
  std::vector<std::pair<double, const HeapSite*>> sites;
  for (const HeapSite& site : heap.sites) sites.emplace_back(most_live(site), &site);
  std::stable_sort(sites.begin(), sites.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  sites.resize(std::min(sites.size(), kMostSites));
  std::vector<const HeapSite*> matter;
  for (const auto& [most, site] : sites) matter.push_back(site);
  return matter;
}

bool is_in_container(const std::vector<Frame>& frames, const Frame& culprit) {
  for (const Frame& frame : frames) {
    if (frame.address == culprit.address && frame.function == culprit.function) return false;
    if (is_container_code(bare_name(frame.full_name.empty() ? frame.function : frame.full_name))) return true;
  }
  return false;
}

void add(HeapPlace& place, const HeapSite& site, const std::vector<double>& times) {
  place.sites.push_back(&site);
  place.blocks += site.blocks, place.bytes += site.bytes;
  place.freed_blocks += site.freed_blocks, place.freed_bytes += site.freed_bytes;
  place.peak_bytes += site.peak_bytes;
  place.variance += site.bytes_deviation * site.bytes_deviation;
  if (site.sample) place.lifetimes.add(site.sample->lifetimes);
  const std::vector<double> live = live_at(*site.live, times);
  place.live.resize(times.size());
  for (std::size_t i = 0; i < live.size(); ++i) place.live[i] += live[i];
}

double greatest(const HeapPlace& place) {
  const double most = place.live.empty() ? 0 : *std::max_element(place.live.begin(), place.live.end());
  return std::max(most, place.peak_bytes);
}

// Whether a thread waits for what comes from outside or for the time, rather than for its own disk, children or threads.
bool is_paced(const ThreadWaits& thread) {
  constexpr double kPaced = 0.2;  // of its life
  double waiting = 0;
  for (const WaitCause cause : {WaitCause::sleep, WaitCause::poll, WaitCause::network, WaitCause::condition, WaitCause::semaphore, WaitCause::futex})
    waiting += thread.designed[static_cast<std::size_t>(cause)];
  return thread.alive > 0 && waiting >= kPaced * thread.alive;
}

bool answers_connections(const Model& model) {
  constexpr std::uint64_t kFewestTurns = 20;
  std::uint64_t turns = 0;
  for (const EndpointTotals& totals : model.waits.endpoints)
    if (totals.turns && model.recording.calls.endpoints[totals.endpoint].kind == trace::EndpointKind::tcp_accepted) turns += totals.turns->turns;
  return turns >= kFewestTurns;
}

}  // namespace

std::vector<HeapPlace> heap_places(const Model& model) {
  std::vector<HeapPlace> places;
  std::map<std::tuple<std::string, std::string, std::uint64_t, bool>, std::size_t> known;
  for (const HeapSite* site : sites_that_matter(model.heap)) {
    const std::vector<Frame> frames = model.symbols->stack(site->stack);
    const Frame culprit = allocating_frame(frames);
    const bool in_container = is_in_container(frames, culprit);
    const auto [at, added] = known.emplace(std::tuple(culprit.function, culprit.module, culprit.address, in_container), places.size());
    if (added) places.emplace_back(), places.back().culprit = culprit, places.back().in_container = in_container;
    add(places[at->second], *site, model.heap.times);
  }
  std::stable_sort(places.begin(), places.end(), [](const HeapPlace& a, const HeapPlace& b) { return greatest(a) > greatest(b); });
  return places;
}

double footprint(const Model& model, double bytes, double blocks) {
  constexpr double kHeader = 8, kRounding = 7, kLeast = 32;
  const std::string& allocator = model.recording.allocations.allocator;
  if (!allocator.empty() && allocator != "glibc") return bytes;
  return std::max(bytes + blocks * (kHeader + kRounding), blocks * kLeast);
}

bool runs_on(const Model& model) {
  constexpr std::uint64_t kDurationOver = 2, kStopped = 3;
  constexpr double kIdle = 0.5;  // of a CPU
  const auto& end = model.recording.end;
  if (!end || end->reason == kDurationOver || end->reason == kStopped) return true;
  if (!model.waits.missing.empty()) return static_cast<double>(model.cpu.cpu_ns) * kNanosecond < kIdle * model.timeline.wall_seconds;
  const auto& threads = model.waits.threads;
  const auto busiest = std::max_element(threads.begin(), threads.end(), [](const ThreadWaits& a, const ThreadWaits& b) { return a.engaged() < b.engaged(); });
  return answers_connections(model) || (busiest != threads.end() && is_paced(*busiest));
}

MemoryLimit memory_limit(const Model& model) {
  const Recording& recording = model.recording;
  MemoryLimit machine{static_cast<double>(recording.machine.memory_bytes), peak_resident(model), false};
  if (!recording.system.empty() && recording.system.back().memory_available_bytes)
    machine.used = std::max(machine.used, machine.bytes - static_cast<double>(recording.system.back().memory_available_bytes));
  MemoryLimit cgroup;
  for (const trace::CgroupState& state : recording.cgroup)
    if (state.memory_limit_bytes) cgroup = {static_cast<double>(state.memory_limit_bytes), peak_resident(model), true};
  // What the cgroup uses beyond the process is mostly file cache, which goes when it must.
  if (cgroup.bytes > 0 && (machine.bytes <= 0 || cgroup.left() < machine.left())) return cgroup;
  return machine;
}

std::optional<double> seconds_left(const MemoryLimit& limit, double bytes_per_second) {
  if (limit.bytes <= 0 || bytes_per_second <= 0) return std::nullopt;
  return limit.left() / bytes_per_second;
}

std::string long_duration(double seconds) {
  constexpr double kMinute = 60, kHour = 3600, kDay = 86400;
  if (seconds < 2 * kMinute) return duration(seconds);
  if (seconds < 2 * kHour) return fmt::format("{:.0f} min", seconds / kMinute);
  if (seconds < 2 * kDay) return fmt::format("{:.0f} h", seconds / kHour);
  if (seconds < 1000 * kDay) return fmt::format("{:.0f} days", seconds / kDay);
  return "years";
}

double peak_resident(const Model& model) {
  std::uint64_t peak = 0;
  for (const trace::ProcessState& state : model.recording.process) peak = std::max({peak, state.rss_peak_bytes, state.rss_bytes});
  return static_cast<double>(peak);
}

std::vector<StackEvidence> allocation_stacks(const Model& model, const HeapPlace& place, std::size_t most) {
  std::vector<StackEvidence> evidence;
  for (const HeapSite* site : place.sites) {
    if (evidence.size() == most) break;
    evidence.push_back({"allocation", std::max(site->live_bytes(), site->peak_bytes), "bytes", model.symbols->stack(site->stack)});
  }
  return evidence;
}

std::string how_known(const Model& model) { return model.heap.exact ? "exact" : "estimated from samples"; }

}  // namespace tailback::analyzers
