// SPDX-License-Identifier: Apache-2.0
#include "tools/live/proc_files.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tailback::tools {

std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string link_target(const std::string& path) {
  char target[4096];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  return size > 0 ? std::string(target, static_cast<std::size_t>(size)) : "";
}

std::string status_field(const std::string& status, const std::string& name) {
  std::istringstream in(status);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name + ":")) continue;
    const std::size_t from = line.find_first_not_of(" \t", name.size() + 1);
    return from == std::string::npos ? "" : line.substr(from);
  }
  return "";
}

std::string task_folder(pid_t pid, pid_t tid) { return fmt::format("/proc/{}/task/{}", pid, tid); }

std::vector<pid_t> task_ids(pid_t pid) {
  std::vector<pid_t> ids;
  std::error_code error;
  std::filesystem::directory_iterator at(fmt::format("/proc/{}/task", pid), error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error))
    ids.push_back(std::atoi(at->path().filename().c_str()));
  // Numbers wrap around, so the first thread need not have the lowest.
  std::sort(ids.begin(), ids.end(), [pid](pid_t a, pid_t b) { return std::pair(a != pid, a) < std::pair(b != pid, b); });
  return ids;
}

std::string command_of(pid_t pid) {
  std::string text = file_text(fmt::format("/proc/{}/cmdline", pid));
  while (!text.empty() && text.back() == '\0') text.pop_back();
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text.empty() ? "[" + status_field(file_text(fmt::format("/proc/{}/status", pid)), "Name") + "]" : text;
}

namespace {

// "202 0x7f.. 0x80 0x2 0x0 0x0 0x0 0xSP 0xPC", "-1 0xSP 0xPC" (blocked outside of a call), or "running".
std::optional<SystemCall> parsed_call(const std::string& text) {
  std::istringstream in(text);
  SystemCall call;
  if (!(in >> call.number) || call.number < 0) return std::nullopt;
  in >> std::hex;
  for (std::uint64_t& argument : call.arguments) {
    std::string word;
    if (!(in >> word)) return std::nullopt;
    argument = std::strtoull(word.c_str(), nullptr, 16);
  }
  return call;
}

}  // namespace

TaskFacts read_task(pid_t pid, pid_t tid) {
  const std::string folder = task_folder(pid, tid);
  TaskFacts facts;
  facts.tid = tid;
  facts.name = file_text(folder + "/comm");
  if (!facts.name.empty() && facts.name.back() == '\n') facts.name.pop_back();
  const std::string stat = file_text(folder + "/stat");
  const std::size_t name_end = stat.rfind(')');
  if (name_end != std::string::npos && name_end + 2 < stat.size()) facts.state = stat[name_end + 2];
  const std::string numbers = status_field(file_text(folder + "/status"), "NSpid");
  const std::size_t last = numbers.find_last_of(" \t");
  facts.tid_inside = last == std::string::npos ? tid : std::atoi(numbers.c_str() + last);
  facts.call = parsed_call(file_text(folder + "/syscall"));
  return facts;
}

std::vector<MappedRegion> read_regions(const std::string& task_folder) {
  std::vector<MappedRegion> regions;
  std::istringstream in(file_text(task_folder + "/maps"));
  for (std::string line; std::getline(in, line);) {
    MappedRegion region;
    char rights[5] = {};
    int name_at = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %lx %*s %*s %n", &region.start, &region.end, rights, &region.offset, &name_at) !=
        4)
      continue;
    region.readable = rights[0] == 'r';
    region.executable = rights[2] == 'x';
    if (name_at > 0 && static_cast<std::size_t>(name_at) < line.size())
      region.name = line.substr(static_cast<std::size_t>(name_at));
    regions.push_back(std::move(region));
  }
  return regions;
}

const MappedRegion* region_at(const std::vector<MappedRegion>& regions, std::uint64_t address) {
  const auto next = std::upper_bound(regions.begin(), regions.end(), address,
                                     [](std::uint64_t a, const MappedRegion& region) { return a < region.start; });
  return next == regions.begin() || address >= std::prev(next)->end ? nullptr : &*std::prev(next);
}

}  // namespace tailback::tools
