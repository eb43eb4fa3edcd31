// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/detail.h"

#include "agent/capture/pages.h"

namespace tailback::engine {

namespace {
constexpr std::uint64_t kAnomalyPauseNs = 10'000'000'000;

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
  closed_cycles_ = 0;
  last_anomaly_ns_ = 0;
}

// Start of the window of a cycle: a hash of the cycle's number and the process's address layout, so that it falls in step
// with nothing in the program.
std::uint64_t Detail::window_begin(std::uint64_t cycle) const {
  std::uint64_t hash = (cycle + 1) * 0x9e3779b97f4a7c15u ^ reinterpret_cast<std::uint64_t>(kept_);
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9u;
  hash ^= hash >> 32;
  return cycle * kWindowCycleNs + hash % (kWindowCycleNs - kWindowNs);
}

bool Detail::in_window(std::uint64_t t) const {
  const std::uint64_t begin = window_begin(t / kWindowCycleNs);
  return windows_on_ && t >= begin && t < begin + kWindowNs;
}

bool Detail::next_window(std::uint64_t now_ns, std::uint64_t& begin, std::uint64_t& end) const {
  const std::uint64_t cycle = now_ns / kWindowCycleNs;
  begin = window_begin(cycle);
  if (now_ns >= begin + kWindowNs) begin = window_begin(cycle + 1);
  end = begin + kWindowNs;
  return windows_on_;
}

void Detail::keep(DumpFile& dump, std::uint64_t thread, const capture::Sample& sample) {
  kept_[next_++ % kKept] = {thread, sample};
  if (in_window(sample.t)) dump.append(record_of(thread, sample));
}

void Detail::close_windows(DumpFile& dump, std::uint64_t now_ns) {
  if (!windows_on_) return;
  for (std::uint64_t end; (end = window_begin(closed_cycles_) + kWindowNs) + 1'000'000'000 < now_ns; ++closed_cycles_)
    dump.append(trace::DetailWindow{end - kWindowNs, end, 0, {}});
}

void Detail::anomaly(DumpFile& dump, std::uint64_t begin_ns, std::uint64_t end_ns, const char* cause) {
  if (last_anomaly_ns_ != 0 && end_ns < last_anomaly_ns_ + kAnomalyPauseNs) return;
  last_anomaly_ns_ = end_ns;
  for (std::uint64_t i = next_ > kKept ? next_ - kKept : 0; i < next_; ++i) {
    const Kept& kept = kept_[i % kKept];
    const bool in_span = kept.sample.t >= begin_ns && kept.sample.t <= end_ns;
    if (in_span && !in_window(kept.sample.t)) dump.append(record_of(kept.thread, kept.sample));
  }
  dump.append(trace::DetailWindow{begin_ns, end_ns, 1, cause});
}

}  // namespace tailback::engine
