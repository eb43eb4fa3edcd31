// SPDX-License-Identifier: Apache-2.0
// A log of sessions beside the table of them: bad holds the table's lock until each batch of the log is on the disk, so that requests
// that only touch the table stand still for the disk; fixed lets one thread bring what has come to the disk, without the lock.
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/workloads/measure.h"
#include "tests/workloads/scratch_file.h"

namespace {

constexpr int kWriters = 2, kServers = 2;
constexpr std::uint64_t kBatches = 2'000, kRecords = 32;  // of each writer; of a batch
constexpr std::uint64_t kRequests = 5'000;              // of each server
constexpr std::size_t kSessions = 4'096;

using Record = std::array<std::uint64_t, 64>;
using Batch = std::array<Record, kRecords>;

[[gnu::noinline]] Batch make_batch(std::uint64_t number) {
  Batch batch;
  for (Record& record : batch)
    for (std::uint64_t& word : record) word = number = workload::mix(number + 1);
  return batch;
}

[[gnu::noinline]] std::uint64_t answer(std::uint64_t request) {
  for (int i = 0; i < 40'000; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

class Sessions {
 public:
  [[gnu::noinline]] void append_and_flush(const Batch& batch) {
    const std::lock_guard lock(mutex_);
    append(batch);
    flush();
  }
  // Returns when the batch is on the disk: whoever finds nobody at it brings there what all have left, the others wait for that.
  [[gnu::noinline]] void append_in_group(const Batch& batch) {
    std::unique_lock lock(mutex_);
    left_.push_back(&batch);
    const std::uint64_t own = ++appended_;
    while (durable_ < own) {
      if (at_disk_) durable_changed_.wait(lock);
      else bring_to_disk(lock);
    }
  }
  [[gnu::noinline]] void touch(std::uint64_t session, std::uint64_t seen) {
    const std::lock_guard lock(mutex_);
    seen_[session % kSessions] ^= seen;
  }
  std::uint64_t checksum() const {
    std::uint64_t sum = written_;
    for (const std::uint64_t seen : seen_) sum = workload::mix(sum ^ seen);
    return sum;
  }

 private:
  void append(const Batch& batch) {
    for (const Record& record : batch) {
      workload::require(write(file_.descriptor(), record.data(), sizeof record) == static_cast<ssize_t>(sizeof record), "write");
      written_ += record.back();
    }
  }
  void flush() const { workload::require(fdatasync(file_.descriptor()) == 0, "fdatasync"); }

  void bring_to_disk(std::unique_lock<std::mutex>& lock) {
    const std::vector<const Batch*> group = std::exchange(left_, {});
    const std::uint64_t last = appended_;
    at_disk_ = true;
    lock.unlock();
    for (const Batch* batch : group) append(*batch);
    flush();
    lock.lock();
    at_disk_ = false;
    durable_ = last;
    durable_changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable durable_changed_;
  std::vector<const Batch*> left_;
  std::uint64_t appended_ = 0, durable_ = 0;
  bool at_disk_ = false;
  const workload::ScratchFile file_;
  std::uint64_t written_ = 0;
  std::array<std::uint64_t, kSessions> seen_{};
};

template <class Keep>
std::uint64_t serve(Keep keep, double& latency) {
  Sessions sessions;
  std::atomic<double> waited = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t writer = 0; writer < kWriters; ++writer)
    threads.emplace_back([&, writer] {
      for (std::uint64_t batch = 0; batch < kBatches; ++batch) keep(sessions, make_batch(writer * kBatches + batch));
    });
  for (std::uint64_t server = 0; server < kServers; ++server)
    threads.emplace_back([&, server] {
      const double start = workload::now();
      for (std::uint64_t request = 0; request < kRequests; ++request) sessions.touch(request, answer(server * kRequests + request));
      waited += workload::now() - start;
    });
  for (std::thread& thread : threads) thread.join();
  latency = waited / static_cast<double>(kServers * kRequests);
  return sessions.checksum();
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(
      argc, argv, [](double& latency) { return serve([](Sessions& sessions, const Batch& batch) { sessions.append_and_flush(batch); }, latency); },
      [](double& latency) { return serve([](Sessions& sessions, const Batch& batch) { sessions.append_in_group(batch); }, latency); });
}
