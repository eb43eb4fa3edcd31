// SPDX-License-Identifier: Apache-2.0
// Nothing to fix: locks of all kinds, used as they should be. Stripes, a list locked hand over hand, attempts in either order that
// back off, a recursive lock, locks waited for with a time limit, two locks taken in either order behind a gate, and a mailbox that
// wakes its reader. Requests come at their own pace. Both variants are the same.
#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "tests/workloads/arrivals.h"
#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 2'000;  // of each thread
constexpr int kThreads = 3;
constexpr std::uint64_t kKeys = 64;

[[gnu::noinline]] std::uint64_t do_request(std::uint64_t request) {
  for (int i = 0; i < 30'000; ++i) request = workload::mix(request + static_cast<std::uint64_t>(i));
  return request;
}

class StripedCounters {
 public:
  [[gnu::noinline]] void add(std::uint64_t key, std::uint64_t value) {
    Stripe& stripe = stripes_[key % stripes_.size()];
    const std::lock_guard lock(stripe.mutex);
    stripe.sum += value;
  }
  std::uint64_t checksum() const {
    std::uint64_t sum = 0;
    for (const Stripe& stripe : stripes_) sum = workload::mix(sum ^ stripe.sum);
    return sum;
  }

 private:
  struct alignas(64) Stripe {
    std::mutex mutex;
    std::uint64_t sum = 0;
  };
  std::array<Stripe, 16> stripes_;
};

// Sorted by key; each node's lock guards the node and the way to the next, and the next is locked before the last is let go.
class SortedList {
 public:
  [[gnu::noinline]] void add(std::uint64_t key, std::uint64_t value) {
    Node* node = &head_;
    std::unique_lock lock(node->mutex);
    while (node->next) {
      std::unique_lock next_lock(node->next->mutex);
      if (node->next->key > key) break;
      node = node->next.get();
      lock = std::move(next_lock);
    }
    if (node == &head_ || node->key != key) node = insert_after(*node, key);
    node->sum += value;
  }
  std::uint64_t checksum() const {
    std::uint64_t sum = 0;
    for (const Node* node = head_.next.get(); node; node = node->next.get()) sum = workload::mix(sum ^ node->key ^ node->sum);
    return sum;
  }

 private:
  struct Node {
    std::mutex mutex;
    std::uint64_t key = 0, sum = 0;
    std::unique_ptr<Node> next;
  };
  // With the lock of `before`, without which nobody gets to the new one.
  static Node* insert_after(Node& before, std::uint64_t key) {
    auto node = std::make_unique<Node>();
    node->key = key, node->next = std::move(before.next);
    before.next = std::move(node);
    return before.next.get();
  }

  Node head_;
};

// Accounts that are locked in whichever order the transfer names them: who does not get the second lets go of the first.
class Accounts {
 public:
  [[gnu::noinline]] void transfer(std::uint64_t from, std::uint64_t to, std::uint64_t amount) {
    Account &source = accounts_[from % kCount], &target = accounts_[to % kCount];
    if (&source == &target) return;
    while (!try_transfer(source, target, amount)) std::this_thread::yield();
  }
  std::uint64_t checksum() const {
    std::uint64_t sum = 0;
    for (const Account& account : accounts_) sum = workload::mix(sum ^ account.balance);
    return sum;
  }

 private:
  static constexpr std::size_t kCount = 8;
  struct Account {
    std::mutex mutex;
    std::uint64_t balance = 1'000'000;
  };
  static bool try_transfer(Account& source, Account& target, std::uint64_t amount) {
    const std::lock_guard lock_source(source.mutex);
    const std::unique_lock lock_target(target.mutex, std::try_to_lock);
    if (!lock_target.owns_lock()) return false;
    source.balance -= amount, target.balance += amount;
    return true;
  }

  std::array<Account, kCount> accounts_;
};

// A tree of totals that takes its lock anew at each level.
class Totals {
 public:
  [[gnu::noinline]] void add(std::size_t node, std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    totals_[node] += value;
    if (node > 0) add((node - 1) / 2, value);
  }
  std::uint64_t checksum() const { return totals_[0]; }

 private:
  std::recursive_mutex mutex_;
  std::array<std::uint64_t, 64> totals_{};
};

// Two devices that are needed together, in either order: nobody waits for the second without end.
class Devices {
 public:
  [[gnu::noinline]] void copy_in() { use(input_, output_); }
  [[gnu::noinline]] void copy_out() { use(output_, input_); }
  std::uint64_t checksum() const { return input_.uses * 31 + output_.uses; }

 private:
  struct Device {
    std::timed_mutex mutex;
    std::uint64_t uses = 0;
  };
  static void use(Device& first, Device& second) {
    for (;;) {
      const std::lock_guard lock_first(first.mutex);
      const std::unique_lock lock_second(second.mutex, std::chrono::milliseconds(2));
      if (!lock_second.owns_lock()) continue;
      ++first.uses, ++second.uses;
      return;
    }
  }

  Device input_, output_;
};

// Two shelves that are locked in either order, but only by who has the key to the store room.
class StoreRoom {
 public:
  [[gnu::noinline]] void move_up(std::uint64_t amount) { move(lower_, upper_, amount); }
  [[gnu::noinline]] void move_down(std::uint64_t amount) { move(upper_, lower_, amount); }
  // The shelves are also looked into one by one, without the key.
  [[gnu::noinline]] bool upper_is_empty() {
    const std::lock_guard lock(upper_.mutex);
    return upper_.goods == 0;
  }
  std::uint64_t checksum() const { return upper_.goods * 31 + lower_.goods; }

 private:
  struct Shelf {
    std::mutex mutex;
    std::uint64_t goods = 1'000'000'000;
  };
  void move(Shelf& from, Shelf& to, std::uint64_t amount) {
    const std::lock_guard key(key_);
    const std::lock_guard lock_from(from.mutex);
    const std::lock_guard lock_to(to.mutex);
    from.goods -= amount, to.goods += amount;
  }

  std::mutex key_;
  Shelf upper_, lower_;
};

class Mailbox {
 public:
  [[gnu::noinline]] void put(std::uint64_t letter) {
    {
      const std::lock_guard lock(mutex_);
      letters_.push_back(letter);
    }
    changed_.notify_one();
  }
  std::optional<std::uint64_t> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !letters_.empty(); });
    if (letters_.empty()) return {};
    const std::uint64_t letter = letters_.front();
    letters_.pop_front();
    return letter;
  }
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::uint64_t> letters_;
  bool closed_ = false;
};

struct Office {
  StripedCounters counters;
  SortedList list;
  Accounts accounts;
  Totals totals;
  Devices devices;
  StoreRoom store;
  Mailbox mailbox;
};

void handle(Office& office, std::uint64_t request) {
  const std::uint64_t result = do_request(request), key = result % kKeys;
  office.counters.add(key, result);
  office.list.add(key, result);
  office.accounts.transfer(key, result >> 32, result % 10);
  office.totals.add(key, result);
  if (request % 2) office.devices.copy_in(), office.store.move_up(result % 10);
  else office.devices.copy_out(), office.store.move_down(result % 10);
  if (!office.store.upper_is_empty()) office.mailbox.put(result);
}

std::uint64_t run_office() {
  Office office;
  std::uint64_t read = 0;
  std::thread reader([&] {
    while (const auto letter = office.mailbox.take()) read += do_request(*letter);
  });
  std::vector<std::thread> threads;
  for (std::uint64_t first = 0; first < kThreads; ++first)
    threads.emplace_back([&, first] {
      workload::Arrivals requests(kRequests);
      for (std::uint64_t number = 0; requests.next(number);) handle(office, number * kThreads + first);
    });
  for (std::thread& thread : threads) thread.join();
  office.mailbox.close();
  reader.join();
  std::uint64_t checksum = read;
  for (const std::uint64_t part : {office.counters.checksum(), office.list.checksum(), office.accounts.checksum(), office.totals.checksum(),
                                   office.devices.checksum(), office.store.checksum()})
    checksum = workload::mix(checksum ^ part);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return run_office(); }, [](double&) { return run_office(); });
}
