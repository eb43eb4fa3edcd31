// SPDX-License-Identifier: Apache-2.0
// A shop whose sales take the stock and then the till, and whose deliveries, in bad, the till and then the stock: each soon has what
// the other wants, and the shop stands still until main gives it up. In fixed both take the stock first.
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "tests/workloads/measure.h"

namespace {

constexpr int kTrades = 20;
constexpr std::uint64_t kPrice = 7, kAtFirst = 10'000;

// Goods and money may be looked at without the locks: a shop that stands still could not be judged otherwise.
struct Shop {
  std::mutex stock, till;
  std::atomic<std::uint64_t> goods = kAtFirst, money = kAtFirst * kPrice;

  void count_goods() const { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
  std::uint64_t worth() const { return goods * kPrice + money; }  // the same however much is traded
};

[[gnu::noinline]] void sell(Shop& shop) {
  const std::lock_guard stock(shop.stock);
  shop.count_goods();
  const std::lock_guard till(shop.till);
  shop.goods -= 1, shop.money += kPrice;
}

[[gnu::noinline]] void take_delivery(Shop& shop) {
  const std::lock_guard till(shop.till);
  shop.count_goods();
  const std::lock_guard stock(shop.stock);
  shop.goods += 1, shop.money -= kPrice;
}

[[gnu::noinline]] void take_delivery_stock_first(Shop& shop) {
  const std::lock_guard stock(shop.stock);
  shop.count_goods();
  const std::lock_guard till(shop.till);
  shop.goods += 1, shop.money -= kPrice;
}

void trade(Shop& shop, void (*do_trade)(Shop&)) {
  for (int i = 0; i < kTrades; ++i) do_trade(shop);
}

// The shop outlives the program: its threads still stand in it.
std::uint64_t open_until_closing_time() {
  Shop& shop = *new Shop;
  std::thread([&shop] { trade(shop, sell); }).detach();
  std::thread([&shop] { trade(shop, take_delivery); }).detach();
  const timespec four_seconds{4, 0};
  nanosleep(&four_seconds, nullptr);
  return shop.worth();
}

std::uint64_t open_until_all_is_traded() {
  Shop& shop = *new Shop;
  std::thread sales([&shop] { trade(shop, sell); });
  std::thread deliveries([&shop] { trade(shop, take_delivery_stock_first); });
  sales.join();
  deliveries.join();
  return shop.worth();
}

}  // namespace

int main(int argc, char** argv) {
  const int status = workload::run(argc, argv, [](double&) { return open_until_closing_time(); }, [](double&) { return open_until_all_is_traded(); });
  std::fflush(stdout);
  _exit(status);
}
