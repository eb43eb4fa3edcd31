// SPDX-License-Identifier: Apache-2.0
#include "tools/live/target_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace tailback::tools {

namespace {

constexpr std::uint64_t kPage = 4096;

}  // namespace

TargetMemory::TargetMemory(const std::string& task_folder)
    : file_(::open((task_folder + "/mem").c_str(), O_RDONLY | O_CLOEXEC)) {}

TargetMemory::~TargetMemory() {
  if (file_ >= 0) ::close(file_);
}

void TargetMemory::copy(Copies& copies, std::uint64_t address, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  const ssize_t got = ::pread(file_, bytes.data(), size, static_cast<off_t>(address));
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  if (!bytes.empty()) copies[address] = std::move(bytes);
}

void TargetMemory::copy_stack(std::uint64_t address, std::size_t size) { copy(stacks_, address, size); }
void TargetMemory::copy_words(std::uint64_t address, std::size_t size) { copy(words_, address, size); }

bool TargetMemory::read_copy(const Copies& copies, std::uint64_t address, void* to, std::size_t size) {
  const auto next = copies.upper_bound(address);
  if (next == copies.begin()) return false;
  const auto& [start, bytes] = *std::prev(next);
  if (address - start > bytes.size() || size > bytes.size() - (address - start)) return false;
  std::memcpy(to, bytes.data() + (address - start), size);
  return true;
}

const std::vector<std::uint8_t>& TargetMemory::page(std::uint64_t start) {
  const auto [entry, is_new] = pages_.try_emplace(start);
  if (is_new) {
    entry->second.resize(kPage);
    if (::pread(file_, entry->second.data(), kPage, static_cast<off_t>(start)) != static_cast<ssize_t>(kPage))
      entry->second.clear();
  }
  return entry->second;
}

bool TargetMemory::read(std::uint64_t address, void* to, std::size_t size) {
  if (read_copy(words_, address, to, size) || read_copy(stacks_, address, to, size)) return true;
  for (auto* out = static_cast<std::uint8_t*>(to); size > 0;) {
    const std::uint64_t start = address & ~(kPage - 1);
    const std::vector<std::uint8_t>& bytes = page(start);
    if (bytes.empty()) return false;
    const std::size_t part = std::min<std::size_t>(size, kPage - (address - start));
    std::memcpy(out, bytes.data() + (address - start), part);
    out += part, address += part, size -= part;
  }
  return true;
}

}  // namespace tailback::tools
