// SPDX-License-Identifier: Apache-2.0
// Blocks from a source that needs 5 ms for each, less than the work on one, a process at the other end of two pipes: bad asks for a
// block, waits for it and works on it, over and over; fixed asks for the next block before it works on this one.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kBlocks = 120;
constexpr std::chrono::milliseconds kDelay{5};
using Clock = std::chrono::steady_clock;
using Block = std::array<std::uint64_t, 256>;  // less than a pipe takes at once: reads and writes are whole

struct Question {
  std::uint64_t number;
  Clock::time_point asked;
};

class Source {
 public:
  Source() {
    int questions[2], blocks[2];
    workload::require(pipe(questions) == 0 && pipe(blocks) == 0, "pipe");
    process_ = fork();
    workload::require(process_ >= 0, "fork");
    if (process_ == 0) {
      close(questions[1]);
      serve(questions[0], blocks[1]);
    }
    close(questions[0]);
    close(blocks[1]);
    questions_ = questions[1], blocks_ = blocks[0];
  }
  ~Source() {
    close(questions_);
    close(blocks_);
    waitpid(process_, nullptr, 0);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  void ask_for(std::uint64_t number) {
    if (number >= kBlocks) return;
    const Question question{number, Clock::now()};
    workload::require(write(questions_, &question, sizeof question) == static_cast<ssize_t>(sizeof question), "write");
  }
  int blocks() const { return blocks_; }

 private:
  [[noreturn]] static void serve(int questions, int blocks) {
    Question question{};
    while (read(questions, &question, sizeof question) == static_cast<ssize_t>(sizeof question)) {
      std::this_thread::sleep_until(question.asked + kDelay);
      Block block{};
      block.fill(workload::mix(question.number));
      workload::require(write(blocks, &block, sizeof block) == static_cast<ssize_t>(sizeof block), "write");
    }
    _exit(0);
  }

  int questions_ = -1, blocks_ = -1;
  pid_t process_ = -1;
};

[[gnu::noinline]] Block read_block(int blocks) {
  Block block{};
  workload::require(read(blocks, &block, sizeof block) == static_cast<ssize_t>(sizeof block), "read");
  return block;
}

[[gnu::noinline]] std::uint64_t work_on(const Block& block) {
  std::uint64_t value = 0;
  for (int i = 0; i < 1'900'000; ++i) value = workload::mix(value + block[static_cast<std::size_t>(i) % block.size()]);
  return value;
}

std::uint64_t ask_when_needed() {
  Source source;
  std::uint64_t checksum = 0;
  for (std::uint64_t number = 0; number < kBlocks; ++number) {
    source.ask_for(number);
    checksum ^= work_on(read_block(source.blocks()));
  }
  return checksum;
}

std::uint64_t ask_ahead() {
  Source source;
  std::uint64_t checksum = 0;
  source.ask_for(0);
  for (std::uint64_t number = 0; number < kBlocks; ++number) {
    const Block block = read_block(source.blocks());
    source.ask_for(number + 1);
    checksum ^= work_on(block);
  }
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return ask_when_needed(); }, [](double&) { return ask_ahead(); });
}
