// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/sleeping_stack.h"

#include "agent/capture/pages.h"
#include "agent/engine/kernel_file.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace {

struct Sleep {
  std::uint64_t pc = 0, sp = 0;  // 0: it does not sleep
  bool operator==(const Sleep&) const = default;
};

// "running", or the number of the call, its six arguments, sp and pc; outside of a call -1, sp and pc (proc(5)).
Sleep sleep_of(std::int32_t tid) {
  char path[64], buffer[256];
  Text(path, sizeof path).add("/proc/self/task/").add_number(static_cast<std::uint64_t>(tid)).add("/syscall");
  const std::string_view text = read_kernel_file(path, buffer, sizeof buffer);
  if (text.empty() || text.starts_with("running")) return {};
  std::uint64_t before_last = 0, last = 0;
  for (Scanner words(text); !words.empty();) {
    std::string_view word = words.word();
    if (!word.starts_with("0x")) continue;
    word.remove_prefix(2);
    before_last = last;
    last = Scanner(word).hex();
  }
  return {last, before_last};
}

}  // namespace

SleepingStack::Look SleepingStack::of(std::int32_t tid, bool walk) {
  const Sleep sleep = sleep_of(tid);
  if (!sleep.pc) return {};
  if (!walk) return {true, 0};
  if (!cache_) cache_ = static_cast<capture::WalkCache*>(capture::map_own_pages(capture::kWalkCacheBytes));
  if (!cache_) return {true, 0};
  constexpr capture::StackBounds unknown{0, 0};  // read from a copy: the thread may end at any moment, and its stack with it
  const capture::Walk found = unwinder_->walk({sleep.pc, sleep.sp, 0}, true, unknown, unknown, *cache_);
  return sleep_of(tid) == sleep ? Look{true, found.stack} : Look{};
}

}  // namespace tailback::engine
