// SPDX-License-Identifier: Apache-2.0
#include "analyzers/process_look.h"

#include <fmt/format.h>

#include <algorithm>

#include "analyzers/model/object_names.h"
#include "analyzers/model/own_frame.h"

namespace tailback::analyzers {

namespace {

constexpr double kNs = 1e-9;

// What a call works on, in words; empty: nothing that is known.
std::string object_of(const Model& model, trace::Call call, std::uint64_t object) {
  const trace::CallGroup group = trace::group_of(call);
  const auto& endpoints = model.recording.calls.endpoints;
  if (trace::works_on_endpoint(group)) return object && object < endpoints.size() ? endpoint_name(endpoints[object]) : "";
  if (object == 0) return "";
  if (group == trace::CallGroup::lock || trace::is_hold(call)) return fmt::format("{} {:#x}", lock_name(model, object, call), object);
  switch (group) {
    case trace::CallGroup::condition: return fmt::format("condition {:#x}", object);
    case trace::CallGroup::semaphore: return fmt::format("semaphore {:#x}", object);
    case trace::CallGroup::barrier: return fmt::format("barrier {:#x}", object);
    case trace::CallGroup::futex: return fmt::format("futex {:#x}", object);
    default: return "";
  }
}

pid_t tid_of(const Model& model, ThreadId thread) {
  const auto* row = model.recording.threads.find(thread);
  return row ? static_cast<pid_t>(row->tid) : 0;
}

Frame place_of(const Model& model, StackId stack) { return stack ? own_frame(model, stack) : Frame{}; }

std::string note_of(const ThreadLookRow& row, std::uint64_t now) {
  if (row.stack == 0) return row.asleep ? "its stack could not be read" : "no CPU sample so far";
  return row.asleep ? "" : fmt::format("it runs; the stack is that of its last CPU sample, {:.0f} ms ago", static_cast<double>(now - row.stack_t) * 1e-6);
}

ThreadLook look_of(const Model& model, const ThreadLookRow& row, std::uint64_t now) {
  ThreadLook look;
  look.tid = tid_of(model, row.thread);
  if (const auto* thread = model.recording.threads.find(row.thread)) look.name = thread->name;
  look.state = row.asleep ? 'S' : 'R';
  if (row.call != trace::Call::none) {
    look.call = trace::name_of(row.call);
    look.seconds = static_cast<double>(now - row.since) * kNs;
    look.object = object_of(model, row.call, row.object);
  }
  look.gives_up = row.for_a_while;
  if (row.owner) {
    look.owner = tid_of(model, row.owner);
    look.owner_place = place_of(model, row.owner_stack);
    if (trace::group_of(row.call) == trace::CallGroup::join) look.object = fmt::format("thread {}", *look.owner);
  }
  for (const HeldLockRow& held : row.held) {
    HeldLockLook lock{object_of(model, held.call, held.object), held.object, place_of(model, held.stack), {}};
    if (held.since) lock.seconds = static_cast<double>(now - held.since) * kNs;
    look.held.push_back(std::move(lock));
  }
  if (row.stack) look.frames = model.symbols->stack(row.stack);
  look.stack_note = note_of(row, now);
  return look;
}

std::string command_of(const Recording& recording) {
  std::string command(recording.session.command);
  std::replace(command.begin(), command.end(), '\0', ' ');
  while (!command.empty() && command.back() == ' ') command.pop_back();
  return command;
}

// Whether a wait was there before the look began, and lasts: what began meanwhile was seen at another moment than the rest.
bool lasts(const ThreadLook& thread) { return thread.owner && !thread.gives_up && (!thread.seconds || *thread.seconds > 0); }

}  // namespace

std::vector<std::vector<std::size_t>> rings_of(const ProcessLook& look) {
  constexpr std::size_t kNobody = static_cast<std::size_t>(-1);
  std::vector<std::size_t> owner(look.threads.size(), kNobody), seen_from(look.threads.size(), kNobody);
  for (std::size_t i = 0; i < owner.size(); ++i)
    for (std::size_t j = 0; lasts(look.threads[i]) && j < owner.size(); ++j)
      if (look.threads[j].tid == *look.threads[i].owner) owner[i] = j;
  std::vector<std::vector<std::size_t>> rings;
  for (std::size_t start = 0; start < owner.size(); ++start) {
    std::size_t at = start;
    while (at != kNobody && seen_from[at] == kNobody) seen_from[at] = start, at = owner[at];
    if (at == kNobody || seen_from[at] != start) continue;  // it ends, or in what was seen before
    std::vector<std::size_t> ring{at};
    for (std::size_t next = owner[at]; next != at; next = owner[next]) ring.push_back(next);
    rings.push_back(std::move(ring));
  }
  return rings;
}

ProcessLook process_look(const Model& model) {
  const Recording& recording = model.recording;
  ProcessLook look;
  look.pid = static_cast<pid_t>(recording.session.pid);
  look.command = command_of(recording);
  look.through = "the agent in it";
  for (const ThreadLookRow& row : recording.look.threads) look.threads.push_back(look_of(model, row, recording.look.t));
  std::stable_sort(look.threads.begin(), look.threads.end(), [&](const auto& a, const auto& b) { return a.tid == look.pid && b.tid != look.pid; });
  return look;
}

}  // namespace tailback::analyzers
