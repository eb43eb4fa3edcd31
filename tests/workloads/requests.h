// SPDX-License-Identifier: Apache-2.0
// A thread that answers requests as they come, each in a fraction of a millisecond, and a client that sends one each few milliseconds: who
// keeps that thread from answering holds up all requests behind.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/workloads/measure.h"

namespace workload {

// Serves requests 0 .. count - 1, one each `pause`, by `answer`(request) on a thread of its own; the checksum of the answers. `latency`: mean
// seconds from sending a request to its answer.
template <class Answer>
std::uint64_t serve_requests(std::uint64_t count, std::chrono::microseconds pause, Answer answer, double& latency) {
  struct Request {
    std::uint64_t number;
    double sent;
  };
  std::mutex mutex;
  std::condition_variable came;
  std::deque<Request> requests;
  std::uint64_t checksum = 0;
  double waited = 0;
  std::thread server([&] {
    for (std::uint64_t served = 0; served < count; ++served) {
      std::unique_lock lock(mutex);
      came.wait(lock, [&] { return !requests.empty(); });
      const Request request = requests.front();
      requests.pop_front();
      lock.unlock();
      checksum ^= answer(request.number);
      waited += now() - request.sent;
    }
  });
  for (std::uint64_t number = 0; number < count; ++number) {
    std::this_thread::sleep_for(pause);
    const std::lock_guard lock(mutex);
    requests.push_back({number, now()});
    came.notify_one();
  }
  server.join();
  latency = waited / static_cast<double>(count);
  return checksum;
}

// What answering a request takes.
[[gnu::noinline]] inline std::uint64_t usual_answer(std::uint64_t request) {
  for (int i = 0; i < 60'000; ++i) request = mix(request + static_cast<std::uint64_t>(i));
  return request;
}

}  // namespace workload
