// SPDX-License-Identifier: Apache-2.0
#include "tools/live/ptrace_look.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "tools/command.h"
#include "tools/elf_check/elf_file.h"
#include "tools/live/module_map.h"
#include "tools/live/proc_threads.h"
#include "tools/live/stopped_process.h"
#include "tools/live/wait_description.h"

namespace tailback::tools {

namespace {

using analyzers::ModuleRow;
using analyzers::NodeRow;
using analyzers::ProcessLook;
using analyzers::StackId;
using analyzers::ThreadLook;

struct RawThread {
  ThreadStatus status;
  FutexWords futex;
  std::vector<std::uint64_t> frames;
  bool stopped = false, whole = false;
};

void check_process(pid_t pid) {
  const std::vector<pid_t> threads = threads_of(pid);
  if (threads.empty()) throw Failure(kFailed, fmt::format("there is no process {}; 'ps -e' lists those there are", pid));
  if (status_of(pid, pid).state == 'Z') {
    if (threads.size() > 1) return;
    throw Failure(kFailed, fmt::format("process {} has ended and only waits for its parent, process {}, to take notice", pid, status_field(pid, "PPid")));
  }
  std::error_code error;
  const auto program = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
  if (program.empty() && error == std::errc::no_such_file_or_directory)
    throw Failure(kFailed, fmt::format("process {} ({}) is a thread of the kernel: it has no stack of a program", pid, status_of(pid, pid).name));
  const ElfFacts executable = read_elf(fmt::format("/proc/{}/exe", pid));
  if (executable.is_elf && !executable.is_this_machine)
    throw Failure(kFailed, fmt::format("process {} runs a program for {}{}; only programs of this tailback's own kind can be looked at", pid, executable.machine,
                                       executable.is_64_bit ? "" : " with 32 bits"));
}

// A thread by which the kernel tells of the process: of a main thread that has ended it knows no memory and no files.
pid_t living_thread(pid_t pid) {
  for (const pid_t tid : threads_of(pid))
    if (status_of(pid, tid).state != 'Z') return tid;
  return pid;
}

// All that needs the process to stand still: who waits for whom holds only if it is all of one moment. Of a thread that does not stop, what
// was known before.
std::vector<RawThread> stopped_threads(pid_t pid, std::vector<std::string>& notes) {
  std::map<pid_t, ThreadStatus> before;
  for (const pid_t tid : threads_of(pid)) before.emplace(tid, status_of(pid, tid));
  std::vector<RawThread> threads;
  const StoppedProcess process(pid);
  for (const auto& [tid, status] : before) {
    RawThread thread{status, {}, {}, process.holds(tid)};
    if (thread.stopped) process.read_call(thread.status);
    thread.futex = FutexWords::of(thread.status);
    if (thread.stopped) thread.frames = process.stack(tid, thread.whole);
    threads.push_back(std::move(thread));
  }
  notes.push_back(fmt::format("the process was stopped for {:.1f} ms", static_cast<double>(process.since().count()) * 1e-3));
  std::stable_sort(threads.begin(), threads.end(), [&](const auto& a, const auto& b) { return a.status.tid == pid && b.status.tid != pid; });
  return threads;
}

// The frames as a recording's stacks, a node for each.
class Stacks {
 public:
  explicit Stacks(pid_t pid) {
    recording_.session.pid = static_cast<std::uint64_t>(pid);
    recording_.modules = modules_of(living_thread(pid));
    recording_.nodes.emplace_back();
  }

  StackId add(const std::vector<std::uint64_t>& frames) {
    StackId parent = 0;
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
      NodeRow node;
      node.address = *frame;
      node.parent = parent;
      node.module = module_at(*frame);
      parent = static_cast<StackId>(recording_.nodes.size());
      recording_.nodes.push_back(node);
    }
    return parent;
  }

  const analyzers::Recording& recording() const { return recording_; }

 private:
  analyzers::ModuleId module_at(std::uint64_t address) const {
    for (const ModuleRow& module : recording_.modules)
      if (address >= module.start && address < module.end) return module.id;
    return 0;
  }

  analyzers::Recording recording_;
};

std::string note_of(const RawThread& thread) {
  if (thread.status.state == 'Z') return "it has ended, the others go on";
  if (!thread.stopped) return thread.status.state == 'D' ? "it does not stop: it is inside the kernel, in a wait that cannot be interrupted" : "it did not stop in time";
  return thread.whole ? "" : thread.frames.empty() ? "its stack could not be read" : "the frames beyond are not known";
}

}  // namespace

ProcessLook look_by_ptrace(pid_t pid, const analyzers::SymbolOptions& options) {
  check_process(pid);
  ProcessLook look;
  look.pid = pid;
  look.command = command_of(pid);
  look.through = "ptrace";
  const std::vector<RawThread> threads = stopped_threads(pid, look.notes);
  Stacks stacks(pid);
  std::vector<StackId> ids;
  for (const RawThread& thread : threads) ids.push_back(stacks.add(thread.frames));
  const analyzers::Symbols symbols(stacks.recording(), options);
  for (std::size_t i = 0; i < threads.size(); ++i) {
    ThreadLook thread;
    thread.tid = threads[i].status.tid;
    thread.name = threads[i].status.name;
    thread.state = threads[i].status.state;
    if (ids[i]) thread.frames = symbols.stack(ids[i]);
    thread.stack_note = note_of(threads[i]);
    look.threads.push_back(std::move(thread));
  }
  for (std::size_t i = 0; i < threads.size(); ++i) describe_wait(look, threads[i].status, threads[i].futex, look.threads[i]);
  return look;
}

}  // namespace tailback::tools
