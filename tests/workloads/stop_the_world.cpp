// SPDX-License-Identifier: Apache-2.0
// Three threads that make objects and look, after so many, which of the kept ones are still referred to: bad stops the others meanwhile and looks
// through the objects of all; fixed looks through its own alone and stops nobody.
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::size_t kThreads = 3, kObjects = 800'000;  // of each thread
constexpr std::uint64_t kSteps = 6'000, kEach = 1'000;    // of each thread; between two looks

using Heap = std::vector<std::uint32_t>;  // each object refers to one other

struct World {
  std::array<Heap, kThreads> heaps;
  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<bool> stopping{false};
  std::size_t parked = 0, alive = kThreads;

  World() {
    for (std::size_t thread = 0; thread < kThreads; ++thread)
      for (std::size_t i = 0; i < kObjects; ++i) heaps[thread].push_back(static_cast<std::uint32_t>(workload::mix(i + thread) % kObjects));
  }
};

[[gnu::noinline]] std::uint64_t mark_reachable(const Heap& heap) {
  std::uint64_t sum = 0;
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < heap.size() * 2; ++i) at = heap[(at + i) % heap.size()], sum += at;
  return sum;
}

[[gnu::noinline]] void park(World& world) {
  std::unique_lock lock(world.mutex);
  ++world.parked;
  world.changed.notify_all();
  world.changed.wait(lock, [&] { return !world.stopping; });
  --world.parked;
}

[[gnu::noinline]] std::uint64_t collect_all(World& world, std::size_t own) {
  std::unique_lock lock(world.mutex);
  while (world.stopping) {
    ++world.parked;
    world.changed.notify_all();
    world.changed.wait(lock, [&] { return !world.stopping; });
    --world.parked;
  }
  world.stopping = true;
  world.changed.wait(lock, [&] { return world.parked + 1 >= world.alive; });
  lock.unlock();
  std::uint64_t sum = 0;
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    const std::uint64_t found = mark_reachable(world.heaps[thread]);
    if (thread == own) sum = found;
  }
  lock.lock();
  world.stopping = false;
  world.changed.notify_all();
  return sum;
}

[[gnu::noinline]] std::uint64_t make_objects(std::uint64_t step) {
  for (int i = 0; i < 60'000; ++i) step = workload::mix(step + static_cast<std::uint64_t>(i));
  return step;
}

template <class Collect>
std::uint64_t run_threads(Collect collect, double& latency) {
  World world;
  std::atomic<std::uint64_t> checksum{0};
  std::atomic<double> waited{0};
  std::vector<std::thread> threads;
  for (std::size_t own = 0; own < kThreads; ++own)
    threads.emplace_back([&, own] {
      std::uint64_t sum = 0;
      const double begun = workload::now();
      for (std::uint64_t step = 0; step < kSteps; ++step) {
        sum ^= make_objects(step + own);
        if (step % kEach == kEach / (own + 2)) sum += collect(world, own);
        if (world.stopping) park(world);
      }
      waited += workload::now() - begun;
      checksum ^= sum;
      const std::lock_guard lock(world.mutex);
      --world.alive;
      world.changed.notify_all();
    });
  for (std::thread& thread : threads) thread.join();
  latency = waited / static_cast<double>(kThreads * kSteps);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double& latency) { return run_threads(collect_all, latency); },
                       [](double& latency) { return run_threads([](World& world, std::size_t own) { return mark_reachable(world.heaps[own]); }, latency); });
}
