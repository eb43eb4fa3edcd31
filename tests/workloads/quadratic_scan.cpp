// SPDX-License-Identifier: Apache-2.0
// Removing duplicates: bad searches the list of what it has seen, fixed asks a hash set.
#include <unordered_set>
#include <vector>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kOrders = 120'000, kCustomers = 90'000;

[[gnu::noinline]] bool already_seen(const std::vector<std::uint64_t>& seen, std::uint64_t customer) {
  for (const std::uint64_t known : seen)
    if (known == customer) return true;
  return false;
}

std::uint64_t customer_of(std::uint64_t order) { return workload::mix(order % kCustomers + order / 7 % 3); }

[[gnu::noinline]] std::uint64_t count_by_list() {
  std::vector<std::uint64_t> seen;
  for (std::uint64_t order = 0; order < kOrders; ++order)
    if (const std::uint64_t customer = customer_of(order); !already_seen(seen, customer)) seen.push_back(customer);
  std::uint64_t checksum = seen.size();
  for (const std::uint64_t customer : seen) checksum = workload::mix(checksum ^ customer);
  return checksum;
}

[[gnu::noinline]] std::uint64_t count_by_set() {
  std::vector<std::uint64_t> seen;
  std::unordered_set<std::uint64_t> index;
  for (std::uint64_t order = 0; order < kOrders; ++order)
    if (const std::uint64_t customer = customer_of(order); index.insert(customer).second) seen.push_back(customer);
  std::uint64_t checksum = seen.size();
  for (const std::uint64_t customer : seen) checksum = workload::mix(checksum ^ customer);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return count_by_list(); }, [](double&) { return count_by_set(); });
}
