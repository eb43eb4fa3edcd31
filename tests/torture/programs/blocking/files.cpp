// SPDX-License-Identifier: Apache-2.0
// Calls on files and folders. Some wait for memory that is not there; some for the kernel's lock on a file or a folder, which another
// thread holds while it waits for such memory; named pipes wait for the other end; flushing takes as long as the disk takes.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <thread>

#include "tests/torture/programs/blocking/absent_page.h"
#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

int new_file(const std::string& path, std::size_t bytes) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  require(file >= 0, path.c_str());
  const std::string content(bytes, 'x');
  require(write(file, content.data(), bytes) == static_cast<ssize_t>(bytes), "write");
  return file;
}

void with_absent_memory(Stage& stage, const char* name, const char* kind, const std::function<bool(void*)>& call) {
  const AbsentPage page;
  stage.block(name, kind, [&] { return call(page.address()); }, [&](pthread_t) { page.provide(); });
}

void positioned(Stage& stage, const Scratch& scratch) {
  const int file = new_file(scratch.path("positioned"), 8192);
  const auto vector = [](void* memory) { return iovec{memory, 100}; };
  with_absent_memory(stage, "pread", "pread", [&](void* memory) { return pread(file, memory, 100, 10) == 100; });
  with_absent_memory(stage, "preadv", "pread", [&](void* memory) {
    const iovec one = vector(memory);
    return preadv(file, &one, 1, 10) == 100;
  });
  with_absent_memory(stage, "preadv2", "pread", [&](void* memory) {
    const iovec one = vector(memory);
    return preadv2(file, &one, 1, 10, 0) == 100;
  });
  with_absent_memory(stage, "pwrite", "pwrite", [&](void* memory) { return pwrite(file, memory, 100, 10) == 100; });
  with_absent_memory(stage, "pwritev", "pwrite", [&](void* memory) {
    const iovec one = vector(memory);
    return pwritev(file, &one, 1, 10) == 100;
  });
  with_absent_memory(stage, "pwritev2", "pwrite", [&](void* memory) {
    const iovec one = vector(memory);
    return pwritev2(file, &one, 1, 10, 0) == 100;
  });
  close(file);
}

void attributes(Stage& stage, const Scratch& scratch) {
  const std::string path = scratch.path("positioned");
  const int file = open(path.c_str(), O_RDONLY);
  const auto filled = [](int result, const void* memory) {
    return result == 0 && static_cast<const struct stat*>(memory)->st_size == 8192;
  };
  const auto as_stat = [](void* memory) { return static_cast<struct stat*>(memory); };
  with_absent_memory(stage, "stat", "stat", [&](void* memory) { return filled(stat(path.c_str(), as_stat(memory)), memory); });
  with_absent_memory(stage, "lstat", "stat", [&](void* memory) { return filled(lstat(path.c_str(), as_stat(memory)), memory); });
  with_absent_memory(stage, "fstat", "stat", [&](void* memory) { return filled(fstat(file, as_stat(memory)), memory); });
  with_absent_memory(stage, "fstatat", "stat",
                     [&](void* memory) { return filled(fstatat(AT_FDCWD, path.c_str(), as_stat(memory), 0), memory); });
  with_absent_memory(stage, "statx", "stat", [&](void* memory) {
    return statx(AT_FDCWD, path.c_str(), 0, STATX_SIZE, static_cast<struct statx*>(memory)) == 0 &&
           static_cast<struct statx*>(memory)->stx_size == 8192;
  });
  close(file);
}

// `hold` keeps the kernel's lock on the object until its memory is there.
void while_held(Stage& stage, const char* name, const char* kind, const std::function<void(void*)>& hold,
                const std::function<bool()>& call) {
  const AbsentPage page;
  std::thread holder([&] { hold(page.address()); });
  sleep_ms(10);
  stage.block(name, kind, call, [&](pthread_t) { page.provide(); });
  holder.join();
}

void behind_a_writer(Stage& stage, const Scratch& scratch) {
  const std::string path = scratch.path("written");
  const int file = new_file(path, 8192), source = new_file(scratch.path("source"), 8192);
  const auto write_slowly = [&](void* memory) { require(pwrite(file, memory, 1, 0) == 1, "pwrite"); };
  while_held(stage, "ftruncate", "truncate", write_slowly, [&] { return ftruncate(file, 4096) == 0; });
  while_held(stage, "truncate", "truncate", write_slowly, [&] { return truncate(path.c_str(), 8192) == 0; });
  while_held(stage, "copy_file_range", "copy_file_range", write_slowly, [&] {
    off_t from = 0, to = 0;
    return copy_file_range(source, &from, file, &to, 4096, 0) == 4096;
  });
  while_held(stage, "open_truncating", "open", write_slowly, [&] {
    const int again = open(path.c_str(), O_WRONLY | O_TRUNC);
    return again >= 0 && close(again) == 0;
  });
  close(file);
  close(source);
}

void behind_a_lister(Stage& stage, const Scratch& scratch) {
  const int folder = open(scratch.folder().c_str(), O_RDONLY | O_DIRECTORY);
  const auto list_slowly = [&](void* memory) {
    lseek(folder, 0, SEEK_SET);
    require(syscall(SYS_getdents64, folder, memory, AbsentPage::kBytes) > 0, "getdents64");
  };
  const std::string path = scratch.path("entry"), other = scratch.path("other");
  const auto held = [&](const char* name, const char* kind, const std::function<bool()>& call) {
    while_held(stage, name, kind, list_slowly, call);
  };
  held("mkdir", "mkdir", [&] { return mkdir(path.c_str(), 0700) == 0; });
  held("rename", "rename", [&] { return rename(path.c_str(), other.c_str()) == 0; });
  held("rmdir", "unlink", [&] { return rmdir(other.c_str()) == 0; });
  held("mkdirat", "mkdir", [&] { return mkdirat(folder, "entry", 0700) == 0; });
  held("renameat", "rename", [&] { return renameat(folder, "entry", folder, "other") == 0; });
  held("renameat2", "rename", [&] { return renameat2(folder, "other", folder, "entry", RENAME_NOREPLACE) == 0; });
  held("unlinkat", "unlink", [&] { return unlinkat(folder, "entry", AT_REMOVEDIR) == 0; });
  close(new_file(path, 1));
  held("unlink", "unlink", [&] { return unlink(path.c_str()) == 0; });
  close(folder);
}

// The C library fills the buffer of an open folder, all of it behind one page of the kernel's making.
void listings(Stage& stage, const Scratch& scratch) {
  const std::string full = scratch.path("full");
  require(mkdir(full.c_str(), 0700) == 0, "mkdir");
  for (int i = 0; i < 400; ++i) close(new_file(full + "/entry-with-a-longer-name-" + std::to_string(i), 1));
  DIR* const folder = opendir(full.c_str());
  require(folder, "opendir");
  const auto second_page = (reinterpret_cast<std::uintptr_t>(folder) + 2 * AbsentPage::kBytes - 1) & ~(AbsentPage::kBytes - 1);
  const AbsentPage page(reinterpret_cast<void*>(second_page));
  stage.block("readdir", "readdir", [&] { return readdir(folder) != nullptr; }, [&](pthread_t) { page.provide(); });
  closedir(folder);
}

void fifos(Stage& stage, const Scratch& scratch) {
  const std::string path = scratch.path("fifo");
  require(mkfifo(path.c_str(), 0600) == 0, "mkfifo");
  int other = -1, opened = -1;
  const auto reader_comes = [&](pthread_t) { other = open(path.c_str(), O_RDONLY | O_NONBLOCK); };
  const auto writer_comes = [&](pthread_t) { other = open(path.c_str(), O_WRONLY | O_NONBLOCK); };
  const auto fifo = [&](const char* name, const std::function<int()>& call, const std::function<void(pthread_t)>& end) {
    stage.block(name, "open", [&] { return (opened = call()) >= 0; }, end);
    close(opened);
    close(other);
  };
  fifo("open", [&] { return open(path.c_str(), O_RDONLY); }, writer_comes);
  fifo("openat", [&] { return openat(AT_FDCWD, path.c_str(), O_WRONLY); }, reader_comes);
  fifo("open64", [&] { return open64(path.c_str(), O_WRONLY | O_CREAT, 0600); }, reader_comes);
  fifo("creat", [&] { return creat(path.c_str(), 0600); }, reader_comes);
}

void flushes(Stage& stage, const Scratch& scratch) {
  constexpr std::size_t kBytes = 4 << 20;
  const auto flush = [&](const char* name, const char* kind, const std::function<bool(int)>& call) {
    const int file = new_file(scratch.path("flushed"), kBytes);
    stage.measure(name, kind, [&] { return call(file); });
    close(file);
  };
  flush("fsync", "fsync", [](int file) { return fsync(file) == 0; });
  flush("fdatasync", "fdatasync", [](int file) { return fdatasync(file) == 0; });
  flush("sync_file_range", "sync_file_range", [](int file) {
    return sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0;
  });
  const int file = new_file(scratch.path("mapped"), kBytes);
  void* const mapping = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  for (std::size_t at = 0; at < kBytes; at += 4096) static_cast<char*>(mapping)[at] = 'y';
  stage.measure("msync", "msync", [&] { return msync(mapping, kBytes, MS_SYNC) == 0; });
  munmap(mapping, kBytes);
  close(file);
}

}  // namespace

void block_on_files(Stage& stage) {
  const Scratch scratch;
  fifos(stage, scratch);
  flushes(stage, scratch);
  if (!AbsentPage::possible()) return stage.skip("files", "userfaultfd is not allowed");
  positioned(stage, scratch);
  attributes(stage, scratch);
  behind_a_writer(stage, scratch);
  behind_a_lister(stage, scratch);
  listings(stage, scratch);
}

}  // namespace blocking
