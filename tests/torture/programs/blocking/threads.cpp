// SPDX-License-Identifier: Apache-2.0
// Waiting for another thread: its end, its result, its part of an initialisation that only one may do.
#include <pthread.h>
#include <threads.h>

#include <future>
#include <mutex>
#include <thread>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

constexpr long kFarMs = 5000;

void* pass_gate(void* gate) {
  static_cast<Gate*>(gate)->pass();
  return gate;
}

void joins(Stage& stage) {
  const auto join = [&](const char* name, int (*wait)(pthread_t, void**)) {
    Gate gate;
    pthread_t other{};
    require(pthread_create(&other, nullptr, pass_gate, &gate) == 0, "pthread_create");
    const auto call = [&] {
      void* result = nullptr;
      return wait(other, &result) == 0 && result == &gate;
    };
    stage.block(name, "thread_join", call, [&](pthread_t) { gate.open(); });
  };
  join("pthread_join", pthread_join);
  join("timedjoin_np", [](pthread_t other, void** result) {
    const timespec until = in_ms(CLOCK_REALTIME, kFarMs);
    return pthread_timedjoin_np(other, result, &until);
  });
  join("clockjoin_np", [](pthread_t other, void** result) {
    const timespec until = in_ms(CLOCK_MONOTONIC, kFarMs);
    return pthread_clockjoin_np(other, result, CLOCK_MONOTONIC, &until);
  });
  Gate gate;
  thrd_t other{};
  require(thrd_create(&other, [](void* at) { return pass_gate(at) ? 7 : 0; }, &gate) == thrd_success, "thrd_create");
  stage.block(
      "thrd_join", "thread_join",
      [&] {
        int result = 0;
        return thrd_join(other, &result) == thrd_success && result == 7;
      },
      [&](pthread_t) { gate.open(); });
  Gate standard_gate;
  std::thread standard([&] { standard_gate.pass(); });
  stage.block("std_thread_join", "thread_join", [&] { standard.join(); return true; }, [&](pthread_t) { standard_gate.open(); });
}

// Another thread is inside when the one looked at arrives. Initialisers take no argument: the gates are static.
template <int number>
struct Once {
  static inline Gate entered, gate;
  static void initialise() {
    entered.open();
    gate.pass();
  }
  static void block(Stage& stage, const char* name, const char* kinds, void (*call)()) {
    std::thread other(call);
    entered.pass();
    stage.block(name, kinds, [&] { call(); return true; }, [](pthread_t) { gate.open(); });
    other.join();
  }
};

struct SlowToMake {
  SlowToMake() { Once<3>::initialise(); }
};

void initialisations(Stage& stage) {
  Once<0>::block(stage, "pthread_once", "once", [] {
    static pthread_once_t flag = PTHREAD_ONCE_INIT;
    pthread_once(&flag, Once<0>::initialise);
  });
  Once<1>::block(stage, "call_once", "once", [] {
    static once_flag flag = ONCE_FLAG_INIT;
    call_once(&flag, Once<1>::initialise);
  });
  Once<2>::block(stage, "std_call_once", "once", [] {
    static std::once_flag flag;
    std::call_once(flag, Once<2>::initialise);
  });
  Once<3>::block(stage, "static_guard", "futex_wait", [] { static const SlowToMake made; });
}

}  // namespace

void block_on_threads(Stage& stage) {
  joins(stage);
  initialisations(stage);
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  stage.block("future_get", "futex_wait", [&] { return future.get() == 5; }, [&](pthread_t) { promise.set_value(5); });
}

}  // namespace blocking
