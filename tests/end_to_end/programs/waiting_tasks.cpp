// SPDX-License-Identifier: Apache-2.0
// Tasks that wait for tasks of their own pool, with no limit of time: all threads hang before long.
#include <chrono>
#include <future>
#include <memory>

#include "tests/workloads/worker_pool.h"

namespace {

[[gnu::noinline]] void build_page(workload::WorkerPool& pool) {
  const auto part = std::make_shared<std::promise<void>>();
  std::future<void> ready = part->get_future();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));  // by then the others have begun a page too
  pool.submit([part](int) { part->set_value(); });
  ready.wait();
}

}  // namespace

int main() {
  workload::WorkerPool pool(3);
  for (int page = 0; page < 20; ++page) {
    pool.submit([&pool](int) { build_page(pool); });
    if (page < 5) std::this_thread::sleep_for(std::chrono::milliseconds(80));
  }
  pool.finish();
}
