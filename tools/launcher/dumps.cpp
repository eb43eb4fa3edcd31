// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/dumps.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <unordered_map>

#include "agent/trace/decode.h"
#include "analyzers/model/mapped_input.h"
#include "analyzers/pipeline.h"

namespace tailback::tools {

namespace {

namespace files = std::filesystem;

constexpr double kWrapperShare = 0.1;  // of the CPU time of all: below it the root only started others

constexpr std::uint64_t kClockSlackNs = 1'000'000'000;  // the clock may be set meanwhile

// False: it is no dump, or cannot be read.
bool read_header(const char* path, trace::FileHeader& header) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return false;
  const bool known = ::pread(file, &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header);
  ::close(file);
  return known && std::memcmp(header.magic, trace::kMagic, sizeof header.magic) == 0;
}

void read_number(std::string_view text, std::uint64_t& value) { std::from_chars(text.data(), text.data() + text.size(), value); }

constexpr std::uint64_t kEndedByExec = 4;  // session_end.reason

struct Figures {
  DumpSummary& summary;
  std::unordered_map<std::uint64_t, std::uint64_t> cpu_of_thread;

  void operator()(const trace::Session& session) const { summary.pid = session.pid, summary.started_mono_ns = session.started_mono_ns; }
  void operator()(const trace::Option& option) const {
    if (option.name == "root_pid") read_number(option.value, summary.root_pid);
    if (option.name == "max_size") read_number(option.value, summary.max_bytes);
  }
  void operator()(const trace::SessionEnd& end) const { summary.ended_by_exec = end.reason == kEndedByExec; }
  void operator()(const trace::ThreadState& state) { cpu_of_thread[state.thread] = state.cpu_ns; }
  void operator()(const trace::ThreadGroup& group) const { summary.cpu_ns += group.cpu_ns; }
  template <class Other>
  void operator()(const Other&) const {}
};

bool belongs(const DumpSummary& dump, std::uint64_t root_pid, std::uint64_t since) {
  if (dump.started_realtime_ns + kClockSlackNs < since) return false;
  return dump.pid == root_pid || dump.root_pid == root_pid;
}

void order(std::vector<DumpSummary>& dumps, std::uint64_t root_pid) {
  std::sort(dumps.begin(), dumps.end(), [](const auto& a, const auto& b) {
    return a.cpu_ns != b.cpu_ns ? a.cpu_ns > b.cpu_ns : a.started_realtime_ns < b.started_realtime_ns;
  });
  std::uint64_t total = 0;
  for (const DumpSummary& dump : dumps) total += dump.cpu_ns;
  const auto root = std::find_if(dumps.begin(), dumps.end(), [&](const auto& dump) { return dump.pid == root_pid; });
  if (root != dumps.end() && static_cast<double>(root->cpu_ns) >= kWrapperShare * static_cast<double>(total))
    std::rotate(dumps.begin(), root, root + 1);
}

}  // namespace

bool summarize_dump(const std::string& path, DumpSummary& summary) {
  try {
    const analyzers::MappedInput file(path);
    trace::FileHeader header{};
    if (file.bytes().size() < sizeof header) return false;
    std::memcpy(&header, file.bytes().data(), sizeof header);
    trace::Decoder decoder(file.bytes());
    Figures figures{summary, {}};
    const trace::DecodeResult result = decoder.for_each_event(figures);
    if (!result.error.empty()) return false;
    for (const auto& [thread, cpu] : figures.cpu_of_thread) summary.cpu_ns += cpu;
    summary.path = path;
    if (!summary.pid) summary.pid = header.pid;
    summary.started_realtime_ns = header.started_realtime_ns;
    summary.used_bytes = header.used_bytes;
    summary.ended = result.ended;
    summary.still_running = !result.ended && (::kill(static_cast<pid_t>(header.pid), 0) == 0 || errno == EPERM);
    return true;
  } catch (const analyzers::InputError&) {
    return false;  // vanished or unreadable: not one of ours
  }
}

std::uint32_t deadlocks_in(const std::string& path) {
  trace::FileHeader header{};
  return read_header(path.c_str(), header) ? header.deadlocks : 0;
}

std::vector<DumpSummary> find_dumps(const OutputPattern& pattern, std::uint64_t root_pid, std::uint64_t since_realtime_ns) {
  std::vector<DumpSummary> dumps;
  std::error_code error;
  for (files::directory_iterator at(pattern.folder(), error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (!pattern.matches(at->path().filename().string()) || at->is_symlink(ignored) || !at->is_regular_file(ignored)) continue;
    trace::FileHeader header{};  // spares reading what other recordings left in the same folder
    if (!read_header(at->path().c_str(), header) || header.started_realtime_ns + kClockSlackNs < since_realtime_ns) continue;
    DumpSummary dump;
    if (summarize_dump(at->path().string(), dump) && belongs(dump, root_pid, since_realtime_ns)) dumps.push_back(std::move(dump));
  }
  order(dumps, root_pid);
  return dumps;
}

void remove_old_dumps(const OutputPattern& pattern, const std::string& program, long pid) {
  const std::string path = pattern.expanded(program, pid);
  ::unlink(path.c_str());
  for (unsigned suffix = 1;; ++suffix) {
    const std::string name = fmt::format("{}.{}", path, suffix);
    DumpSummary dump;
    if (!summarize_dump(name, dump) || dump.still_running || ::unlink(name.c_str()) != 0) return;
  }
}

}  // namespace tailback::tools
