// SPDX-License-Identifier: Apache-2.0
// file_deadlocks KIND FOLDER: threads or processes that wait for each other's locks of files for ever; or (the later kinds) that look like
// it for four seconds and end. Prints "done" when all is over.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace {

constexpr auto kMoment = std::chrono::milliseconds(100);
constexpr unsigned kLong = 4;  // seconds
std::string folder;

int opened(const char* name) { return open((folder + '/' + name).c_str(), O_CREAT | O_RDWR, 0600); }

void take(int file) {
  if (flock(file, LOCK_EX) != 0) std::perror("flock");
}

void lock_both(const char* outer, const char* inner) {
  const int held = opened(outer), wanted = opened(inner);
  take(held);
  std::this_thread::sleep_for(kMoment);
  take(wanted);
  close(wanted), close(held);
}

void files() {
  std::thread one([] { lock_both("a", "b"); }), other([] { lock_both("b", "a"); });
  one.join(), other.join();
}

void file_and_mutex() {
  static std::mutex lock;
  std::thread one([] {
    const int file = opened("a");
    take(file);
    std::this_thread::sleep_for(kMoment);
    const std::lock_guard held(lock);
    close(file);
  });
  std::thread other([] {
    const std::lock_guard held(lock);
    std::this_thread::sleep_for(kMoment);
    const int file = opened("a");
    take(file);
    close(file);
  });
  one.join(), other.join();
}

void twice() {
  const int file = opened("a"), again = opened("a");
  take(file);
  take(again);
}

void processes() {
  const pid_t child = fork();
  lock_both(child ? "a" : "b", child ? "b" : "a");
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
}

// What follows goes on.

// The lock that the second thread waits for is given back by the main thread, while the first waits for a lock of the second.
void given_back_by_another() {
  static std::mutex lock;
  static const int file = opened("a");
  std::thread one([] {
    take(file);
    std::this_thread::sleep_for(kMoment);
    const std::lock_guard held(lock);
  });
  std::thread other([] {
    const std::lock_guard held(lock);
    std::this_thread::sleep_for(kMoment);
    const int again = opened("a");
    take(again);
    close(again);
  });
  sleep(1);
  flock(file, LOCK_UN);
  one.join(), other.join();
}

void long_hold() {
  std::thread one([] {
    const int file = opened("a"), more = opened("b");
    take(file), take(more);
    sleep(kLong);
    close(file), close(more);
  });
  std::thread other([] {
    std::this_thread::sleep_for(kMoment);
    const int own = opened("c"), file = opened("a");
    take(own), take(file);
    close(file), close(own);
  });
  one.join(), other.join();
}

}  // namespace

int main(int count, char** arguments) {
  const std::map<std::string, void (*)()> kinds = {{"files", files}, {"file_and_mutex", file_and_mutex}, {"twice", twice}, {"processes", processes},
                                                   {"given_back_by_another", given_back_by_another}, {"long_hold", long_hold}};
  const auto kind = kinds.find(count > 2 ? arguments[1] : "");
  if (kind == kinds.end()) return 2;
  folder = arguments[2];
  kind->second();
  std::puts("done");
  return 0;
}
