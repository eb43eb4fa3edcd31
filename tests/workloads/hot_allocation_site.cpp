// SPDX-License-Identifier: Apache-2.0
// A book of orders of which one comes and one goes all the time: bad asks the allocator for each, in every size, and hardly does
// anything else; fixed has a pool with a list of free blocks for each size.
#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kOrders = 45'000'000;
constexpr std::size_t kOpen = 2'048;  // orders at a time; a power of two
constexpr std::size_t kLeastBytes = 1'040, kStepBytes = 64, kSizes = 32;

struct Order {
  std::uint64_t number;
  std::size_t bytes;
};

class OrderPool {
 public:
  void* take(std::size_t bytes) {
    std::vector<void*>& free = free_of(bytes);
    if (free.empty()) return blocks_.emplace_back(new std::byte[bytes]).get();
    void* block = free.back();
    free.pop_back();
    return block;
  }
  void give_back(void* block, std::size_t bytes) { free_of(bytes).push_back(block); }

 private:
  std::vector<void*>& free_of(std::size_t bytes) { return free_[(bytes - kLeastBytes) / kStepBytes]; }

  std::array<std::vector<void*>, kSizes> free_;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
};

OrderPool& pool() {
  static OrderPool only;
  return only;
}

std::size_t bytes_of(std::uint64_t number) { return kLeastBytes + kStepBytes * (workload::mix(number) % kSizes); }

[[gnu::noinline]] Order* new_order(std::uint64_t number, std::size_t bytes) {
  void* block = std::malloc(bytes);
  workload::require(block != nullptr, "malloc");
  return new (block) Order{number, bytes};
}

[[gnu::noinline]] Order* pooled_order(std::uint64_t number, std::size_t bytes) { return new (pool().take(bytes)) Order{number, bytes}; }

void free_order(Order* order) { std::free(order); }
void return_order(Order* order) {
  if (order) pool().give_back(order, order->bytes);
}

template <class Open, class Close>
std::uint64_t trade(Open open, Close close) {
  std::vector<Order*> book(kOpen);
  std::uint64_t checksum = 0;
  for (std::uint64_t number = 0; number < kOrders; ++number) {
    Order*& place = book[workload::mix(number * 3) % kOpen];
    if (place) checksum = checksum * 31 + place->number + place->bytes;
    close(place);
    place = open(number, bytes_of(number));
  }
  for (Order* order : book) close(order);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return trade(new_order, free_order); }, [](double&) { return trade(pooled_order, return_order); });
}
