// SPDX-License-Identifier: Apache-2.0
#include "tools/live/ptrace_look.h"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

#include "tools/live/futex_waits.h"
#include "tools/live/live_recording.h"
#include "tools/live/remote_unwind.h"
#include "tools/live/system_calls.h"
#include "tools/live/target_process.h"
#include "tools/live/thread_stop.h"
#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

using analyzers::ProcessLook;
using analyzers::ThreadLook;

// Innermost frames in which the function that the program called is looked for; glibc's own are three deep at most.
constexpr std::size_t kInnermost = 6;

constexpr std::size_t kFutexTimeout = 3;  // of the call's arguments

std::string living_task(pid_t pid) {
  const std::vector<pid_t> tids = task_ids(pid);
  const auto alive = std::find_if(tids.begin(), tids.end(), [pid](pid_t tid) { return read_task(pid, tid).state != 'Z'; });
  return task_folder(pid, alive == tids.end() ? pid : *alive);
}

std::vector<std::string> innermost_functions(const ThreadLook& thread) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(thread.frames.size(), kInnermost); ++i) names.push_back(thread.frames[i].function);
  return names;
}

void set_owner(ThreadLook& look, const FutexWait& wait, const ThreadStop& stop) {
  if (!wait.owner) return;
  const auto owner = std::find_if(stop.threads.begin(), stop.threads.end(), [&](const StoppedThread& thread) {
    return static_cast<std::uint32_t>(thread.facts.tid_inside) == *wait.owner;
  });
  if (owner != stop.threads.end()) look.owner = owner->facts.tid;
  if (wait.is_thread) look.object = fmt::format("thread {}", look.owner.value_or(static_cast<pid_t>(*wait.owner)));
}

// After a stop the kernel restarts some calls under another number, and only the function tells which it was.
void set_wait(ThreadLook& look, const SystemCall& call, const ThreadStop& stop, const std::string& folder, TargetMemory& memory) {
  const bool restarted = call.number == SYS_restart_syscall;
  if (call.number == SYS_futex || restarted) {
    const FutexWait wait = futex_wait(innermost_functions(look), call.arguments[0], memory);
    if (!wait.call.empty() || !restarted) {
      look.call = wait.call.empty() ? "futex" : wait.call;
      look.object = wait.object;
      look.gives_up = call.arguments[kFutexTimeout] != 0;
      set_owner(look, wait, stop);
      return;
    }
  }
  look.call = restarted && !look.frames.empty() ? public_name(look.frames.front().function) : call_name(call.number);
  look.object = object_of_call(call, folder, memory);
}

std::string why_no_stack(const StoppedThread& thread) {
  if (thread.facts.state == 'Z') return "it has ended; its number is kept because the process goes on";
  if (thread.facts.state == 'D') return "no stack: it is inside the kernel and cannot be interrupted there";
  return "no stack: it did not stop";
}

// A thread that blocks or has just woken is not what it was before the stop.
char state_of(const StoppedThread& thread) {
  const char before = thread.facts.state;
  if (!thread.registers || (before != 'S' && before != 'R')) return before;
  return thread.call ? 'S' : 'R';
}

// Notes on symbols weigh by CPU samples, of which a look has none.
std::string without_share(const std::string& note) {
  const std::size_t from = note.find(" ("), end = note.find("% of the CPU samples)");
  if (from == std::string::npos || end == std::string::npos || end < from) return note;
  return note.substr(0, from) + note.substr(note.find(')', end) + 1);
}

ThreadLook thread_look(const StoppedThread& thread, const WalkedStack& stack, std::vector<analyzers::Frame> frames) {
  ThreadLook look;
  look.tid = thread.facts.tid;
  look.name = thread.facts.name;
  look.state = state_of(thread);
  look.frames = std::move(frames);
  if (!thread.registers)
    look.stack_note = why_no_stack(thread);
  else if (!stack.whole)
    look.stack_note = "the stack could not be followed any further";
  return look;
}

std::vector<WalkedStack> walk_all(const ThreadStop& stop, TargetMemory& memory, const std::vector<TargetModule>& modules) {
  RemoteUnwinder unwinder(memory, modules);
  std::vector<WalkedStack> stacks;
  for (const StoppedThread& thread : stop.threads)
    stacks.push_back(thread.registers ? unwinder.walk(*thread.registers) : WalkedStack{});
  return stacks;
}

}  // namespace

ProcessLook look_by_ptrace(pid_t pid, const analyzers::SymbolOptions& options) {
  check_is_looked_at(pid);
  ProcessLook look;
  look.pid = pid;
  look.command = command_of(pid);
  look.through = "ptrace";
  const std::string folder = living_task(pid);
  TargetMemory memory(folder);
  if (!memory.is_open()) throw_refused(pid, EACCES);
  const std::vector<MappedRegion> regions = read_regions(folder);
  const ThreadStop stop = stop_and_copy(pid, memory, regions);
  if (stop.refusal) throw_refused(pid, stop.refusal);

  const std::vector<TargetModule> modules = read_modules(regions, file_root(folder), memory);
  const std::vector<WalkedStack> stacks = walk_all(stop, memory, modules);
  const LiveRecording recording(pid, file_root(folder), regions, modules, stacks);
  const analyzers::Symbols symbols(recording.tables(), options);
  for (std::size_t i = 0; i < stop.threads.size(); ++i)
    look.threads.push_back(thread_look(stop.threads[i], stacks[i], symbols.stack(recording.innermost(i))));
  for (std::size_t i = 0; i < stop.threads.size(); ++i)
    if (stop.threads[i].call) set_wait(look.threads[i], *stop.threads[i].call, stop, folder, memory);
  look.notes.push_back(fmt::format("the process was stopped for {}", format_seconds(stop.seconds)));
  for (const std::string& note : symbols.notes()) look.notes.push_back(without_share(note));
  return look;
}

}  // namespace tailback::tools
