// SPDX-License-Identifier: Apache-2.0
#include "tools/live/descriptors.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <sstream>
#include <vector>

#include "tools/live/proc_files.h"

namespace tailback::tools {

namespace {

constexpr const char* kListening = "0A";  // TCP_LISTEN as the table writes it

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// "0100007F:0050" -> "127.0.0.1:80": words of the address in the order of this machine, each as eight digits.
std::string endpoint(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || (colon != 8 && colon != 32)) return "";
  std::uint32_t words[4] = {};
  for (std::size_t i = 0; i < colon / 8; ++i)
    words[i] = static_cast<std::uint32_t>(std::strtoul(text.substr(i * 8, 8).c_str(), nullptr, 16));
  char name[INET6_ADDRSTRLEN] = {};
  const bool four = colon == 8;
  inet_ntop(four ? AF_INET : AF_INET6, words, name, sizeof name);
  const unsigned long port = std::strtoul(text.c_str() + colon + 1, nullptr, 16);
  return four ? fmt::format("{}:{}", name, port) : fmt::format("[{}]:{}", name, port);
}

}  // namespace

std::string internet_socket(const std::string& table, const std::string& inode) {
  constexpr std::size_t kLocal = 1, kPeer = 2, kState = 3, kInode = 9;
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) {
    if (line.find(inode) == std::string::npos) continue;
    const std::vector<std::string> words = words_of(line);
    if (words.size() <= kInode || words[kInode] != inode) continue;
    const bool connected = words[kState] != kListening && !words[kPeer].ends_with(":0000");
    return connected ? endpoint(words[kPeer]) : "socket listening on " + endpoint(words[kLocal]);
  }
  return "";
}

std::string unix_socket(const std::string& table, const std::string& inode) {
  constexpr std::size_t kInode = 6, kPath = 7;
  std::istringstream in(table);
  for (std::string line; std::getline(in, line);) {
    if (line.find(inode) == std::string::npos) continue;
    const std::vector<std::string> words = words_of(line);
    if (words.size() <= kInode || words[kInode] != inode) continue;
    return words.size() > kPath ? "unix socket " + words[kPath] : "unix socket";
  }
  return "";
}

std::string descriptor_object(const std::string& folder, int descriptor) {
  const std::string target = link_target(fmt::format("{}/fd/{}", folder, descriptor));
  constexpr std::string_view kSocket = "socket:[";
  if (target.empty()) return fmt::format("descriptor {}", descriptor);
  if (!target.starts_with(kSocket)) return target;
  const std::string inode = target.substr(kSocket.size(), target.size() - kSocket.size() - 1);
  for (const char* name : {"tcp", "tcp6", "udp", "udp6"})
    if (std::string found = internet_socket(file_text(folder + "/net/" + name), inode); !found.empty()) return found;
  const std::string found = unix_socket(file_text(folder + "/net/unix"), inode);
  return found.empty() ? "socket" : found;
}

std::string epoll_object(const std::string& folder, int descriptor) {
  std::istringstream in(file_text(fmt::format("{}/fdinfo/{}", folder, descriptor)));
  std::size_t count = 0;
  for (std::string line; std::getline(in, line);) count += line.starts_with("tfd:");
  return count == 0 ? "" : fmt::format("{} descriptor{}", count, count == 1 ? "" : "s");
}

}  // namespace tailback::tools
