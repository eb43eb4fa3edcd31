// SPDX-License-Identifier: Apache-2.0
#include "tools/live/agent_channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "tools/command.h"
#include "tools/live/proc_files.h"

namespace tailback::tools {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{5}, kPatience{2000}, kPatienceWithOne{150};  // the agent's thread looks four times a second

// Path of a mapping that may be a dump, as the process knows it: a file mapped shared from its begin on, which may be written. Empty: it is none.
std::string candidate(const std::string& line) {
  std::istringstream words(line);
  std::string range, rights, offset, device, inode, path;
  words >> range >> rights >> offset >> device >> inode >> std::ws;
  std::getline(words, path);
  return rights == "rw-s" && offset.find_first_not_of('0') == std::string::npos && path.starts_with('/') ? path : "";
}

// The file by a path of this process: the same path, or, from another root folder, through the kernel's link to it.
std::string reachable(pid_t pid, const std::string& path) {
  const std::string link = fmt::format("/proc/{}/root{}", pid, path);
  struct stat here {}, there {};
  const bool same = ::stat(path.c_str(), &here) == 0 && ::stat(link.c_str(), &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
  return same ? path : link;
}

// The pid as the process itself knows it, which its dump holds: the last of those in nested namespaces.
std::uint32_t own_pid(pid_t pid) {
  const std::string pids = status_field(file_text(fmt::format("/proc/{}/status", pid)), "NSpid");
  return pids.empty() ? static_cast<std::uint32_t>(pid) : static_cast<std::uint32_t>(std::stoul(pids.substr(pids.find_last_of("\t ") + 1)));
}

// The header in a mapping; nullptr: the file is no dump of this process. Devices are mapped shared too, and not to be opened.
trace::FileHeader* map_header(const std::string& path, std::uint32_t pid, int& error) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return nullptr;
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return error = errno, nullptr;
  void* at = ::mmap(nullptr, trace::kHeaderBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const bool whole = ::fstat(file, &status) == 0 && status.st_size >= static_cast<off_t>(trace::kHeaderBytes);
  ::close(file);
  if (at == MAP_FAILED) return nullptr;
  auto* header = static_cast<trace::FileHeader*>(at);
  if (whole && std::memcmp(header->magic, trace::kMagic, sizeof header->magic) == 0 && header->version == trace::kVersion && header->pid == pid) return header;
  ::munmap(at, trace::kHeaderBytes);
  return nullptr;
}

std::ifstream memory_map(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/maps", pid);
  std::ifstream maps(path);
  if (maps) return maps;
  if (errno == ENOENT) throw Failure(kFailed, fmt::format("there is no process {}; 'ps -e' lists those there are", pid));
  throw Failure(kFailed, fmt::format("process {} cannot be looked at: {}; run this as the user who started it, or as root", pid, std::strerror(errno)));
}

}  // namespace

std::optional<AgentChannel> AgentChannel::to(pid_t pid) {
  std::ifstream maps = memory_map(pid);
  const std::uint32_t known_as = own_pid(pid);
  std::string refused;
  int error = 0;
  for (std::string line; std::getline(maps, line);) {
    const std::string mapped = candidate(line);
    if (mapped.empty()) continue;
    const std::string path = reachable(pid, mapped);
    error = 0;
    if (trace::FileHeader* header = map_header(path, known_as, error)) return AgentChannel(pid, path, header);
    if (error && path.find(".tbk") != std::string::npos) refused = fmt::format("{}: {}", path, std::strerror(error));
  }
  if (!refused.empty())
    throw Failure(kFailed, fmt::format("the dump of process {} cannot be written: {}; run this as the user who started the recording, or as root", pid, refused));
  return std::nullopt;
}

pid_t process_id(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0)
    throw Failure(kWrongUsage, fmt::format("'{}' is no process id; it takes the number of a process, as 'pgrep -a NAME' prints it", text));
  return pid;
}

AgentChannel recorded(pid_t pid) {
  if (auto agent = AgentChannel::to(pid)) return std::move(*agent);
  throw Failure(kFailed, fmt::format("process {} is not being recorded, or has not done anything worth a dump yet; start it by 'tailback record'", pid));
}

AgentChannel::AgentChannel(AgentChannel&& other) noexcept
    : pid_(other.pid_), dump_(std::move(other.dump_)), header_(std::exchange(other.header_, nullptr)) {}

AgentChannel::~AgentChannel() {
  if (header_) ::munmap(header_, trace::kHeaderBytes);
}

bool AgentChannel::ended() const {
  return std::atomic_ref(header_->state).load(std::memory_order_acquire) == static_cast<std::uint32_t>(trace::FileState::ended);
}

milliseconds AgentChannel::patience() const { return task_ids(pid_).size() > 1 ? kPatience : kPatienceWithOne; }

std::optional<std::uint32_t> AgentChannel::ask(trace::RequestKind kind) {
  trace::Request& request = header_->requests[static_cast<std::uint32_t>(kind)];
  const std::uint32_t number = std::atomic_ref(request.wanted).fetch_add(1, std::memory_order_acq_rel) + 1;
  const auto end = std::chrono::steady_clock::now() + patience();
  while (std::chrono::steady_clock::now() < end && !ended()) {
    const std::uint32_t done = std::atomic_ref(request.done).load(std::memory_order_acquire);
    if (static_cast<std::int32_t>(done - number) >= 0) return done;
    std::this_thread::sleep_for(kLook);
  }
  return std::nullopt;
}

}  // namespace tailback::tools
