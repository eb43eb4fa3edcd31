// SPDX-License-Identifier: Apache-2.0
// The agent inside a live process that is being recorded, reached through the dump that it writes: requests are counters in the file's
// header (agent/trace/layout.h). Who may do so is who may write the file: its mode is 0600.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/trace/layout.h"

namespace tailback::tools {

class AgentChannel {
 public:
  // nullopt: the process is there and nothing records it. Throws Failure when there is no such process, or no way to its dump.
  static std::optional<AgentChannel> to(pid_t pid);

  AgentChannel(AgentChannel&& other) noexcept;
  AgentChannel& operator=(AgentChannel&&) = delete;
  ~AgentChannel();

  const std::string& dump() const { return dump_; }  // path
  bool ended() const;                                // the recording is over

  // The number of the answered request; nullopt: no answer in time. A process with one thread answers when that thread runs, so that
  // one that sleeps is not waited for as long.
  std::optional<std::uint32_t> ask(trace::RequestKind kind);

 private:
  AgentChannel(pid_t pid, std::string dump, trace::FileHeader* header) : pid_(pid), dump_(std::move(dump)), header_(header) {}
  std::chrono::milliseconds patience() const;

  pid_t pid_;
  std::string dump_;
  trace::FileHeader* header_;  // mapped
};

// What a person typed for a process; a Failure says what would be right.
pid_t process_id(const std::string& text);
// The channel to a process that must be recorded: a Failure says so when it is not.
AgentChannel recorded(pid_t pid);

}  // namespace tailback::tools
