// SPDX-License-Identifier: Apache-2.0
// Three drivers who move goods around three depots, each always from one to the next: bad locks where the goods come from and then
// where they go, which is a cycle that would hang on a day when all three set out at once; here they happen to take turns. Fixed
// locks the depot that stands first.
#include <array>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/workloads/arrivals.h"
#include "tests/workloads/measure.h"

namespace {

constexpr int kDepots = 3, kMoves = 40;  // of a driver in his turn
constexpr std::uint64_t kRounds = 500;

struct Depot {
  std::mutex mutex;
  std::uint64_t goods = 0;
};
using Depots = std::array<Depot, kDepots>;

[[gnu::noinline]] std::uint64_t plan_move(std::uint64_t move) {
  for (int i = 0; i < 1'500; ++i) move = workload::mix(move + static_cast<std::uint64_t>(i));
  return move % 100;
}

[[gnu::noinline]] void move_goods(Depot& from, Depot& to, std::uint64_t amount) {
  const std::lock_guard lock_from(from.mutex);
  const std::lock_guard lock_to(to.mutex);
  from.goods -= amount, to.goods += amount;
}

[[gnu::noinline]] void move_goods_in_order(Depot& from, Depot& to, std::uint64_t amount) {
  const bool forward = &from < &to;  // of one array
  const std::lock_guard lock_first(forward ? from.mutex : to.mutex);
  const std::lock_guard lock_second(forward ? to.mutex : from.mutex);
  from.goods -= amount, to.goods += amount;
}

// Whose turn it is, counted on for ever.
class Turns {
 public:
  void await(int turn) const {
    for (int now = turn_.load(); now != turn; now = turn_.load()) turn_.wait(now);
  }
  void pass_on() {
    turn_.fetch_add(1);
    turn_.notify_all();
  }

 private:
  std::atomic<int> turn_ = 0;
};

using Move = void (*)(Depot&, Depot&, std::uint64_t);

void drive(int driver, Depots& depots, Turns& turns, Move move) {
  Depot &from = depots[static_cast<std::size_t>(driver)], &to = depots[static_cast<std::size_t>((driver + 1) % kDepots)];
  workload::Arrivals days(kRounds);
  std::uint64_t day = 0;
  for (int turn = driver; days.next(day); turn += kDepots) {
    turns.await(turn);
    for (std::uint64_t i = 0; i < kMoves; ++i) move(from, to, plan_move(static_cast<std::uint64_t>(turn) * kMoves + i));
    turns.pass_on();
  }
}

std::uint64_t run_depots(Move move) {
  Depots depots;
  Turns turns;
  std::vector<std::thread> drivers;
  for (int driver = 0; driver < kDepots; ++driver) drivers.emplace_back([&, driver] { drive(driver, depots, turns, move); });
  for (std::thread& driver : drivers) driver.join();
  std::uint64_t checksum = 0;
  for (const Depot& depot : depots) checksum = workload::mix(checksum ^ depot.goods);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return run_depots(move_goods); }, [](double&) { return run_depots(move_goods_in_order); });
}
