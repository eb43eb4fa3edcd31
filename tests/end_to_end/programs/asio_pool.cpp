// SPDX-License-Identifier: Apache-2.0
// asio_pool THREADS: tasks that come to a pool of boost::asio, slowly at first, each of which stands still for 15 ms.
#include <poll.h>

#include <utility>  // which asio 1.74 needs and does not include

#include <atomic>
#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kTasks = 300, kAtLeisure = 15;

std::atomic<int> done{0};

[[gnu::noinline]] void load_page() {
  poll(nullptr, 0, 15);
  ++done;
}

}  // namespace

int main(int argc, char** argv) {
  boost::asio::thread_pool pool(argc > 1 ? static_cast<std::size_t>(std::atoi(argv[1])) : 2);
  for (int task = 0; task < kTasks; ++task) {
    boost::asio::post(pool, [] { load_page(); });
    poll(nullptr, 0, task < kAtLeisure ? 40 : 3);
  }
  pool.join();
  std::printf("%d\n", done.load());
}
