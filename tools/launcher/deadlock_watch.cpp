// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/deadlock_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <exception>

#include "analyzers/pipeline.h"
#include "tools/launcher/dumps.h"
#include "tools/messages.h"

namespace tailback::tools {

namespace {

void tell(const DumpSummary& dump) {
  analyzers::AnalysisOptions options;
  options.rules = {"deadlock"};
  const auto model = analyzers::load_model({dump.path}, options);
  const std::vector<analyzers::Finding> findings = analyzers::analyze(*model, options).findings;
  if (findings.empty()) return;  // a suspicion that came to nothing
  for (const analyzers::Finding& finding : findings) {
    message(fmt::format("deadlock in process {}: {}", dump.pid, finding.title));
    for (const analyzers::Evidence& evidence : finding.evidence)
      if (const auto* what = std::get_if<std::string>(&evidence.value)) message(fmt::format("  {} {}", evidence.label, *what));
  }
  message(fmt::format("  for the stacks, now or later: tailback report {}", shell_quoted(dump.path)));
}

}  // namespace

DeadlockWatch::DeadlockWatch(const OutputPattern& pattern)
    : pattern_(pattern), folder_(pattern.folder()), events_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (events_ >= 0 && ::inotify_add_watch(events_, folder_.c_str(), IN_CREATE) < 0) ::close(events_), events_ = -1;
}

DeadlockWatch::~DeadlockWatch() {
  if (events_ >= 0) ::close(events_);
}

void DeadlockWatch::find_new_dumps() {
  alignas(inotify_event) char buffer[16 * 1024];
  for (ssize_t got = 0; events_ >= 0 && (got = ::read(events_, buffer, sizeof buffer)) > 0;) {
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      if (event->len && pattern_.matches(event->name)) told_.emplace(folder_ + '/' + event->name, 0);
      at += sizeof *event + event->len;
    }
  }
}

void DeadlockWatch::look(pid_t root_pid) {
  find_new_dumps();
  for (auto& [path, told] : told_) {
    const std::uint32_t found = deadlocks_in(path);
    if (found <= told) continue;
    told = found;
    DumpSummary dump;
    if (!summarize_dump(path, dump) || dump.root_pid != static_cast<std::uint64_t>(root_pid)) continue;
    try {
      tell(dump);
    } catch (const std::exception&) {  // what cannot be read now the report will say
    }
  }
}

}  // namespace tailback::tools
