// SPDX-License-Identifier: Apache-2.0
// What-if on a recording of many single calls and wakes in detail windows:
//   what_if_bench write PATH [EVENTS]   a server whose workers wait for one lock
//   what_if_bench measure PATH          reads it, builds the graphs, replays two changes; prints seconds and peak memory
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "analyzers/model/timeline.h"
#include "analyzers/model/what_if.h"
#include "tests/support/trace_builder.h"

namespace {

using namespace tailback;
using testing::kMillisecond;
using testing::kSecond;
using testing::TraceBuilder;

constexpr std::uint64_t kWorkers = 16, kLock = 0x1000, kHold = 50'000, kWindow = 200 * kMillisecond, kCycle = 5 * kSecond;
constexpr std::uint64_t kEventsOfTurn = 3;  // a hold, a wake, the next holder's wait

void write(const std::string& path, std::uint64_t events) {
  TraceBuilder builder(8, "/usr/bin/server");
  builder.image().reserve(events * 32 + (64 << 20));
  for (std::uint64_t i = 0; i < kWorkers; ++i) builder.thread({.name = "worker-" + std::to_string(i), .start_routine = "serve"});
  const std::uint64_t stack = builder.stack({"serve", "update"});
  std::uint64_t t = kSecond, window = kSecond, written = 0;
  for (std::uint64_t turn = 0; written < events; ++turn, written += kEventsOfTurn, t += kHold) {
    const std::uint64_t holder = 2 + turn % kWorkers, next = 2 + (turn + 1) % kWorkers, waited = kHold * (kWorkers - 1);
    builder.add(trace::CallEvent{.t = t, .ns = kHold, .thread = holder, .call = 80, .object = kLock, .stack = stack});
    builder.add(trace::Wake{.t = t + kHold, .thread = holder, .call = 80, .object = kLock, .stack = stack});
    builder.add(trace::CallEvent{.t = t + kHold > waited ? t + kHold - waited : 0, .ns = waited, .thread = next, .call = 64, .object = kLock, .stack = stack});
    if (turn % 100 == 0) builder.add(trace::CpuSample{.t = t, .thread = holder, .stack = stack, .weight_ns = 5 * kMillisecond, .flags = 1});
    if (t - window < kWindow) continue;
    builder.add(trace::DetailWindow{.begin = window, .end = t, .reason = 0});
    window = t = window + kCycle;
  }
  builder.add(trace::SessionEnd{.t = t});
  builder.write(path);
}

int measure(const std::string& path) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  const analyzers::Recording recording = analyzers::read_recording(path);
  const auto read = Clock::now();
  const analyzers::WhatIfReplay replay(recording, 8);
  const auto built = Clock::now();
  const analyzers::WhatIf without = replay.gain_of(analyzers::without_waits_for(kLock)), shorter = replay.gain_of(analyzers::with_shorter_section(kLock, 0.5));
  const auto replayed = Clock::now();
  const auto seconds = [](auto from, auto to) { return std::chrono::duration<double>(to - from).count(); };
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("read %.2f s, graphs and unchanged replay %.2f s, two changes %.2f s, all %.2f s; peak %.0f MiB\n", seconds(began, read), seconds(read, built), seconds(built, replayed),
              seconds(began, replayed), static_cast<double>(usage.ru_maxrss) / 1024);
  std::printf("%zu windows (%zu refused): without waits %.2f, section halved %.2f\n", replay.windows().size(), replay.refused(), without.fraction, shorter.fraction);
  return replay.usable() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[1] : "";
  if (what == "write") return write(argv[2], argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 10'000'000), 0;
  if (what == "measure") return measure(argv[2]);
  return std::fputs("usage: what_if_bench write PATH [EVENTS] | measure PATH\n", stderr), 2;
}
