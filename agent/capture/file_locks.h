// SPDX-License-Identifier: Apache-2.0
// Locks of whole files (flock) that threads of this process took, by descriptor. What the kernel has is an open file's lock, which any
// thread may give back and a forked child shares: whoever draws conclusions asks the kernel too (agent/engine/kernel_locks.h). No lock,
// no system call.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/endpoints.h"

namespace tailback::capture {

struct FileLock {
  std::atomic<std::uint32_t> taken;  // 0: the entry is free, 1: it is being filled, else descriptor + 2
  EndpointId file;
  std::uint64_t thread;
  StackId stack;  // where it was taken; 0 not known
  int descriptor() const { return static_cast<int>(taken.load(std::memory_order_acquire)) - 2; }  // negative: none
};

class FileLocks {
 public:
  static constexpr std::uint32_t kMost = 64;  // beyond that they are not known

  void took(int fd, EndpointId file, std::uint64_t thread, StackId stack);
  void gave(int fd) {
    if (count_.load(std::memory_order_relaxed) != 0) forget(fd);
  }
  bool any_but(int fd) const;
  // A lock on that file that the thread took; nullptr: none.
  const FileLock* taken_by(std::uint64_t thread, EndpointId file) const;
  const FileLock& at(std::uint32_t index) const { return locks_[index]; }
  void after_fork();  // in the child, which has other threads

 private:
  void forget(int fd);
  std::atomic<std::uint32_t> count_{0};
  FileLock locks_[kMost] = {};
};
extern FileLocks file_locks;

}  // namespace tailback::capture
