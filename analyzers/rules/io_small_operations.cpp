// SPDX-License-Identifier: Apache-2.0
// Many calls that each move few bytes: the price is paid for each call, not for each byte, so a buffer saves most of it.
// Waiting for a slow partner is no part of it, nor is a message that is sent as soon as it is complete.
#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "analyzers/model/thread_load.h"
#include "analyzers/rules/call_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

using trace::CallGroup;
using trace::EndpointKind;

constexpr double kSmall = 2048, kLarge = 32768;  // bytes a call
constexpr double kBuffer = 65536, kSmallestBuffer = 4096;
constexpr double kFewestCalls = 500, kFewestSeconds = 0.01;
constexpr double kCallsInATurn = 8;              // on a connection: fewer are a conversation, not a stream
constexpr double kMostApart = 0.5;               // of the calls on a connection: messages that come or go one by one are no stream either
// Seconds a byte to copy through the kernel: 4 GB/s, between nothing and 1 GB/s. Used where no large calls were seen.
constexpr double kCopy = 0.25e-9, kSlowestCopy = 1e-9;

bool is_stream(const Model& model, const CallSite& site, const EndpointRow& endpoint) {
  if (endpoint.kind == EndpointKind::file || endpoint.kind == EndpointKind::pipe || endpoint.kind == EndpointKind::device || endpoint.kind == EndpointKind::unknown) return true;
  const EndpointTotals* totals = is_socket(endpoint.kind) ? model.waits.of_endpoint(site.key.object) : nullptr;
  return totals && totals->turns && site.apart <= kMostApart && site.calls >= kCallsInATurn * static_cast<double>(std::max(totals->turns->turns, totals->turns->opened));
}

bool in_group(const Model& model, const CallSite& site, CallGroup group) {
  const EndpointRow& endpoint = endpoint_of(model, site);
  return trace::group_of(site.key.call) == group && !(endpoint.flags & trace::kSynchronous) && is_stream(model, site, endpoint);
}

bool is_small(const Model& model, const CallSite& site, CallGroup group) { return site.bytes < kSmall * site.calls && in_group(model, site, group); }

// Waiting for the other end of a pipe or connection would be as long with a buffer.
double price(const Model& model, const CallSite& site) { return site.seconds - (is_disk(endpoint_of(model, site).kind) ? 0 : site.blocked_seconds); }

struct Stream {
  CallGroup group = CallGroup::input;
  CallPlace place;
  double measured = 0;       // price of the calls by their own clocks
  double seconds = 0;        // or by the CPU samples inside them, where these say more: entering a call, or flushing a stream, costs as well
  double buffer = kBuffer;   // bytes, as the amounts seen call for
  double calls_after = 0;
  double copy = kCopy;       // seconds a byte
  bool copy_measured = false;
};

void find_buffer(const Model& model, Stream& stream) {
  double opened = 0;
  for (const auto& [file, seconds] : seconds_by_endpoint(model, stream.place)) {
    const EndpointTotals* totals = model.waits.of_endpoint(file);
    opened += totals && totals->turns ? static_cast<double>(std::max<std::uint64_t>(1, totals->turns->opened)) : 1;
  }
  const double each = stream.place.bytes / std::max(1.0, opened);
  stream.buffer = std::clamp(static_cast<double>(std::bit_ceil(static_cast<std::uint64_t>(std::clamp(each, 1.0, kBuffer)))), kSmallestBuffer, kBuffer);
  stream.calls_after = std::min(stream.place.calls, std::max(opened, std::ceil(stream.place.bytes / stream.buffer)));
}

// What a byte costs, from the large calls of this recording where there are any.
void find_copy_cost(const Model& model, Stream& stream) {
  double bytes = 0, seconds = 0;
  for (const CallSite& site : model.waits.sites)
    if (site.bytes >= kLarge * site.calls && site.bytes > 0 && in_group(model, site, stream.group)) bytes += site.bytes, seconds += price(model, site);
  if (bytes < 64 * kBuffer) return;
  stream.copy = std::min(kSlowestCopy, seconds / bytes);
  stream.copy_measured = true;
}

Stream stream_of(const Model& model, CallGroup group, const CallPlace& place) {
  Stream stream{group, place};
  for (const CallSite* site : place.sites) stream.measured += price(model, *site);
  stream.seconds = model.cpu.samples >= kFewestSamples ? std::max(stream.measured, sampled_inside(model, place)) : stream.measured;
  find_buffer(model, stream);
  find_copy_cost(model, stream);
  return stream;
}

// Price of the same bytes in large calls, when copying a byte costs `copy`.
double price_after(const Stream& stream, double copy) {
  const double copying = std::min(stream.seconds, copy * stream.place.bytes);
  return copying + (stream.seconds - copying) * stream.calls_after / std::max(1.0, stream.place.calls);
}

Gain gain_of(const Model& model, const Stream& stream) {
  const double saved = stream.seconds - price_after(stream, stream.copy);
  WaitSaving saving;
  for (const CallSite* site : stream.place.sites) saving.seconds[site->key.thread] += price(model, *site) * saved / std::max(stream.measured, 1e-9);
  saving.low = (stream.seconds - price_after(stream, stream.copy_measured ? stream.copy : kSlowestCopy)) / std::max(saved, 1e-9);
  saving.high = stream.seconds / std::max(saved, 1e-9);
  saving.why = fmt::format("{} in {:.0f} calls of {:.0f} ns, less what the same bytes cost in {:.0f} calls of {:.0f} KiB{}", duration(stream.seconds), stream.place.calls,
                           1e9 * stream.seconds / std::max(1.0, stream.place.calls), stream.calls_after, stream.buffer / 1024,
                           stream.copy_measured ? ", by the large calls of this recording" : "");
  return gain_of_waiting(model, saving);
}

std::vector<std::string> advice_for(const Stream& stream, const EndpointRow& endpoint, trace::Call call) {
  const std::string size = fmt::format("{:.0f} KiB", stream.buffer / 1024);
  const std::string saves = fmt::format("{:.0f} calls become {:.0f}", stream.place.calls, stream.calls_after);
  if (is_socket(endpoint.kind) && stream.group == CallGroup::output)
    return {fmt::format("gather what belongs together and send it with one writev or send of up to {}: {}", size, saves)};
  if (stream.group == CallGroup::input)
    return {fmt::format("read {} at a time and take the pieces from memory (fread or std::ifstream with a buffer, BufferedReader, or mmap for a file): {}", size, saves)};
  if (endpoint.name.ends_with("-journal") || endpoint.name.ends_with("-wal"))
    return {fmt::format("a database keeps this journal, and begins it anew for each transaction: put many statements into one (BEGIN ... COMMIT): {}", saves)};
  std::vector<std::string> advice = {fmt::format("collect output in a buffer of {} and write it when full (fwrite, std::ofstream, setvbuf; a BufferedWriter): {}", size, saves)};
  if (call == trace::Call::stdio_flush || call == trace::Call::stdio_write || stream.place.bytes < 512 * stream.place.calls)
    advice.push_back("if a flush after each line causes it: '\\n' instead of std::endl, no fflush or setlinebuf; flush where somebody waits for the output, and at the end");
  return advice;
}

std::vector<Evidence> evidence_of(const Model& model, const Stream& stream, const std::string& name) {
  const double calls = std::max(1.0, stream.place.calls);
  std::vector<Evidence> evidence = {text_evidence(stream.group == CallGroup::input ? "read from" : "written to", name), count_evidence("calls", std::round(calls), "count"),
                                    count_evidence("bytes", std::round(stream.place.bytes), "bytes"), count_evidence("bytes a call", std::round(stream.place.bytes / calls), "bytes"),
                                    seconds_evidence("time in the calls", stream.seconds), seconds_evidence("one call, mean", stream.seconds / calls),
                                    count_evidence("buffer that the amounts seen call for", stream.buffer, "bytes"),
                                    count_evidence("calls with it", stream.calls_after, "count")};
  const auto files = seconds_by_endpoint(model, stream.place);
  if (files.size() > 1) evidence.push_back(count_evidence("files or peers", static_cast<double>(files.size()), "count"));
  return evidence;
}

Finding finding_of(const Model& model, const Stream& stream, Gain gain) {
  const CallSite& heaviest = *stream.place.sites.front();
  const EndpointRow& endpoint = endpoint_of(model, heaviest);
  const std::string name = endpoint_name(endpoint);
  Finding finding;
  finding.severity = severity_by_part(gain.fraction);
  finding.gain = std::move(gain);
  finding.confidence = heaviest.key.call == trace::Call::pread || heaviest.key.call == trace::Call::pwrite ? 0.6 : 0.9;
  finding.culprit = stream.place.culprit;
  finding.title = fmt::format("{:.0f} calls{} {} {:.0f} bytes each {} {}: {} of wall time", stream.place.calls, in_function(stream.place.culprit),
                              stream.group == CallGroup::input ? "read" : "write", stream.place.bytes / std::max(1.0, stream.place.calls),
                              stream.group == CallGroup::input ? "from" : "to", name, percent(stream.seconds / model.timeline.wall_seconds));
  finding.evidence = evidence_of(model, stream, name);
  finding.stacks = blocked_stacks(model, stream.place, 2);
  finding.advice = advice_for(stream, endpoint, heaviest.key.call);
  finding.verify = fmt::format("{}; the calls should fall from {:.0f} to about {:.0f}, the time in them from {} to {}", record_again(model), stream.place.calls, stream.calls_after,
                               duration(stream.seconds), duration(price_after(stream, stream.copy)));
  return finding;
}

}  // namespace

RuleResult io_small_operations(const Model& model) {
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  double calls = 0, seconds = 0;
  for (const CallGroup group : {CallGroup::input, CallGroup::output}) {
    for (const CallPlace& place : places_of(model, [&](const CallSite& site) { return is_small(model, site, group); })) {
      calls += place.calls, seconds += place.seconds;
      if (place.calls < kFewestCalls || place.bytes <= 0) continue;
      const Stream stream = stream_of(model, group, place);
      if (stream.seconds < kFewestSeconds || stream.calls_after > 0.5 * place.calls) continue;
      Gain gain = gain_of(model, stream);
      if (severity_by_part(gain.fraction) != Severity::info) result.findings.push_back(finding_of(model, stream, std::move(gain)));
    }
  }
  result.fine = calls > 0 ? fmt::format("{:.0f} calls that moved less than {:.0f} bytes took {}", calls, kSmall, duration(seconds)) : "no calls that moved few bytes";
  return result;
}

}  // namespace tailback::analyzers
