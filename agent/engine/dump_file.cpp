// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/dump_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>

#include "agent/capture/pages.h"
#include "agent/engine/text.h"
#include "agent/trace/crc32c.h"

namespace tailback::engine {

namespace sys = capture::sys;

namespace {

constexpr std::uint64_t kSmallestDump = 1 << 20;
constexpr std::uint64_t kReserveBytes = 2 * trace::kBlockBytes;
constexpr int kMadvPopulateWrite = 23;  // Linux 5.14

template <class T>
void store_release(T& where, T value) {
  std::atomic_ref<T>(where).store(value, std::memory_order_release);
}

trace::BlockHeader& header_of(std::uint8_t* block) { return *reinterpret_cast<trace::BlockHeader*>(block); }

// Growing a file beyond RLIMIT_FSIZE raises SIGXFSZ, which kills: stay below it.
std::uint64_t below_file_size_limit(std::uint64_t bytes) {
  rlimit limit{};
  if (sys::failed(sys::call(__NR_prlimit64, 0, RLIMIT_FSIZE, 0, sys::arg(&limit)))) return bytes;
  return limit.rlim_cur < bytes ? limit.rlim_cur & ~std::uint64_t{4095} : bytes;
}

bool is_same_file(int one, int other) {
  struct stat first {}, second {};
  return !sys::failed(sys::call(__NR_fstat, one, sys::arg(&first))) && !sys::failed(sys::call(__NR_fstat, other, sys::arg(&second))) && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

long write_whole(int fd, const trace::FileHeader& header) {
  const long written = sys::call(__NR_pwrite64, fd, sys::arg(&header), sizeof header, 0);
  return sys::failed(written) ? written : written == static_cast<long>(sizeof header) ? 0 : -ENOSPC;
}

}  // namespace

// `take` with `path`, or the first of path.1, path.2, ... that it does not find taken.
template <class Take>
long DumpFile::take_free_name(const char* path, Take take) {
  long result = -EEXIST;
  for (unsigned suffix = 0; suffix < 100000 && result == -EEXIST; ++suffix) {
    Text name(path_, sizeof path_);
    name.add(path);
    if (suffix) name.add(".").add_number(suffix);
    if (name.overflowed()) return -ENAMETOOLONG;
    result = take();
  }
  return result;
}

long DumpFile::open_named(const char* path) {
  return take_free_name(path, [this] { return sys::openat(AT_FDCWD, path_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600); });
}

// In the same directory, for a name later.
long DumpFile::open_unnamed(const char* path) {
  const char* const slash = std::strrchr(path, '/');
  Text directory(path_, sizeof path_);
  if (slash) directory.add({path, static_cast<std::size_t>(slash + 1 - path)});
  else directory.add(".");
  return directory.overflowed() ? -ENAMETOOLONG : sys::openat(AT_FDCWD, path_, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

// Opened once more by its new name, which the process's memory map shows then: by that a recorded process is found.
long DumpFile::give_name(int unnamed, const char* path) {
  char file_buffer[32];
  Text file(file_buffer, sizeof file_buffer);
  file.add("/proc/self/fd/").add_number(static_cast<unsigned>(unnamed));
  const long linked =
      take_free_name(path, [&] { return sys::call(__NR_linkat, AT_FDCWD, sys::arg(file_buffer), AT_FDCWD, sys::arg(path_), AT_SYMLINK_FOLLOW); });
  if (sys::failed(linked)) return linked;
  const long fd = sys::openat(AT_FDCWD, path_, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (sys::failed(fd)) sys::call(__NR_unlink, sys::arg(path_));
  if (sys::failed(fd) || is_same_file(unnamed, static_cast<int>(fd))) return fd;
  sys::close(static_cast<int>(fd));
  return -ESTALE;
}

// A new file that begins with `header`. It has its name only when that is in it, so that whoever is killed meanwhile leaves nothing that
// cannot be read; where the file system or a missing /proc does not allow that, the name comes first.
long DumpFile::open_new(const char* path, const trace::FileHeader& header) {
  const long unnamed = open_unnamed(path);
  long fd = unnamed;
  if (!sys::failed(unnamed)) {
    fd = write_whole(static_cast<int>(unnamed), header);
    if (!sys::failed(fd)) fd = give_name(static_cast<int>(unnamed), path);
    sys::close(static_cast<int>(unnamed));
  }
  if (!sys::failed(fd)) return fd;
  fd = open_named(path);
  const long written = sys::failed(fd) ? fd : write_whole(static_cast<int>(fd), header);
  if (!sys::failed(written)) return fd;
  if (!sys::failed(fd)) {
    sys::call(__NR_unlink, sys::arg(path_));
    sys::close(static_cast<int>(fd));
  }
  return written;
}

long DumpFile::create(const char* path, std::uint64_t max_bytes, std::uint32_t pid, std::uint64_t started_realtime_ns) {
  max_bytes = below_file_size_limit(capture::round_to_pages(max_bytes));
  if (max_bytes < trace::kHeaderBytes + trace::kBlockBytes) return -EFBIG;
  trace::FileHeader header{};
  std::memcpy(header.magic, trace::kMagic, sizeof header.magic);
  header.version = trace::kVersion;
  header.header_bytes = trace::kHeaderBytes;
  header.block_bytes = trace::kBlockBytes;
  header.pid = pid;
  header.started_realtime_ns = started_realtime_ns;
  const long fd = open_new(path, header);
  if (sys::failed(fd)) return fd;
  const long mapped = map(static_cast<int>(fd), max_bytes);
  if (sys::failed(mapped)) sys::call(__NR_unlink, sys::arg(path_));
  else state_ = begin_block(trace::kHeaderBytes) ? DumpState::open : DumpState::full;
  sys::close(static_cast<int>(fd));
  return sys::failed(mapped) ? mapped : 0;
}

// Up to `max_bytes` of it, with pages behind the first block.
long DumpFile::map(int fd, std::uint64_t max_bytes) {
  long result = -ENOMEM;
  for (; max_bytes >= trace::kHeaderBytes + trace::kBlockBytes; max_bytes /= 4) {  // address space may be limited
    result = sys::call(__NR_ftruncate, fd, static_cast<long>(max_bytes));
    if (sys::failed(result)) return result;
    result = sys::mmap(nullptr, max_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (!sys::failed(result) || max_bytes < kSmallestDump) break;
  }
  if (sys::failed(result)) return result;
  struct stat status {};
  if (!sys::failed(sys::call(__NR_fstat, fd, sys::arg(&status)))) device_ = status.st_dev, inode_ = status.st_ino;
  file_ = reinterpret_cast<std::uint8_t*>(result);
  mapped_bytes_ = max_bytes;
  limit_bytes_ = max_bytes > 2 * kReserveBytes ? max_bytes - kReserveBytes : max_bytes;
  populated_bytes_ = 0;
  sequence_ = 0;
  // Else the first fault reads ahead in the hole: 1.6 ms and hundreds of pages on ext4, where 0.08 ms do.
  sys::madvise(file_, mapped_bytes_, MADV_RANDOM);
  if (populate(0, trace::kHeaderBytes + trace::kBlockBytes)) return 0;
  abandon();
  return -ENOSPC;
}

// Backs [offset, offset + size) with pages of the file. On a kernel without MADV_POPULATE_WRITE nothing is guaranteed, so
// the dump counts as full: better no data than a SIGBUS in the program.
bool DumpFile::populate(std::uint64_t offset, std::uint64_t size) {
  if (offset + size > limit_bytes_) return false;
  if (offset + size <= populated_bytes_) return true;
  const std::uint64_t from = populated_bytes_;
  if (sys::failed(sys::madvise(file_ + from, capture::round_to_pages(offset + size - from), kMadvPopulateWrite))) return false;
  populated_bytes_ = capture::round_to_pages(offset + size);
  return true;
}

bool DumpFile::begin_block(std::uint64_t offset) {
  if (!populate(offset, trace::kBlockBytes)) return false;
  block_ = file_ + offset;
  block_offset_ = offset;
  committed_ = 0;
  auto& header = header_of(block_);
  header.magic = trace::kBlockMagic;
  header.sequence = ++sequence_;
  store_release(reinterpret_cast<trace::FileHeader*>(file_)->used_bytes, offset + trace::kBlockBytes);
  return true;
}

void DumpFile::commit(std::size_t size) {
  committed_ += static_cast<std::uint32_t>(size);
  store_release(header_of(block_).committed, committed_);
}

void DumpFile::seal() {
  auto& header = header_of(block_);
  header.crc32c = trace::crc32c(block_ + sizeof(trace::BlockHeader), committed_);
  store_release(header.sealed, 1u);
}

void DumpFile::next_block() {
  seal();
  const std::uint64_t done = block_offset_;
  if (!begin_block(done + trace::kBlockBytes)) {
    state_ = DumpState::full;
    return;
  }
  // The sealed block need not stay resident: the file has it. Its first page may be shared with the block before.
  sys::madvise(file_ + done, trace::kBlockBytes, MADV_DONTNEED);
}

void DumpFile::open_reserve() {
  limit_bytes_ = mapped_bytes_;
  if (state_ == DumpState::full && begin_block(block_offset_ + trace::kBlockBytes)) state_ = DumpState::open;
}

void DumpFile::count_deadlock() {
  if (!file_) return;
  std::uint32_t& deadlocks = reinterpret_cast<trace::FileHeader*>(file_)->deadlocks;
  store_release(deadlocks, deadlocks + 1);
}

std::uint32_t DumpFile::requested(trace::RequestKind kind) const {
  if (state_ == DumpState::closed) return 0;
  auto& request = reinterpret_cast<trace::FileHeader*>(file_)->requests[static_cast<std::uint32_t>(kind)];
  const std::uint32_t wanted = std::atomic_ref(request.wanted).load(std::memory_order_acquire);
  return wanted == request.done ? 0 : wanted;
}

void DumpFile::answer(trace::RequestKind kind, std::uint32_t number) {
  if (file_) store_release(reinterpret_cast<trace::FileHeader*>(file_)->requests[static_cast<std::uint32_t>(kind)].done, number);
}

void DumpFile::finish() {
  if (state_ == DumpState::closed) return;
  if (state_ == DumpState::open) seal();  // a full dump's last block is sealed already
  auto& header = *reinterpret_cast<trace::FileHeader*>(file_);
  const std::uint64_t used = used_bytes();
  store_release(header.used_bytes, used);
  store_release(header.state, static_cast<std::uint32_t>(trace::FileState::ended));
  state_ = DumpState::closed;
  const long fd = sys::openat(AT_FDCWD, path_, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (sys::failed(fd)) return;
  struct stat status {};
  const bool ours = !sys::failed(sys::call(__NR_fstat, fd, sys::arg(&status))) && status.st_dev == device_ && status.st_ino == inode_;
  if (ours) sys::call(__NR_ftruncate, fd, static_cast<long>(used));
  sys::close(static_cast<int>(fd));
}

void DumpFile::discard() {
  if (state_ == DumpState::closed) return;
  sys::call(__NR_unlink, sys::arg(path_));
  state_ = DumpState::closed;
}

void DumpFile::hide_unused() {
  if (file_) sys::call(__NR_mprotect, sys::arg(file_ + populated_bytes_), static_cast<long>(mapped_bytes_ - populated_bytes_), PROT_NONE);
}

void DumpFile::show_unused() {
  if (!file_) return;
  sys::call(__NR_munlock, sys::arg(file_), static_cast<long>(mapped_bytes_));
  sys::call(__NR_mprotect, sys::arg(file_ + populated_bytes_), static_cast<long>(mapped_bytes_ - populated_bytes_), PROT_READ | PROT_WRITE);
}

void DumpFile::abandon() {
  if (file_) sys::munmap(file_, mapped_bytes_);
  file_ = nullptr;
  state_ = DumpState::closed;
}

}  // namespace tailback::engine
