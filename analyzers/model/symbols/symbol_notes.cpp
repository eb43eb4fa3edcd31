// SPDX-License-Identifier: Apache-2.0
// One process of dpkg-query for all files, with a deadline: a report must not hang on a package database.
#include "analyzers/model/symbols/symbol_notes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>

extern char** environ;

namespace tailback::analyzers {
namespace {

constexpr auto kDeadline = std::chrono::seconds(2);
constexpr std::size_t kMostNotes = 20;
constexpr std::size_t kMostOutput = 1 << 20;

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string real_path(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  const std::string result = resolved ? resolved : path;
  free(resolved);
  return result;
}

std::string read_until_deadline(int fd) {
  std::string text;
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  char buffer[4096];
  while (text.size() < kMostOutput) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd ready{fd, POLLIN, 0};
    if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) <= 0) break;
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count <= 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  return text;
}

// The program's output; what it says to stderr is dropped.
std::string run(std::vector<std::string> command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  if (!failed) {
    text = read_until_deadline(ends[0]);
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  close(ends[0]);
  return text;
}

std::string debug_package(const std::string& package) {
  return package == "libc6" ? std::string("libc6-dbg") : package + "-dbgsym";
}

std::string remedy(const MissingSymbols& module, const std::map<std::string, std::string>& packages) {
  if (module.status.refused) return "its file is of another build than the recorded one: name the folder of the right one as a debug directory";
  if (!module.status.file_found && module.build_id.empty()) return "its file is not here and the dump has no build id of it";
  if (const auto found = packages.find(module.path); found != packages.end())
    return "install " + debug_package(found->second) + (module.build_id.empty() ? "" : ", or set DEBUGINFOD_URLS and ask for debuginfod");
  if (!module.status.file_found) return "its file is not here: give a folder with it or its debug file (build id " + module.build_id + ")";
  return "build it with -g and do not strip it, or keep its debug file beside it";
}

}  // namespace

std::map<std::string, std::string> owning_packages(const std::vector<std::string>& paths) {
  if (paths.empty()) return {};
  // The same file under the names that a merged /usr gives it.
  std::map<std::string, std::string> asked;  // name -> path as given
  for (const std::string& path : paths) {
    const std::string real = real_path(path);
    for (const std::string& name : {path, real}) {
      if (!name.starts_with('/')) continue;
      asked[name] = path;
      if (name.starts_with("/usr/")) asked[name.substr(4)] = path;
    }
  }
  std::vector<std::string> command{"dpkg-query", "--search", "--"};
  for (const auto& [name, path] : asked) command.push_back(name);
  std::map<std::string, std::string> packages;
  std::istringstream lines(run(std::move(command)));
  for (std::string line; std::getline(lines, line);) {  // "package:arch, other: /path"
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos || line.starts_with("diversion ")) continue;
    const auto found = asked.find(line.substr(colon + 2));
    if (found != asked.end()) packages.emplace(found->second, line.substr(0, line.find_first_of(":,")));
  }
  return packages;
}

std::vector<std::string> missing_symbol_notes(std::vector<MissingSymbols> missing) {
  std::sort(missing.begin(), missing.end(), [](const MissingSymbols& a, const MissingSymbols& b) {
    return a.weight_fraction != b.weight_fraction ? a.weight_fraction > b.weight_fraction : a.addresses > b.addresses;
  });
  if (missing.size() > kMostNotes) missing.resize(kMostNotes);
  std::vector<std::string> paths;
  for (const MissingSymbols& module : missing) paths.push_back(module.path);
  const auto packages = owning_packages(paths);
  std::vector<std::string> notes;
  for (const MissingSymbols& module : missing)
    notes.push_back(fmt::format("{}: no symbols for {} addresses ({:.1f} % of the CPU samples); {}", base_name(module.path),
                                module.addresses, module.weight_fraction * 100, remedy(module, packages)));
  return notes;
}

}  // namespace tailback::analyzers
