// SPDX-License-Identifier: Apache-2.0
// Allocates and frees where others have already put themselves away: in destructors of thread-specific data that ask to be called
// again, in those of thread_local objects, in handlers of exit, in static destructors, and in functions that run after all of them.
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace {

constexpr int kThreads = 20, kAskedRounds = 5, kKeys = 3;

pthread_key_t keys[kKeys];
int rounds_seen = 0, thread_locals_seen = 0;  // one thread at a time

// write only: stdio may be gone.
void say(const char* what, int count) {
  char line[100];
  const int length = std::snprintf(line, sizeof line, "%s %d\n", what, count);
  if (write(STDOUT_FILENO, line, static_cast<std::size_t>(length)) != length) _exit(1);
}

void churn() {
  for (std::size_t bytes = 1; bytes < 100'000; bytes *= 3) {
    void* block = std::realloc(std::calloc(1, bytes), 2 * bytes);
    if (!block) _exit(1);
    std::free(block);
  }
}

struct Late {
  int rounds;
  pthread_key_t key;
  std::string text;
};

// Each round frees what the one before allocated; glibc gives up after its limit, and the last block is lost.
void late_round(void* given) {
  const std::unique_ptr<Late> late{static_cast<Late*>(given)};
  ++rounds_seen;
  churn();
  if (late->rounds < kAskedRounds) pthread_setspecific(late->key, new Late{late->rounds + 1, late->key, late->text + late->text});
}

struct ThreadLocal {
  std::string text = std::string(1'000, 'x');
  ~ThreadLocal() {
    ++thread_locals_seen;
    churn();
  }
};
thread_local ThreadLocal thread_local_text;

void* use_everything(void*) {
  thread_local_text.text += "used";
  for (const pthread_key_t key : keys) pthread_setspecific(key, new Late{1, key, "some text that does not fit into the string itself"});
  churn();
  return nullptr;
}

void* end_by_exit(void* argument) { pthread_exit(use_everything(argument)); }

std::string* kept_for_exit = nullptr;

void at_exit() {
  churn();
  delete kept_for_exit;
  say("atexit", 1);
}

struct StaticText {
  std::string text = std::string(5'000, 'y');
  ~StaticText() {
    churn();
    say("static", static_cast<int>(text.size()));
  }
} static_text;

[[gnu::destructor(101)]] void after_all() {
  churn();
  say("after all", 1);
}

}  // namespace

int main() {
  for (pthread_key_t& key : keys)
    if (pthread_key_create(&key, late_round) != 0) return 1;
  for (int i = 0; i < kThreads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, i % 2 == 0 ? use_everything : end_by_exit, nullptr) != 0) return 1;
    pthread_join(thread, nullptr);
  }
  say("rounds", rounds_seen);
  say("thread locals", thread_locals_seen);
  kept_for_exit = new std::string(3'000, 'z');
  std::atexit(at_exit);
  use_everything(nullptr);
  return 5;
}
