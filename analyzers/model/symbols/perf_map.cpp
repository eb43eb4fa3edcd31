// SPDX-License-Identifier: Apache-2.0
// Reading of perf map files.
#include "analyzers/model/symbols/perf_map.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostBytes = std::size_t{256} << 20;
constexpr std::size_t kMostSymbols = 2'000'000;

bool believable(int fd, std::uint64_t not_before) {
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  if (status.st_uid != geteuid() && status.st_uid != 0) return false;
  return static_cast<std::uint64_t>(status.st_mtime) >= not_before;
}

std::string read_all(int fd) {
  std::string text;
  char buffer[65536];
  ssize_t count = 0;
  while (text.size() < kMostBytes && (count = ::read(fd, buffer, sizeof buffer)) > 0)
    text.append(buffer, static_cast<std::size_t>(count));
  return text;
}

// Takes a hexadecimal number and the blanks behind it from the front of the line.
bool take_number(std::string_view& line, std::uint64_t& value) {
  if (line.starts_with("0x")) line.remove_prefix(2);
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value, 16);
  if (error != std::errc() || end == line.data()) return false;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  const std::size_t blanks = line.find_first_not_of(" \t");
  if (blanks == 0 || blanks == std::string_view::npos) return false;
  line.remove_prefix(blanks);
  return true;
}

}  // namespace

PerfMap PerfMap::read(const std::string& path, std::uint64_t not_before) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return {};
  const std::string text = believable(fd, not_before) ? read_all(fd) : std::string();
  close(fd);
  return parse(text);
}

PerfMap PerfMap::parse(std::string_view text) {
  PerfMap map;
  while (!text.empty() && map.names_.size() < kMostSymbols) {
    const std::size_t length = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    std::uint64_t start = 0, size = 0;
    if (!take_number(line, start) || !take_number(line, size) || size > UINT64_MAX - start) continue;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto place = static_cast<std::uint32_t>(map.names_.size());
    map.intervals_.add(start, start + size, place, place);
    map.names_.emplace_back(line);
  }
  map.intervals_.build();
  return map;
}

const std::string& PerfMap::name(std::uint64_t address) const {
  static const std::string kNone;
  const std::uint32_t found = intervals_.find(address);
  return found == FlatIntervals::kNone ? kNone : names_[found];
}

}  // namespace tailback::analyzers
