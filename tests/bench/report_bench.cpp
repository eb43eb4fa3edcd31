// SPDX-License-Identifier: Apache-2.0
// Writes a dump of many single CPU samples in complete detail windows: what `report` has to cope with at worst.
//   report_bench PATH [SAMPLES] [NODES]
// Realistic in what costs time: a deep tree of stacks with a long tail, many threads, each second's records side by side.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/support/trace_builder.h"

namespace {

using tailback::testing::kSecond;
using tailback::testing::TraceBuilder;
namespace trace = tailback::trace;

constexpr std::size_t kThreads = 64, kFunctions = 4000;
constexpr std::uint64_t kPeriod = 5'025'125;  // 199 Hz

// A tree grown like a program's: mostly chains, branches near the leaves, at most 60 frames deep.
std::vector<std::uint64_t> grow_tree(TraceBuilder& builder, std::size_t count, std::mt19937_64& random) {
  std::vector<std::uint64_t> functions;
  for (std::size_t i = 0; i < kFunctions; ++i) functions.push_back(builder.address_of("module_" + std::to_string(i % 40) + "::function_" + std::to_string(i)));
  std::vector<std::uint64_t> nodes = {builder.node(0, functions[0])};
  std::vector<unsigned> depths = {1};
  while (nodes.size() < count) {
    std::size_t parent = random() % 4 ? nodes.size() - 1 - random() % std::min<std::size_t>(nodes.size(), 30) : random() % nodes.size();
    if (depths[parent] >= 60) parent = random() % std::min<std::size_t>(nodes.size(), 1000);
    const auto made = builder.node(nodes[parent], functions[random() % kFunctions] + random() % 200);
    if (made != nodes.size() + 1) continue;  // the edge was there already
    nodes.push_back(made);
    depths.push_back(depths[parent] + 1);
  }
  return nodes;
}

void write_samples(TraceBuilder& builder, std::size_t count, const std::vector<std::uint64_t>& nodes, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(0, 1);
  const std::uint64_t each = kPeriod / kThreads;
  for (std::size_t i = 0; i < count; ++i) {
    const double rare = std::pow(uniform(random), 3);  // few stacks take most samples
    const auto stack = nodes[static_cast<std::size_t>(rare * static_cast<double>(nodes.size() - 1))];
    builder.add(trace::CpuSample{.t = i * each, .thread = 1 + i % kThreads, .stack = stack, .weight_ns = kPeriod, .cpu = random() % kThreads, .flags = 0});
  }
  const std::uint64_t end = count * each;
  for (std::uint64_t t = 0; t < end; t += kSecond)
    for (std::uint64_t thread = 1; thread <= kThreads; ++thread) {
      const std::uint64_t cpu = t / kPeriod * kPeriod;
      builder.add(trace::ThreadState{.thread = thread, .t = t, .cpu_ns = cpu, .user_ns = cpu, .samples = t / kPeriod, .sampled_ns = cpu});
    }
  for (std::uint64_t thread = 1; thread <= kThreads; ++thread)
    builder.add(trace::ThreadState{.thread = thread, .t = end, .cpu_ns = (count + kThreads - thread) / kThreads * kPeriod});
  builder.add(trace::DetailWindow{.begin = 0, .end = end, .reason = 2}).add(trace::SessionEnd{.t = end});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("usage: report_bench PATH [SAMPLES] [NODES]\n", stderr), 2;
  const std::size_t samples = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10'000'000;
  const std::size_t nodes = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 100'000;
  std::mt19937_64 random(199);
  TraceBuilder builder(kThreads, "/usr/bin/server");
  builder.image().reserve(samples * 24 + (64 << 20));
  for (std::size_t i = 1; i < kThreads; ++i) builder.thread({.name = "worker-" + std::to_string(i), .start_routine = "serve"});
  write_samples(builder, samples, grow_tree(builder, nodes, random), random);
  builder.write(argv[1]);
}
