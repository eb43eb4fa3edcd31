// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/file_locks.h"

namespace tailback::capture {

constinit FileLocks file_locks{};

void FileLocks::took(int fd, EndpointId file, std::uint64_t thread, StackId stack) {
  gave(fd);
  for (FileLock& lock : locks_) {
    std::uint32_t free = 0;
    if (!lock.taken.compare_exchange_strong(free, 1, std::memory_order_acq_rel)) continue;
    lock.file = file;
    lock.thread = thread;
    lock.stack = stack;
    lock.taken.store(static_cast<std::uint32_t>(fd) + 2, std::memory_order_release);
    count_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
}

void FileLocks::forget(int fd) {
  for (FileLock& lock : locks_) {
    std::uint32_t taken = static_cast<std::uint32_t>(fd) + 2;
    if (lock.taken.compare_exchange_strong(taken, 0, std::memory_order_acq_rel)) count_.fetch_sub(1, std::memory_order_relaxed);
  }
}

bool FileLocks::any_but(int fd) const {
  if (count_.load(std::memory_order_relaxed) == 0) return false;
  for (const FileLock& lock : locks_)
    if (const int other = lock.descriptor(); other >= 0 && other != fd) return true;
  return false;
}

const FileLock* FileLocks::taken_by(std::uint64_t thread, EndpointId file) const {
  if (file == 0 || count_.load(std::memory_order_relaxed) == 0) return nullptr;
  for (const FileLock& lock : locks_)
    if (lock.descriptor() >= 0 && lock.file == file && lock.thread == thread) return &lock;
  return nullptr;
}

void FileLocks::after_fork() {
  if (count_.exchange(0, std::memory_order_relaxed) == 0) return;
  for (FileLock& lock : locks_) lock.taken.store(0, std::memory_order_relaxed);
}

}  // namespace tailback::capture
