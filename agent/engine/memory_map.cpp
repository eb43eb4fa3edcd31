// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/memory_map.h"

#include <fcntl.h>

#include <cstring>

#include "agent/capture/pages.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constinit char buffer[32 * 1024];  // at the end of the process, or in a test

bool has_flag(std::string_view flags, std::string_view flag) {
  for (Scanner scanner(flags); !scanner.empty();)
    if (scanner.word() == flag) return true;
  return false;
}

}  // namespace

bool MemoryMap::read() {
  if (!regions_) regions_ = static_cast<MemoryRegion*>(capture::map_own_pages(kMostRegions * sizeof(MemoryRegion)));
  if (!regions_) return false;
  count_ = 0;
  own_bytes_ = 0;
  overflowed_ = false;
  const long fd = sys::openat(AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC);
  if (sys::failed(fd)) return false;
  std::size_t kept = 0;
  for (long got; (got = sys::read(static_cast<int>(fd), buffer + kept, sizeof buffer - kept)) > 0;) {
    const std::size_t filled = kept + static_cast<std::size_t>(got);
    std::size_t used = 0;
    while (used < filled) {
      const auto* end = static_cast<const char*>(std::memchr(buffer + used, '\n', filled - used));
      if (!end) break;
      const std::size_t length = static_cast<std::size_t>(end - buffer) - used;
      take_line({buffer + used, length});
      used += length + 1;
    }
    kept = filled - used;
    if (kept == sizeof buffer) kept = 0;  // no line is that long; go on rather than stop
    std::memmove(buffer, buffer + used, kept);
  }
  sys::close(static_cast<int>(fd));
  return count_ != 0 && !overflowed_;
}

void MemoryMap::release() {
  capture::unmap_pages(regions_, kMostRegions * sizeof(MemoryRegion));
  *this = MemoryMap();
}

// "7f0c40000000-7f0c40021000 rw-p 00000000 00:00 0    [name]", then lines "Key: value", the last one "VmFlags: ...".
void MemoryMap::take_line(std::string_view line) {
  if (line.empty()) return;
  const bool key = line[0] >= 'A' && line[0] <= 'Z';  // addresses are in lower case
  if (!key) return begin_region(line);
  constexpr std::uint64_t kKib = 1024;
  if (line.starts_with("Rss:") || line.starts_with("Swap:")) listed_.region.resident += Scanner(line).number() * kKib;
  else if (line.starts_with("Anonymous:")) listed_.anonymous_kib = Scanner(line).number();
  else if (line.starts_with("VmFlags:")) end_region(std::string_view(line.data() + 8, line.size() - 8));
}

void MemoryMap::begin_region(std::string_view line) {
  Scanner scanner(line);
  listed_ = {};
  listed_.region.start = scanner.hex();
  scanner.skip_past("-");
  listed_.region.end = scanner.hex();
  const auto protection = scanner.word();
  scanner.word();
  scanner.word();
  const bool of_a_file = scanner.word() != "0";
  const auto name = scanner.word();
  if (protection.size() < 4) return;
  listed_.readable = protection[0] == 'r';
  listed_.writable = protection[1] == 'w';
  listed_.region.anonymous = !of_a_file && protection[3] == 'p';
  listed_.region.heap = name == "[heap]";
}

// Memory that is read-only now may have been written before (RELRO; a program that protects its tables): it has pages of its own then.
void MemoryMap::end_region(std::string_view flags) {
  MemoryRegion& region = listed_.region;
  const bool device = has_flag(flags, "io") || has_flag(flags, "pf");
  if (!listed_.readable || region.resident == 0 || device || !(listed_.writable || listed_.anonymous_kib)) return;
  region.own = region.anonymous && has_flag(flags, "wf") && has_flag(flags, "nr");
  region.plain = region.anonymous && !has_flag(flags, "um") && !has_flag(flags, "uw") && !has_flag(flags, "ui");
  if (region.own) own_bytes_ += region.end - region.start;
  if (count_ == kMostRegions) overflowed_ = true;
  else regions_[count_++] = region;
}

const MemoryRegion* MemoryMap::find(std::uint64_t address) const {
  std::uint32_t low = 0, high = count_;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (regions_[middle].end <= address) low = middle + 1;
    else high = middle;
  }
  return low < count_ && regions_[low].holds(address) ? &regions_[low] : nullptr;
}

}  // namespace tailback::engine
