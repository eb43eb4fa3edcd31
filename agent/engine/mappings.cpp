// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/mappings.h"

#include <fcntl.h>

#include <cstring>

#include "agent/capture/syscalls.h"
#include "agent/engine/text.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constinit char buffer[16 * 1024];

// "7f0c40000000-7f0c40021000 r-xp 00000000 00:00 0    [name]"
void write_line(DumpFile& dump, std::string_view line) {
  Scanner scanner(line);
  trace::Mapping mapping;
  mapping.start = scanner.hex();
  if (!scanner.skip_past("-")) return;
  mapping.end = scanner.hex();
  const auto protection = scanner.word();
  if (protection.size() < 3 || protection[2] != 'x') return;
  scanner.word();
  scanner.word();
  const auto inode = scanner.word();
  const auto name = scanner.word();
  const bool of_a_file = inode != "0" && !name.starts_with("/memfd:") && !name.starts_with("/dev/zero");
  if (of_a_file || name == "[vdso]" || name == "[vsyscall]") return;
  mapping.name = name;
  dump.append(mapping);
}

template <class Take>
void each_line(Take&& take) {
  const long fd = sys::openat(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (sys::failed(fd)) return;
  std::size_t kept = 0;
  for (long got; (got = sys::read(static_cast<int>(fd), buffer + kept, sizeof buffer - kept)) > 0;) {
    const std::size_t filled = kept + static_cast<std::size_t>(got);
    std::size_t begin = 0;
    for (std::size_t i = 0; i < filled; ++i) {
      if (buffer[i] != '\n') continue;
      take(std::string_view(buffer + begin, i - begin));
      begin = i + 1;
    }
    kept = filled - begin;
    if (kept == sizeof buffer) kept = 0;  // no line is that long; go on rather than stop
    std::memmove(buffer, buffer + begin, kept);
  }
  sys::close(static_cast<int>(fd));
}

}  // namespace

void write_executable_mappings(DumpFile& dump) {
  each_line([&](std::string_view line) { write_line(dump, line); });
}

bool is_shared_memory(std::uint64_t address) {
  bool is_private = false;
  each_line([&](std::string_view line) {
    Scanner scanner(line);
    const std::uint64_t start = scanner.hex();
    if (address < start || !scanner.skip_past("-") || address >= scanner.hex()) return;
    const auto protection = scanner.word();
    is_private |= protection.size() > 3 && protection[3] == 'p';
  });
  return !is_private;
}

}  // namespace tailback::engine
