// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/dump_append.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "agent/trace/crc32c.h"

namespace tailback::tools {

namespace {

bool write_at(int file, const void* data, std::size_t size, std::uint64_t offset) {
  const auto* from = static_cast<const char*>(data);
  while (size) {
    const ssize_t written = ::pwrite(file, from, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    from += written;
    size -= static_cast<std::size_t>(written);
    offset += static_cast<std::uint64_t>(written);
  }
  return true;
}

template <class T>
bool read_at(int file, T& value, std::uint64_t offset) {
  return ::pread(file, &value, sizeof value, static_cast<off_t>(offset)) == static_cast<ssize_t>(sizeof value);
}

}  // namespace

DumpAppender::DumpAppender(const std::string& path, std::uint64_t most_bytes) : most_bytes_(most_bytes) {
  file_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file_ < 0) {
    error_ = std::strerror(errno);
    return;
  }
  if (!check_header()) {
    error_ = "not a tailback dump of this version";
    ::close(file_);
    file_ = -1;
    return;
  }
  find_end();
}

DumpAppender::~DumpAppender() {
  if (file_ < 0) return;
  flush();
  ::close(file_);
}

bool DumpAppender::check_header() {
  struct stat status {};
  if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode) || !read_at(file_, header_, 0)) return false;
  if (std::memcmp(header_.magic, trace::kMagic, sizeof header_.magic) != 0 || header_.version != trace::kVersion) return false;
  if (header_.header_bytes != trace::kHeaderBytes || header_.block_bytes != trace::kBlockBytes) return false;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  header_.used_bytes =
      std::clamp<std::uint64_t>(header_.used_bytes, trace::kHeaderBytes, std::max<std::uint64_t>(size, trace::kHeaderBytes));
  return size >= trace::kHeaderBytes;
}

// The last block ends with its committed records; everything behind them goes.
void DumpAppender::find_end() {
  std::uint64_t end = header_.used_bytes;
  next_block_ = trace::kHeaderBytes;
  if (end > trace::kHeaderBytes) {
    const std::uint64_t last = end - 1 - (end - 1 - trace::kHeaderBytes) % trace::kBlockBytes;
    next_block_ = last + trace::kBlockBytes;
    trace::BlockHeader block{};
    if (read_at(file_, block, last) && block.magic == trace::kBlockMagic && block.committed <= room_for_records()) {
      end = std::min(end, last + sizeof block + block.committed);
      sequence_ = block.sequence;
    }
  }
  if (set_used(end) && ::ftruncate(file_, static_cast<off_t>(end)) != 0) error_ = std::strerror(errno);
}

bool DumpAppender::set_used(std::uint64_t used) {
  header_.used_bytes = used;
  return write_at(file_, &used, sizeof used, offsetof(trace::FileHeader, used_bytes));
}

bool DumpAppender::flush() {
  if (records_.empty()) return true;
  trace::BlockHeader block{};
  block.magic = trace::kBlockMagic;
  block.committed = static_cast<std::uint32_t>(records_.size());
  block.crc32c = trace::crc32c(records_.data(), records_.size());
  block.sealed = 1;
  block.sequence = ++sequence_;
  const std::uint64_t end = next_block_ + sizeof block + records_.size();
  const bool written = write_at(file_, &block, sizeof block, next_block_) &&
                       write_at(file_, records_.data(), records_.size(), next_block_ + sizeof block) && set_used(end);
  if (!written) {
    error_ = std::strerror(errno);
    [[maybe_unused]] const int cut = ::ftruncate(file_, static_cast<off_t>(header_.used_bytes));
    ::close(file_);
    file_ = -1;
  }
  records_.clear();
  next_block_ += trace::kBlockBytes;
  return written;
}

}  // namespace tailback::tools
