// SPDX-License-Identifier: Apache-2.0
// Messages from producers to consumers: bad allocates each in the producer's thread and frees it in the consumer's, which takes the
// lock of the producer's arena while that allocates the next; fixed sends the blocks back in batches, to be used again.
#include <malloc.h>

#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr int kPairs = 4;
constexpr std::size_t kBatch = 256, kBatchesOfPair = 12'000, kWaiting = 8;
constexpr std::size_t kLeastBytes = 1'100, kStepBytes = 160, kSizes = 16;  // beyond what a thread keeps for itself

struct Message {
  std::uint64_t value;
};
using Batch = std::vector<Message*>;

// Whole batches, so that it is not its lock that is fought for.
class Channel {
 public:
  explicit Channel(std::size_t most) : most_(most) {}
  void put(Batch batch) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return batches_.size() < most_; });
    batches_.push_back(std::move(batch));
    changed_.notify_all();
  }
  Batch take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !batches_.empty(); });
    Batch batch = std::move(batches_.back());
    batches_.pop_back();
    changed_.notify_all();
    return batch;
  }
  bool take_if_any(Batch& batch) {
    const std::lock_guard lock(mutex_);
    if (batches_.empty()) return false;
    batch = std::move(batches_.back());
    batches_.pop_back();
    return true;
  }

 private:
  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Batch> batches_;
};

struct Pair {
  Channel there{kWaiting}, back{kBatchesOfPair};  // the way back never blocks, or both could wait for each other
};

std::size_t bytes_of(std::uint64_t number) { return kLeastBytes + kStepBytes * (number % kSizes); }

[[gnu::noinline]] Message* new_message(std::uint64_t number) {
  auto* message = static_cast<Message*>(std::malloc(bytes_of(number)));
  workload::require(message != nullptr, "malloc");
  message->value = workload::mix(number);
  return message;
}

[[gnu::noinline]] void produce_batch(Batch& batch, std::size_t first) {
  for (std::size_t i = 0; i < kBatch; ++i) batch.push_back(new_message(first + i));
}

[[gnu::noinline]] void refill_batch(Batch& batch, std::size_t first) {
  for (std::size_t i = 0; i < kBatch; ++i) batch[i]->value = workload::mix(first + i);
}

std::uint64_t sum_of(const Batch& batch) {
  std::uint64_t sum = 0;
  for (const Message* message : batch) sum += message->value;
  return sum;
}

[[gnu::noinline]] void free_batch(const Batch& batch) {
  for (Message* message : batch) std::free(message);
}

void produce_new(Pair& pair) {
  for (std::size_t i = 0; i < kBatchesOfPair; ++i) {
    Batch batch;
    batch.reserve(kBatch);
    produce_batch(batch, i * kBatch);
    pair.there.put(std::move(batch));
  }
}

std::uint64_t consume_and_free(Pair& pair) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBatchesOfPair; ++i) {
    const Batch batch = pair.there.take();
    sum += sum_of(batch);
    free_batch(batch);
  }
  return sum;
}

void produce_reused(Pair& pair) {
  for (std::size_t i = 0; i < kBatchesOfPair; ++i) {
    Batch batch;
    if (pair.back.take_if_any(batch)) refill_batch(batch, i * kBatch);
    else produce_batch(batch, i * kBatch);
    pair.there.put(std::move(batch));
  }
}

std::uint64_t consume_and_return(Pair& pair) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBatchesOfPair; ++i) {
    Batch batch = pair.there.take();
    sum += sum_of(batch);
    pair.back.put(std::move(batch));
  }
  return sum;
}

template <class Produce, class Consume>
std::uint64_t exchange(Produce produce, Consume consume) {
  workload::require(mallopt(M_ARENA_MAX, 1) == 1, "mallopt");  // as images of small containers set it
  std::array<Pair, kPairs> pairs;
  std::array<std::uint64_t, kPairs> sums{};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kPairs; ++i) {
    threads.emplace_back([&, i] { produce(pairs[i]); });
    threads.emplace_back([&, i] { sums[i] = consume(pairs[i]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (Pair& pair : pairs)
    for (Batch batch; pair.back.take_if_any(batch);) free_batch(batch);
  std::uint64_t checksum = 0;
  for (const std::uint64_t sum : sums) checksum = workload::mix(checksum ^ sum);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return exchange(produce_new, consume_and_free); }, [](double&) { return exchange(produce_reused, consume_and_return); });
}
