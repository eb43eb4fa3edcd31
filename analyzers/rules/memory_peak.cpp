// SPDX-License-Identifier: Apache-2.0
// For a moment the program needs far more memory than before and after it, and that moment decides what the machine must have. Told by
// the highest live bytes, which are recorded as they happen, beside the level that live bytes had at most times.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/heap_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr double kShort = 0.25;               // of the recording
constexpr std::size_t kFewestTimes = 5;
constexpr double kLow = 0.15, kMedium = 0.3;  // of what is resident at most
constexpr double kLeastBytes = 4 << 20;
constexpr double kSettled = 0.5;              // of the usual level
constexpr double kUsual = 0.75;               // of the time the level is not higher

struct Peak {
  double bytes = 0, usual = 0, next = 0;      // live: at the peak, at most times, the highest seen beside it
  double from = 0, to = 0;                    // seconds: it lies between
  double above = 0;                           // seconds seen beyond half of it
  bool before = false, after = false;         // seen low before it, and after it
};

// Level that live bytes do not exceed for a part of the time.
double level(const Heap& heap, double part) {
  std::vector<std::pair<double, double>> lasting;  // bytes, seconds
  for (std::size_t i = 0; i < heap.times.size(); ++i) lasting.emplace_back(heap.live[i], heap.times[i] - (i ? heap.times[i - 1] : 0));
  std::sort(lasting.begin(), lasting.end());
  double left = part * heap.times.back();
  for (const auto& [bytes, seconds] : lasting)
    if ((left -= seconds) <= 0) return bytes;
  return lasting.back().first;
}

// Between which two moments the peak was reached.
void find_time(const std::vector<HeapPoint>& points, Peak& peak) {
  const auto reached = std::find_if(points.begin(), points.end(), [&](const HeapPoint& point) { return static_cast<double>(point.peak_bytes) >= 0.999 * peak.bytes; });
  if (reached == points.end()) return;
  peak.from = reached == points.begin() ? 0 : static_cast<double>((reached - 1)->t) * 1e-9;
  peak.to = static_cast<double>(reached->t) * 1e-9;
}

Peak peak_of(const Model& model) {
  const Heap& heap = model.heap;
  Peak peak;
  peak.bytes = heap.peak_bytes;
  peak.usual = level(heap, kUsual);
  const double half = (peak.bytes + peak.usual) / 2;
  find_time(model.recording.allocations.heap, peak);
  for (std::size_t i = 0; i < heap.times.size(); ++i) {
    const double t = heap.times[i];
    if (heap.live[i] > half) {
      peak.above += t - (i ? heap.times[i - 1] : 0);
      continue;
    }
    peak.next = std::max(peak.next, heap.live[i]);
    peak.before |= t <= peak.from && heap.live[i] >= kSettled * peak.usual;  // else it may be how the program starts
    peak.after |= t >= peak.to;
  }
  return peak;
}

double usual_of(const HeapPlace& place) {
  std::vector<double> live = place.live;
  if (live.empty()) return 0;
  const auto at = live.begin() + static_cast<std::ptrdiff_t>(kUsual * static_cast<double>(live.size() - 1));
  std::nth_element(live.begin(), at, live.end());
  return *at;
}

double beyond(const HeapPlace& place) { return std::max(0.0, place.peak_bytes - usual_of(place)); }

Gain gain_of(const Model& model, const Peak& peak, double by_place) {
  const double resident = std::max({peak_resident(model), peak.bytes, 1.0});
  Gain gain;
  gain.metric = "memory";
  gain.fraction = std::min(by_place, peak.bytes - peak.next) / resident;
  gain.low = 0.5 * gain.fraction;
  gain.high = (peak.bytes - peak.usual) / resident;
  gain.how = fmt::format("what the place held at the peak beyond its usual level, down to the next highest level that was seen ({}), as a part of the highest resident memory; low bound: "
                         "half of it is needed in any case, high bound: the whole peak",
                         bytes_text(peak.next));
  return bounded(gain);
}

Severity severity_of(const Model& model, double fraction, double bytes) {
  constexpr double kNearLimit = 0.25;
  const MemoryLimit limit = memory_limit(model);
  const bool matters = runs_on(model) || (limit.bytes > 0 && bytes >= kNearLimit * limit.bytes);
  return fraction >= kMedium && matters ? Severity::medium : Severity::low;  // who ends at once needs the memory once
}

Finding finding_of(const Model& model, const Peak& peak, const std::vector<HeapPlace>& places) {
  const HeapPlace& place = places.front();
  const double mean = std::max(place.mean_size(), 1.0), by_place = beyond(place);
  Finding finding;
  finding.gain = gain_of(model, peak, by_place);
  finding.severity = severity_of(model, finding.gain.fraction, peak.bytes);
  finding.confidence = 0.8;
  finding.culprit = place.culprit;
  finding.title = fmt::format("for a moment {} live bytes instead of {}: {} holds {} of the difference", bytes_text(peak.bytes), bytes_text(peak.usual), place.culprit.function,
                              percent(std::min(1.0, by_place / std::max(peak.bytes - peak.usual, 1.0))));
  finding.evidence = {bytes_evidence("highest live bytes", peak.bytes), bytes_evidence("not exceeded", std::max(peak.bytes, model.heap.peak_bound_bytes)),
                      bytes_evidence("live bytes most of the time", peak.usual), seconds_evidence("reached after", peak.from), seconds_evidence("and before", peak.to),
                      seconds_evidence("time seen beyond half of it", peak.above)};
  for (std::size_t i = 0; i < std::min<std::size_t>(places.size(), 3); ++i)
    if (beyond(places[i]) > 0) finding.evidence.push_back(bytes_evidence("at the peak by " + places[i].culprit.function, places[i].peak_bytes));
  finding.evidence.push_back(bytes_evidence("mean size of a block of it", mean));
  finding.evidence.push_back(text_evidence("figures of the heap", how_known(model)));
  finding.stacks = allocation_stacks(model, place, 2);
  finding.advice = {fmt::format("do not hold it all at once: hand it on in pieces (read, convert, write), or free the input while the output grows; {} of the peak come from here", bytes_text(by_place)),
                    "where several do this at the same time, let them wait for each other: peaks add up"};
  if (mean > kLeastBytes) finding.advice.push_back(fmt::format("blocks of {}: a buffer that grew by doubling holds up to twice what it needs; reserve the size, or a list of smaller pieces", bytes_text(mean)));
  finding.verify = fmt::format("{}; the highest live bytes should fall from {} towards {}", record_again(model), bytes_text(peak.bytes), bytes_text(peak.next));
  return finding;
}

}  // namespace

RuleResult memory_peak(const Model& model) {
  const Heap& heap = model.heap;
  if (!heap.missing.empty()) return RuleResult::cannot(heap.missing);
  if (heap.times.size() < kFewestTimes)
    return RuleResult::cannot(fmt::format("the heap was looked at {} while the program worked; {} are needed", plural(heap.times.size(), "time"), kFewestTimes));
  RuleResult result;
  const Peak peak = peak_of(model);
  result.fine = fmt::format("live bytes reached {}; most of the time they were up to {}", bytes_text(peak.bytes), bytes_text(peak.usual));
  const bool is_short = peak.before && peak.after && peak.above <= kShort * heap.times.back();
  if (!is_short || peak.bytes - peak.next < kLeastBytes) return result;
  std::vector<HeapPlace> places = heap_places(model);
  std::stable_sort(places.begin(), places.end(), [](const HeapPlace& a, const HeapPlace& b) { return beyond(a) > beyond(b); });
  if (places.empty()) return result;
  Finding finding = finding_of(model, peak, places);
  if (finding.gain.fraction >= kLow) result.findings.push_back(std::move(finding));
  return result;
}

}  // namespace tailback::analyzers
