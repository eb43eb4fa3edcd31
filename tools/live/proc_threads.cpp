// SPDX-License-Identifier: Apache-2.0
#include "tools/live/proc_threads.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tailback::tools {

namespace {

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// An address as /proc/net/tcp has it: the bytes in groups of four, each in the machine's order, and the port.
std::string address_text(const std::string& hex) {
  const auto colon = hex.find(':');
  if (colon == std::string::npos || (colon != 8 && colon != 32)) return {};
  std::array<std::uint32_t, 4> words{};
  for (std::size_t i = 0; i < colon / 8; ++i) words[i] = static_cast<std::uint32_t>(std::stoul(hex.substr(8 * i, 8), nullptr, 16));
  char text[INET6_ADDRSTRLEN] = {};
  if (!inet_ntop(colon == 8 ? AF_INET : AF_INET6, words.data(), text, sizeof text)) return {};
  const unsigned long port = std::stoul(hex.substr(colon + 1), nullptr, 16);
  return colon == 8 ? fmt::format("{}:{}", text, port) : fmt::format("[{}]:{}", text, port);
}

// The other end of a TCP connection by its inode; of a listening socket, where it listens.
std::string peer_of(pid_t pid, const std::string& inode) {
  constexpr const char* kListening = "0A";
  for (const char* table : {"tcp", "tcp6"}) {
    std::ifstream in(fmt::format("/proc/{}/net/{}", pid, table));
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string number, local, remote, state, queues, timer, retransmits, user, timeout, found;
      words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >> timeout >> found;
      if (found != inode) continue;
      return state == kListening ? "socket listening on " + address_text(local) : address_text(remote);
    }
  }
  return "socket";
}

}  // namespace

std::vector<pid_t> threads_of(pid_t pid) {
  std::vector<pid_t> threads;
  std::error_code error;
  for (std::filesystem::directory_iterator at(fmt::format("/proc/{}/task", pid), error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    pid_t tid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), tid).ec == std::errc()) threads.push_back(tid);
  }
  std::sort(threads.begin(), threads.end());
  return threads;
}

ThreadStatus status_of(pid_t pid, pid_t tid) {
  ThreadStatus status;
  status.tid = tid;
  const std::string folder = fmt::format("/proc/{}/task/{}/", pid, tid);
  const std::string stat = text_of(folder + "stat");
  const auto open = stat.find('('), close = stat.rfind(')');
  if (open != std::string::npos && close != std::string::npos && close + 2 < stat.size()) {
    status.name = stat.substr(open + 1, close - open - 1);
    status.state = stat[close + 2];
  }
  std::istringstream words(text_of(folder + "syscall"));  // number, six arguments, sp, pc (proc(5)); "running" otherwise
  if (long call; words >> call) {
    status.call = call;
    for (auto& argument : status.arguments) {
      std::string word;
      words >> word;
      if (word.starts_with("0x")) std::from_chars(word.data() + 2, word.data() + word.size(), argument, 16);
    }
  }
  return status;
}

std::string command_of(pid_t pid) {
  std::string command = text_of(fmt::format("/proc/{}/cmdline", pid));
  std::replace(command.begin(), command.end(), '\0', ' ');
  command.erase(command.find_last_not_of(' ') + 1);
  return command;
}

std::string status_field(pid_t pid, const std::string& key) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key + ":")) return line.substr(std::min(line.size(), line.find_first_not_of(" \t", key.size() + 1)));
  return {};
}

std::string descriptor_name(pid_t pid, std::uint64_t descriptor) {
  std::error_code error;
  const std::string target = std::filesystem::read_symlink(fmt::format("/proc/{}/fd/{}", pid, static_cast<int>(descriptor)), error).string();
  if (error) return {};
  if (target.starts_with("pipe:")) return "pipe";
  if (target.starts_with("anon_inode:")) return target.substr(std::strlen("anon_inode:"));
  if (!target.starts_with("socket:[")) return target;
  return peer_of(pid, target.substr(8, target.size() - 9));
}

}  // namespace tailback::tools
