// SPDX-License-Identifier: Apache-2.0
// What less CPU time is worth where detail windows tell who waits for whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analyzers/model/gain.h"
#include "tests/analyzers/rules/synthetic.h"

namespace tailback::testing {
namespace {

using analyzers::Gain;
using analyzers::Removable;
using trace::Call;
using ::testing::HasSubstr;

constexpr std::uint64_t kQueue = 0x7f0000001000;
constexpr double kSeconds = 2;

// A producer that takes 4 ms for each piece and is always busy, and a consumer that takes 2 ms and then waits for the next one.
struct Line {
  TraceBuilder builder{2};
  std::uint64_t producer = builder.thread({.name = "produce"}), consumer = builder.thread({.name = "consume"});
  std::uint64_t making = builder.stack({"produce", "make"}), using_up = builder.stack({"consume", "use"});

  void window(double begin, double length) {
    const auto ns = [&](double seconds) { return static_cast<std::uint64_t>((begin + seconds) * 1e9); };
    const auto condition = [](Call call) { return static_cast<std::uint64_t>(call); };
    for (double at = 0.004; at < length; at += 0.004) {
      builder.add(trace::CallEvent{.t = ns(at - 0.002), .ns = 2 * kMillisecond, .thread = consumer, .call = condition(Call::cond_wait), .object = kQueue});
      builder.add(trace::Wake{.t = ns(at - 1e-5), .thread = producer, .call = condition(Call::cond_signal), .object = kQueue});
    }
    for (double at = 0.0005; at < length; at += 0.001) builder.add(trace::CpuSample{.t = ns(at), .thread = producer, .stack = making, .weight_ns = kMillisecond, .flags = 1});
    for (double at = 0.0005; at < length; at += 0.002) builder.add(trace::CpuSample{.t = ns(at), .thread = consumer, .stack = using_up, .weight_ns = kMillisecond, .flags = 1});
    builder.add(trace::DetailWindow{.begin = ns(0), .end = ns(length)});
  }

  Gain gain_of_half(std::uint64_t thread, double seconds) {
    const auto model = model_of(builder.finish(kSeconds));
    return analyzers::gain_of_cpu_seconds(*model, {{model->recording.threads.find(thread)->id, seconds}}, Removable{.low = 0.2, .expected = 0.5, .high = 0.6, .why = "a test"});
  }
};

Line line(std::size_t windows) {
  Line line;
  line.builder.run(line.producer, 0, kSeconds, line.making, {.busy = 1});
  line.builder.run(line.consumer, 0, kSeconds, line.using_up, {.busy = 0.5});
  for (std::size_t i = 0; i < windows; ++i) line.window(0.2 + 0.4 * static_cast<double>(i), 0.2);
  return line;
}

TEST(CpuGain, OthersAreWaitedForLess) {
  const Gain gain = line(3).gain_of_half(2, kSeconds);
  EXPECT_EQ(gain.metric, "wall_time");
  EXPECT_THAT(gain.how, HasSubstr("3 detail windows"));
  EXPECT_NEAR(gain.fraction, 0.5, 0.05) << "until the consumer is as slow as the producer";
  EXPECT_GT(gain.low, 0.1);
}

TEST(CpuGain, WhoWaitsForOthersSavesNothing) {
  const Gain gain = line(3).gain_of_half(3, kSeconds / 2);
  EXPECT_THAT(gain.how, HasSubstr("detail windows"));
  EXPECT_NEAR(gain.fraction, 0, 0.03);
}

TEST(CpuGain, WithoutWindowsItIsNotKnown) {
  const Gain gain = line(0).gain_of_half(2, kSeconds);
  EXPECT_THAT(gain.how, HasSubstr("not known"));
  EXPECT_EQ(gain.low, 0);
}

}  // namespace
}  // namespace tailback::testing
