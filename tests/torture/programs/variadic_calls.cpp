// SPDX-License-Identifier: Apache-2.0
// Functions whose arguments depend on others: open with and without a mode, fcntl and ioctl with every kind of argument, the printf and
// scanf families, syscall, execl; with the names of 64-bit offsets. Prints what came of each. Built again with
// _FILE_OFFSET_BITS=64 and with _FORTIFY_SOURCE=2, which call other names for the same.
#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#include <cstdarg>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/waiting.h"

namespace {

using programs::Ends;

// The compiler must not know sizes, or it would not call the checking names.
template <class Value>
Value opaque(Value value) {
  __asm__ volatile("" : "+r"(value));
  return value;
}

void say(const char* what, long result, const char* more = "") {
  std::printf("%s: %ld%s%s %s\n", what, result, result < 0 ? " " : "", result < 0 ? strerrorname_np(errno) : "", more);
}

long mode_of(int file) {
  struct stat about {};
  fstat(file, &about);
  close(file);
  return about.st_mode & 07777;
}

void opens(const programs::Scratch& scratch) {
  umask(0);
  const std::string path = scratch.path("mode");
  const char* const name = path.c_str();
  const int folder = open(scratch.folder().c_str(), O_RDONLY | O_DIRECTORY);
  say("open with a mode", mode_of(open(name, O_RDWR | O_CREAT, 0741)));
  say("open without", mode_of(open(name, opaque(O_RDWR))));
  say("openat without", mode_of(openat(folder, "mode", opaque(O_RDONLY))));
  say("openat with a mode", mode_of(openat(folder, "at", O_RDWR | O_CREAT | O_EXCL, 0604)));
  say("openat of what exists", openat(folder, "at", O_RDWR | O_CREAT | O_EXCL, 0604));
  say("open64 with a mode", mode_of(open64(scratch.path("64").c_str(), O_RDWR | O_CREAT, 0426)));
  say("openat64 with a mode", mode_of(openat64(folder, "at64", O_RDWR | O_CREAT, 0517)));
  say("creat", mode_of(creat(scratch.path("creat").c_str(), 0333)));
  say("creat64", mode_of(creat64(scratch.path("creat64").c_str(), 0222)));
  say("without a name", mode_of(open(scratch.folder().c_str(), O_TMPFILE | O_RDWR, 0640)));
  const std::string queue = "/variadic-" + std::to_string(getpid());
  const mqd_t opened = mq_open(queue.c_str(), O_RDWR | O_CREAT, 0650, nullptr);
  say("mq_open", mode_of(opened));
  mq_unlink(queue.c_str());
  sem_t* const semaphore = sem_open(queue.c_str(), O_CREAT, 0660, 3);
  int value = 0;
  sem_getvalue(semaphore, &value);
  say("sem_open", value);
  sem_close(semaphore);
  sem_unlink(queue.c_str());
  close(folder);
}

void controls(const programs::Scratch& scratch) {
  const Ends pipes = Ends::of_pipe();
  const int file = open(scratch.path("control").c_str(), O_RDWR | O_CREAT | O_APPEND, 0600);
  say("F_GETFL", fcntl(file, F_GETFL) & (O_ACCMODE | O_APPEND));
  say("F_SETFL", fcntl(file, F_SETFL, O_NONBLOCK));
  say("F_GETFL", fcntl(file, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
  say("F_SETFD", fcntl(file, F_SETFD, FD_CLOEXEC));
  say("F_GETFD", fcntl(file, F_GETFD));
  say("F_DUPFD", fcntl(file, F_DUPFD, 300));
  say("F_DUPFD_CLOEXEC", fcntl64(file, F_DUPFD_CLOEXEC, 300));
  struct flock lock {};
  lock.l_type = F_WRLCK, lock.l_whence = SEEK_SET, lock.l_start = 5, lock.l_len = 10;
  say("F_SETLK", fcntl(file, F_SETLK, &lock));
  std::fflush(stdout);
  if (fork() == 0) {
    const int got = fcntl(file, F_GETLK, &lock);
    say("F_GETLK", got, lock.l_type == F_WRLCK && lock.l_start == 5 && lock.l_pid == getppid() ? "by its parent" : "?");
    say("F_SETLK of another's", fcntl(file, F_SETLK, &lock));
    std::fflush(stdout);
    _exit(0);
  }
  wait(nullptr);
  say("F_SETPIPE_SZ", fcntl(pipes.writer, F_SETPIPE_SZ, 8192));
  say("F_GETPIPE_SZ", fcntl(pipes.writer, F_GETPIPE_SZ));
  f_owner_ex owner{F_OWNER_PID, getpid()}, seen{};
  say("F_SETOWN_EX", fcntl(pipes.writer, F_SETOWN_EX, &owner));
  const int got = fcntl(pipes.writer, F_GETOWN_EX, &seen);
  say("F_GETOWN_EX", got, seen.pid == getpid() ? "own" : "?");
  say("what nobody knows", fcntl(file, 9999, 1));
  pipes.give("seven..", 7);
  int waiting = 0;
  const int asked = ioctl(pipes.reader, FIONREAD, &waiting);
  say("FIONREAD", asked * 100 + waiting);
  int on = 1;
  say("FIONBIO", ioctl(pipes.reader, FIONBIO, &on));
  say("FIOCLEX", ioctl(pipes.reader, FIOCLEX));
  winsize size{};
  say("TIOCGWINSZ of a pipe", ioctl(pipes.reader, TIOCGWINSZ, &size));
  close(file), pipes.close_both();
}

void large_offsets(const programs::Scratch& scratch) {
  const int file = open64(scratch.path("large").c_str(), O_RDWR | O_CREAT, 0600);
  constexpr off64_t kFar = (6ll << 32) + 11;
  char text[16] = {};
  say("pwrite64", pwrite64(file, "far away", 8, kFar));
  const ssize_t got = pread64(file, text, 8, kFar);
  say("pread64", got, text);
  say("lseek64", static_cast<long>(lseek64(file, -4, SEEK_END) - kFar));
  struct stat64 about {};
  const int looked = fstat64(file, &about);
  say("fstat64", looked + static_cast<long>(about.st_size - kFar));
  say("ftruncate64", ftruncate64(file, kFar + 2));
  const iovec part{text, 2};
  say("preadv64", preadv64(file, &part, 1, kFar));
  say("pwritev64v2", pwritev64v2(file, &part, 1, kFar, 0));
  say("posix_fadvise64", posix_fadvise64(file, 0, kFar, POSIX_FADV_NORMAL));
  say("pread", pread(file, text, 4, 2));
  say("lseek", static_cast<long>(lseek(file, 0, SEEK_END) - kFar));
  FILE* const stream = fopen64(scratch.path("large").c_str(), "r+");
  say("fseeko64", fseeko64(stream, kFar, SEEK_SET));
  const std::size_t read_back = fread(text, 1, sizeof text, stream);
  say("fread", static_cast<long>(read_back), text);
  say("ftello64", static_cast<long>(ftello64(stream) - kFar));
  fclose(stream), close(file);
}

long print_by_list(FILE* out, const char* format, ...) __attribute__((format(printf, 2, 3)));
long print_by_list(FILE* out, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const long result = vfprintf(out, format, arguments);
  va_end(arguments);
  return result;
}

void prints() {
  const Ends pipes = Ends::of_pipe();
  FILE* const out = fdopen(pipes.writer, "w");
  setvbuf(out, nullptr, _IOLBF, 0);
  char text[256] = {};
  say("fprintf", fprintf(out, "%d %s %.3f %c %lld %Lg|", 5, "five", 5.5, '5', 5ll << 40, 5.25L));
  say("vfprintf", print_by_list(out, "%*d %-6s|", 7, 3, "left"));
  say("dprintf", dprintf(pipes.writer, "%s%zu%%|", "direct", sizeof text));
  say("fputs", fputs("puts|\n", out) >= 0);
  say("fputc", fputc('c', out));
  say("fwrite", static_cast<long>(fwrite("block", 1, 5, out)));
  say("fflush", fflush(out));
  const ssize_t got = read(pipes.reader, text, sizeof text - 1);
  say("read", got, text);
  const int formatted = snprintf(text, opaque(sizeof text), "%5.1f/%x", 2.25, 255u);
  say("snprintf", formatted, text);
  char* made = nullptr;
  const int length = asprintf(&made, "%s-%d", "made", 9);
  say("asprintf", length, made);
  std::free(made);
  fclose(out), close(pipes.reader);
}

void scans() {
  const Ends pipes = Ends::of_pipe();
  pipes.give("12 word 3.5\nline two\nthe rest\n", 31 - 1);
  close(pipes.writer);
  FILE* const in = fdopen(pipes.reader, "r");
  int number = 0;
  double real = 0;
  char word[32] = {}, line[64] = {};
  const int count = fscanf(in, "%d %31s %lf\n", &number, word, &real);
  say("fscanf", count * 1000 + number, word);
  const char* const got = fgets(line, opaque(static_cast<int>(sizeof line)), in);
  say("fgets", got != nullptr, line);
  const std::size_t rest = fread(line, 1, opaque(sizeof line), in);
  say("fread", static_cast<long>(rest));
  say("at the end", feof(in) != 0);
  int other = 0;
  const int both = sscanf("7:8", "%d:%d", &number, &other);
  say("sscanf", both * 100 + number * 10 + other);
  fclose(in);
}

// Calls whose fortified names check the size of the buffer: __read_chk and its kin.
void checked(const programs::Scratch& scratch) {
  const Ends sockets = Ends::of_sockets();
  const int file = open(scratch.path("checked").c_str(), O_RDWR | O_CREAT, 0600);
  char text[64] = {};
  const std::size_t size = opaque<std::size_t>(5);
  const auto filled = [&](const char* what, ssize_t got) { say(what, got, text); };  // the call comes before `text` is looked at
  say("write", write(file, "checked!", 8));
  filled("pread", pread(file, text, size, 1));
  lseek(file, 0, SEEK_SET);
  filled("read", read(file, text, size));
  sockets.give("helloagain", 10);
  filled("recv", recv(sockets.reader, text, size, 0));
  filled("recvfrom", recvfrom(sockets.reader, text, size, MSG_DONTWAIT, nullptr, nullptr));
  pollfd ready[2] = {{sockets.reader, POLLIN, 0}, {sockets.writer, POLLOUT, 0}};
  const timespec at_once{};
  say("poll", poll(ready, opaque<nfds_t>(2), 0));
  say("ppoll", ppoll(ready, opaque<nfds_t>(2), &at_once, nullptr));
  fd_set set;
  FD_ZERO(&set);
  FD_SET(opaque(sockets.writer), &set);
  timeval now{};
  say("select", select(sockets.writer + 1, nullptr, &set, nullptr, &now));
  const std::string link = scratch.path("link");
  say("symlink", symlink("checked", link.c_str()));
  memset(text, 0, sizeof text);
  filled("readlink", readlink(link.c_str(), text, opaque<std::size_t>(20)));
  char* const resolved = realpath(link.c_str(), nullptr);
  say("realpath", resolved && std::string(resolved) == scratch.path("checked"));
  std::free(resolved);
  char folder[4096];
  say("getcwd", getcwd(folder, opaque(sizeof folder)) == folder);
  say("gethostname", gethostname(folder, opaque(sizeof folder)));
  wchar_t wide[32];
  say("swprintf", swprintf(wide, opaque<std::size_t>(32), L"%ls %d", L"wide", 3));
  memset(text, 0, sizeof text);
  memcpy(text, "copied", opaque<std::size_t>(6));
  say("memcpy", text[5], text);
  close(file), sockets.close_both();
}

void others(const programs::Scratch& scratch) {
  say("syscall", syscall(SYS_getppid) == getppid());
  say("syscall of six", syscall(SYS_mmap, nullptr, 4096ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0ul) != -1);
  say("syscall that fails", syscall(SYS_close, -1));
  std::fflush(stdout);
  if (fork() == 0) {
    execl("/bin/sh", "sh", "-c", "echo \"$0 $1 $2\"", "one", "two", "three", static_cast<char*>(nullptr));
    _exit(1);
  }
  int status = 0;
  wait(&status);
  say("execl", status);
  std::fflush(stdout);
  char variable[] = "NAME=value";
  char* const environment[] = {variable, nullptr};
  if (fork() == 0) {
    execle("/bin/sh", "sh", "-c", "echo $NAME", static_cast<char*>(nullptr), environment);
    _exit(1);
  }
  wait(&status);
  say("execle", status);
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* const grown = mremap(memory, 4096, 8192, MREMAP_MAYMOVE);
  say("mremap", grown != MAP_FAILED);
  void* const place = mmap(nullptr, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("mremap to a place", mremap(grown, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
  say("munmap", munmap(place, 8192));
  struct statvfs system {};
  say("statvfs", statvfs(scratch.folder().c_str(), &system));
  DIR* const folder = opendir(scratch.folder().c_str());
  long entries = 0;
  while (readdir(folder)) ++entries;
  say("readdir", entries);
  closedir(folder);
}

}  // namespace

int main() {
  alarm(100);  // nothing here may wait for ever
  std::printf("offsets of %zu bits\n", 8 * sizeof(off_t));
  const programs::Scratch scratch;
  opens(scratch);
  controls(scratch);
  large_offsets(scratch);
  prints();
  scans();
  checked(scratch);
  others(scratch);
  return 0;
}
