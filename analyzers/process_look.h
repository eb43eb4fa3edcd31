// SPDX-License-Identifier: Apache-2.0
// What each thread of a live process does at one moment, whoever looked: the agent inside it, or the command by ptrace. Plain data.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyzers/model/model.h"

namespace tailback::analyzers {

struct HeldLockLook {
  std::string object;               // "mutex 0x55d0c8a3b1c0"
  std::uint64_t address = 0;
  Frame place;           // where it was taken; function empty: not known
  std::optional<double> seconds;    // for how long it has been held
};

struct ThreadLook {
  pid_t tid = 0;
  std::string name;
  char state = 0;                   // as in /proc/PID/task/TID/stat: R, S, D, T, t, Z; 0 not known
  std::string call;                 // that it is inside of: "pthread_mutex_lock", "epoll_wait"; empty: none
  std::string object;               // what that works on: "mutex 0x...", "/var/log/x", "127.0.0.1:80", "thread 4711"; empty: not known
  std::optional<double> seconds;    // for how long it has been inside
  bool gives_up = false;            // it waits for a time only, so that no ring with it lasts
  std::optional<pid_t> owner;       // thread that has what it waits for
  Frame owner_place;     // where that one took it
  std::vector<HeldLockLook> held;
  std::vector<Frame> frames;  // innermost first
  std::string stack_note;           // "as of its last CPU sample, 12 ms ago"; empty: the stack is that of now, and whole
};

struct ProcessLook {
  pid_t pid = 0;
  std::string command;
  std::string through;              // "the agent in it", "ptrace"
  std::vector<std::string> notes;
  std::vector<ThreadLook> threads;  // main thread first
};

// Indexes into `threads`: each waits for the next, the last for the first, for ever.
std::vector<std::vector<std::size_t>> rings_of(const ProcessLook& look);

// From the records of the agent's last look.
ProcessLook process_look(const Model& model);

}  // namespace tailback::analyzers
