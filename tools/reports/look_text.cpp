// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/look_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tools/reports/format.h"
#include "tools/reports/page.h"
#include "tools/reports/stack_lines.h"

namespace tailback::tools {

namespace {

using analyzers::Frame;
using analyzers::HeldLockLook;
using analyzers::ProcessLook;
using analyzers::ThreadLook;

constexpr std::size_t kFramesShown = 24, kNamesShown = 8, kIndent = 2;

const ThreadLook* thread_of(const ProcessLook& look, pid_t tid) {
  const auto at = std::find_if(look.threads.begin(), look.threads.end(), [&](const ThreadLook& thread) { return thread.tid == tid; });
  return at == look.threads.end() ? nullptr : &*at;
}

std::string label_of(const ThreadLook& thread) { return thread.name.empty() ? fmt::format("thread {}", thread.tid) : fmt::format("thread {} ({})", thread.tid, thread.name); }

std::string label_of(const ProcessLook& look, pid_t tid) {
  const ThreadLook* thread = thread_of(look, tid);
  return thread ? label_of(*thread) : fmt::format("thread {}", tid);
}

std::string place_of(const Frame& frame) {
  if (frame.function.empty()) return {};
  return frame.file.empty() ? fmt::format(" in {}", frame.function) : fmt::format(" in {} ({}:{})", frame.function, frame.file.substr(frame.file.rfind('/') + 1), frame.line);
}

// "mutex 0x55d0c8a3b1c0 of thread 12 (worker), which took it in f (a.cc:3)"
std::string waited_for(const ProcessLook& look, const ThreadLook& thread) {
  std::string text = thread.object.empty() ? thread.call : thread.object;
  if (!thread.owner || thread.object == fmt::format("thread {}", *thread.owner)) return text;
  text += fmt::format(" of {}", label_of(look, *thread.owner));
  if (const std::string place = place_of(thread.owner_place); !place.empty()) text += ", which took it" + place;
  return text;
}

std::string state_of(const ProcessLook& look, const ThreadLook& thread) {
  const std::string since = thread.seconds ? fmt::format(" for {}", format_seconds(*thread.seconds)) : "";
  if (thread.owner) return fmt::format("waits{} for {}", since, waited_for(look, thread));
  if (!thread.call.empty()) return fmt::format("in {}{}{}", thread.call, thread.object.empty() ? "" : " on " + thread.object, since);
  switch (thread.state) {
    case 'R': return "runs";
    case 'D': return "sleeps in the kernel, and cannot be woken";
    case 'T': case 't': return "is stopped";
    case 'Z': return "has ended";
    default: return "sleeps";
  }
}

bool alike(const ThreadLook& a, const ThreadLook& b) {
  const auto same = [](const Frame& x, const Frame& y) { return x.address == y.address && x.function == y.function; };
  return !a.owner && !b.owner && a.held.empty() && b.held.empty() && a.call == b.call && a.object == b.object && a.stack_note.empty() && b.stack_note.empty() &&
         !a.frames.empty() && a.frames.size() == b.frames.size() && std::equal(a.frames.begin(), a.frames.end(), b.frames.begin(), same);
}

void deadlocks(Page& page, const ProcessLook& look) {
  for (const std::vector<std::size_t>& ring : rings_of(look)) {
    page.blank();
    page.paragraph(0, fmt::format("deadlock: {} wait{} for {}", ring.size() == 1 ? "a thread" : fmt::format("{} threads", ring.size()), ring.size() == 1 ? "s" : "",
                                  ring.size() == 1 ? "itself" : "each other"), Style::red);
    for (const std::size_t member : ring)
      page.bulleted(kIndent, fmt::format("{} waits for {}", label_of(look.threads[member]), waited_for(look, look.threads[member])));
  }
}

void stack(Page& page, const ThreadLook& thread, bool whole) {
  for (const std::string& line : stack_lines(thread.frames, page.width() - 2 * kIndent, page.unicode(), whole ? std::numeric_limits<std::size_t>::max() / 2 : kFramesShown))
    page.line(std::string(2 * kIndent, ' ') + line);
}

void threads_alike(Page& page, const std::vector<const ThreadLook*>& group, const ProcessLook& look, bool whole) {
  const ThreadLook& first = *group.front();
  page.blank();
  std::string label = label_of(first);
  if (group.size() > 1) {
    label = fmt::format("{} threads:", group.size());
    for (std::size_t i = 0; i < std::min(group.size(), kNamesShown); ++i) label += fmt::format("{} {} ({})", i ? "," : "", group[i]->tid, group[i]->name);
    if (group.size() > kNamesShown) label += fmt::format(" and {} more", group.size() - kNamesShown);
  }
  page.paragraph(0, label, Style::bold);
  page.paragraph(kIndent, state_of(look, first));
  for (const HeldLockLook& held : first.held)
    page.paragraph(kIndent, fmt::format("holds {}{}{}", held.object, held.seconds ? fmt::format(" for {}", format_seconds(*held.seconds)) : "",
                                        held.place.function.empty() ? "" : ", taken" + place_of(held.place)));
  if (!first.stack_note.empty()) page.paragraph(kIndent, first.stack_note, Style::dim);
  stack(page, first, whole);
}

}  // namespace

std::string look_text(const ProcessLook& look, const Terminal& terminal, bool whole) {
  Page page(terminal);
  page.line(page.styled(Style::bold, shortened(printable(look.command), page.width(), page.unicode())));
  page.paragraph(0, fmt::format("pid {}{}{} thread{}{}through {}", look.pid, page.dot(), look.threads.size(), look.threads.size() == 1 ? "" : "s", page.dot(), look.through), Style::dim);
  for (const std::string& note : look.notes) page.paragraph(0, note, Style::dim);
  deadlocks(page, look);
  std::vector<bool> told(look.threads.size());
  for (std::size_t i = 0; i < look.threads.size(); ++i) {
    if (told[i]) continue;
    std::vector<const ThreadLook*> group;
    for (std::size_t j = i; j < look.threads.size(); ++j)
      if (j == i || (!told[j] && alike(look.threads[i], look.threads[j]))) told[j] = true, group.push_back(&look.threads[j]);
    threads_alike(page, group, look, whole);
  }
  return page.text();
}

}  // namespace tailback::tools
