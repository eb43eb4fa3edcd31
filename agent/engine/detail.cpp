// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/detail.h"

#include "agent/capture/pages.h"

namespace tailback::engine {

namespace {
constexpr std::uint64_t kAnomalyPauseNs = 10'000'000'000;
constexpr std::uint64_t kMillisecond = 1'000'000;
// Threads are told of a window up to a quarter of a second after the one before has ended.
constexpr std::uint64_t kApartNs = 300 * kMillisecond;
// The stretches that have a window each; behind them one for each cycle.
constexpr std::uint64_t kFirst[] = {250 * kMillisecond, 1000 * kMillisecond, 2000 * kMillisecond, 3500 * kMillisecond};
constexpr std::uint64_t kFirstCount = sizeof kFirst / sizeof *kFirst;

std::uint64_t stretch_begin(std::uint64_t number) { return number < kFirstCount ? kFirst[number] : (number - kFirstCount + 1) * kWindowCycleNs; }

// The stretch that a moment lies in; the first one for what lies before all.
std::uint64_t stretch_at(std::uint64_t t) {
  if (t >= kWindowCycleNs) return kFirstCount - 1 + t / kWindowCycleNs;
  std::uint64_t number = kFirstCount - 1;
  while (number > 0 && t < kFirst[number]) --number;
  return number;
}

trace::CpuSample record_of(std::uint64_t thread, const capture::Sample& sample) {
  trace::CpuSample record;
  record.t = sample.t;
  record.thread = thread;
  record.stack = sample.stack;
  record.weight_ns = sample.weight_ns;
  record.cpu = sample.cpu;
  record.lock = sample.lock;
  record.flags = sample.flags | 1u;  // it is in an aggregate as well
  return record;
}
}  // namespace

bool Detail::init() {
  kept_ = static_cast<Kept*>(capture::map_own_pages(kKept * sizeof(Kept)));
  return kept_ != nullptr;
}

void Detail::reset() {
  next_ = 0;
  closed_ = 0;
  for (std::uint64_t& cut : cuts_) cut = 0;
  last_anomaly_ns_ = 0;
}

// Start of the window of a stretch: a hash of its number and the process's address layout, so that it falls in step with nothing in the
// program.
std::uint64_t Detail::window_begin(std::uint64_t number) const {
  std::uint64_t hash = (number + 1) * 0x9e3779b97f4a7c15u ^ reinterpret_cast<std::uint64_t>(kept_);
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9u;
  hash ^= hash >> 32;
  const std::uint64_t begin = stretch_begin(number), room = stretch_begin(number + 1) - begin - kApartNs - kWindowNs;
  return begin + kApartNs + hash % room;
}

std::uint64_t Detail::window_end(std::uint64_t number) const {
  const std::uint64_t end = window_begin(number) + kWindowNs, cut = cuts_[number % kOpen];
  return cut ? cut : end;
}

bool Detail::in_window(std::uint64_t t) const {
  const std::uint64_t number = stretch_at(t);
  return windows_on_ && t >= window_begin(number) && t < window_end(number);
}

bool Detail::next_window(std::uint64_t now_ns, std::uint64_t& begin, std::uint64_t& end) const {
  std::uint64_t number = stretch_at(now_ns);
  if (now_ns >= window_begin(number) + kWindowNs) ++number;
  begin = window_begin(number);
  end = begin + kWindowNs;
  return windows_on_;
}

void Detail::cut(std::uint64_t at_ns) {
  const std::uint64_t number = stretch_at(at_ns);
  if (number >= closed_ && number < closed_ + kOpen && at_ns >= window_begin(number) && at_ns < window_end(number)) cuts_[number % kOpen] = at_ns;
}

void Detail::keep(DumpFile& dump, std::uint64_t thread, const capture::Sample& sample) {
  const bool singly = in_window(sample.t);
  kept_[next_++ % kKept] = {thread, sample, singly};
  if (singly) dump.append(record_of(thread, sample));
}

void Detail::close_windows(DumpFile& dump, std::uint64_t now_ns, bool all) {
  constexpr std::uint64_t kDrainedNs = 1'000'000'000;
  if (!windows_on_) return;
  for (std::uint64_t begin; (begin = window_begin(closed_)) < now_ns && (all || begin + kWindowNs + kDrainedNs < now_ns); ++closed_) {
    const std::uint64_t end = window_end(closed_);
    if (end > begin) dump.append(trace::DetailWindow{begin, end < now_ns ? end : now_ns, 0, {}});
    cuts_[closed_ % kOpen] = 0;
  }
}

void Detail::write(DumpFile& dump, Kept& kept) {
  if (!kept.written) dump.append(record_of(kept.thread, kept.sample));
  kept.written = true;
}

void Detail::keep_thread(DumpFile& dump, std::uint64_t thread, std::uint64_t begin_ns, std::uint64_t end_ns) {
  for (std::uint64_t i = next_; i > 0 && next_ - i < kKept; --i) {
    Kept& kept = kept_[(i - 1) % kKept];
    if (kept.thread == thread && kept.sample.t >= begin_ns && kept.sample.t <= end_ns) write(dump, kept);
  }
}

void Detail::anomaly(DumpFile& dump, std::uint64_t begin_ns, std::uint64_t end_ns, const char* cause) {
  if (last_anomaly_ns_ != 0 && end_ns < last_anomaly_ns_ + kAnomalyPauseNs) return;
  last_anomaly_ns_ = end_ns;
  for (std::uint64_t i = next_ > kKept ? next_ - kKept : 0; i < next_; ++i) {
    Kept& kept = kept_[i % kKept];
    if (kept.sample.t >= begin_ns && kept.sample.t <= end_ns) write(dump, kept);
  }
  dump.append(trace::DetailWindow{begin_ns, end_ns, 1, cause});
}

}  // namespace tailback::engine
