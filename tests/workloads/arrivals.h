// SPDX-License-Identifier: Apache-2.0
// Requests that come at a steady pace from outside, a few at a time: a program that answers them waits for most of the time, and
// takes as long on a slow machine as on a fast one.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

namespace workload {

class Arrivals {
 public:
  // `count` requests in about 2.5 seconds.
  explicit Arrivals(std::uint64_t count) : count_(count), groups_(std::min<std::uint64_t>(count, 500)), start_(std::chrono::steady_clock::now()) {}

  // False when all have come; else the number of the next, counted from 0, once it is due.
  bool next(std::uint64_t& number) {
    if (next_ == count_) return false;
    if (next_ * groups_ / count_ != group_) {
      ++group_;
      std::this_thread::sleep_until(start_ + kDuration * group_ / groups_);
    }
    number = next_++;
    return true;
  }

 private:
  static constexpr std::chrono::nanoseconds kDuration{2'500'000'000};

  const std::uint64_t count_, groups_;
  const std::chrono::steady_clock::time_point start_;
  std::uint64_t next_ = 0, group_ = 0;
};

}  // namespace workload
