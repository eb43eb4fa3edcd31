// SPDX-License-Identifier: Apache-2.0
// standstills KIND: all threads wait for each other for ever, though nobody owns what they wait for; or (the later kinds) they look like
// it for four seconds, are woken from outside, and end. Prints "done" when all is over.
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr auto kMoment = std::chrono::milliseconds(50);
constexpr unsigned kLong = 4;  // seconds

class Pool {
 public:
  explicit Pool(int workers) {
    for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Pool() {
    {
      const std::lock_guard held(lock_);
      over_ = true;
    }
    some_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  void submit(std::function<void()> task) {
    const std::lock_guard held(lock_);
    tasks_.push(std::move(task));
    some_.notify_one();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock held(lock_);
        some_.wait(held, [this] { return over_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop();
      }
      task();
    }
  }

  std::mutex lock_;
  std::condition_variable some_;
  std::queue<std::function<void()>> tasks_;
  bool over_ = false;
  std::vector<std::thread> workers_;
};

// The signal is sent before anybody waits for it, and what it is about is not looked at.
void lost_wakeup() {
  static std::mutex lock;
  static std::condition_variable ready;
  std::thread consumer([] {
    std::this_thread::sleep_for(kMoment);
    std::unique_lock held(lock);
    ready.wait(held);
  });
  ready.notify_one();
  consumer.join();
}

void wait_for_inner_task(Pool& pool) {
  std::promise<void> inner;
  pool.submit([&inner] { inner.set_value(); });
  inner.get_future().wait();
}

// Each task waits for another of the same pool, and there are as many as workers.
void pool_of_its_own() {
  Pool pool(2);
  std::promise<void> over[2];
  for (auto& one : over)
    pool.submit([&pool, &one] {
      std::this_thread::sleep_for(kMoment);
      wait_for_inner_task(pool);
      one.set_value();
    });
  for (auto& one : over) one.get_future().wait();
}

void fill(int pipe) {
  static const char bytes[1 << 17] = {};
  if (write(pipe, bytes, sizeof bytes) < 0) std::perror("write");
}

// Two threads write to each other, more than fits, before they read.
void pipes() {
  static int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) return;
  std::thread one([] { fill(there[1]); }), other([] { fill(back[1]); });
  one.join(), other.join();
}

void barrier() {
  static pthread_barrier_t meeting;
  pthread_barrier_init(&meeting, nullptr, 3);
  const auto meet = [] {
    pthread_barrier_wait(&meeting);
    std::puts("met");  // so that the function is still on the stack
  };
  std::thread one(meet), other(meet);
  one.join(), other.join();
}

// What follows goes on.

void idle_pool() {
  Pool pool(3);
  sleep(kLong);
}

void idle_pool_and_input() {
  Pool pool(3);
  static int input[2];
  if (pipe(input) != 0) return;
  const pid_t child = fork();
  if (child == 0) {
    sleep(kLong);
    _exit(write(input[1], "x", 1) == 1 ? 0 : 1);
  }
  char byte;
  if (read(input[0], &byte, 1) != 1) std::perror("read");
  waitpid(child, nullptr, 0);
}

sem_t over;

void until_handler(int signal) {
  Pool pool(3);
  sem_init(&over, 0, 0);
  std::signal(signal, [](int) { sem_post(&over); });
  alarm(kLong);
  while (sem_wait(&over) != 0) {}
}
void idle_until_signal() { until_handler(SIGALRM); }

void shared_semaphore() {
  Pool pool(3);
  auto* shared = static_cast<sem_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  sem_init(shared, 1, 0);
  const pid_t child = fork();
  if (child == 0) {
    sleep(kLong);
    sem_post(shared);
    _exit(0);
  }
  while (sem_wait(shared) != 0) {}
  waitpid(child, nullptr, 0);
}

void timed() {
  Pool pool(3);
  std::mutex lock;
  std::condition_variable never;
  std::unique_lock held(lock);
  never.wait_for(held, std::chrono::seconds(kLong));
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string, void (*)()> kinds = {{"lost_wakeup", lost_wakeup}, {"pool_of_its_own", pool_of_its_own}, {"pipes", pipes}, {"barrier", barrier}, {"idle_pool", idle_pool},
                                                   {"idle_pool_and_input", idle_pool_and_input}, {"idle_until_signal", idle_until_signal}, {"shared_semaphore", shared_semaphore}, {"timed", timed}};
  const auto kind = kinds.find(count > 1 ? arguments[1] : "");
  if (kind == kinds.end()) return 2;
  kind->second();
  std::puts("done");
  return 0;
}
