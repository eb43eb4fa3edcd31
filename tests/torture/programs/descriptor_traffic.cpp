// SPDX-License-Identifier: Apache-2.0
// Descriptors that change their meaning under everybody's eyes: duplicated, replaced, closed while somebody reads, reused, inherited,
// sent to others, two thousand at once; and data in pieces. Prints sums of all data and what the calls returned.
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/waiting.h"

namespace {

using programs::Ends;
using programs::require;

std::uint64_t sum_of(const char* data, std::size_t size, std::uint64_t sum = 0) {
  for (std::size_t i = 0; i < size; ++i) sum = sum * 31 + static_cast<unsigned char>(data[i]);
  return sum;
}

std::vector<char> pattern(std::size_t size, unsigned seed) {
  std::vector<char> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>((seed = seed * 1103515245 + 12345) >> 16);
  return data;
}

void say(const char* what, long result, std::uint64_t sum = 0) {
  std::printf("%s: %ld%s%s, sum %llx\n", what, result, result < 0 ? " " : "", result < 0 ? strerrorname_np(errno) : "",
              static_cast<unsigned long long>(sum));
}

// A duplicate works as the original does, and goes on when that is closed; offsets are shared.
void duplicates(const programs::Scratch& scratch) {
  const std::string path = scratch.path("file");
  const int file = open(path.c_str(), O_RDWR | O_CREAT, 0600), twin = dup(file), far = fcntl(file, F_DUPFD_CLOEXEC, 500);
  say("write", write(file, "abcdef", 6));
  say("write to the twin", write(twin, "ghi", 3));
  close(file);
  say("lseek of the third", lseek(far, 2, SEEK_SET));
  char text[16] = {};
  const ssize_t got = read(twin, text, 4);
  say("read from the twin", got, sum_of(text, 4));
  say("duplicate's number", far);
  say("write to what is closed", write(file, "x", 1));
  close(twin), close(far);
}

// The number stays, what is behind it changes: a socket, then a pipe, then a file.
void replaced(const programs::Scratch& scratch) {
  const Ends sockets = Ends::of_sockets(), pipes = Ends::of_pipe();
  const int file = open(scratch.path("other").c_str(), O_RDWR | O_CREAT, 0600), number = dup(sockets.writer);
  say("to a socket", write(number, "socket", 6));
  say("dup2", dup2(pipes.writer, number) == number);
  say("to a pipe", write(number, "pipe", 4));
  say("send to a pipe", send(number, "x", 1, 0));
  say("dup3", dup3(file, number, O_CLOEXEC) == number);
  say("flags", fcntl(number, F_GETFD));
  say("to a file", pwrite(number, "file", 4, 100));
  char text[16] = {};
  const ssize_t from_socket = read(sockets.reader, text, sizeof text);
  say("from the socket", from_socket, sum_of(text, 6));
  const ssize_t from_pipe = read(pipes.reader, text, sizeof text);
  say("from the pipe", from_pipe, sum_of(text, 4));
  struct stat about {};
  const int looked = fstat(number, &about);
  say("fstat", looked, static_cast<std::uint64_t>(about.st_size));
  close(number), close(file), sockets.close_both(), pipes.close_both();
}

// The reader keeps what it reads from; the number is another file's at once.
void closed_while_read() {
  const Ends pipes = Ends::of_pipe();
  std::atomic<pid_t> id{0};
  ssize_t got = 0;
  char byte = 0;
  std::thread reader([&] {
    id = gettid();
    got = read(pipes.reader, &byte, 1);
  });
  while (!id) programs::sleep_ms(1);
  programs::await_waiting(id);
  say("close while another reads", close(pipes.reader));
  const int reused = eventfd(7, 0);
  say("same number", reused == pipes.reader);
  pipes.give("z", 1);
  reader.join();
  say("read", got, static_cast<std::uint64_t>(byte));
  eventfd_t count = 0;
  const int taken = eventfd_read(reused, &count);
  say("read of the new one", taken, count);
  close(reused), close(pipes.writer);
}

void ranges() {
  std::vector<int> many;
  for (int i = 0; i < 20; ++i) many.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  say("close_range", close_range(static_cast<unsigned>(many[5]), static_cast<unsigned>(many[14]), 0));
  say("on exec", close_range(static_cast<unsigned>(many[0]), static_cast<unsigned>(many[4]), CLOSE_RANGE_CLOEXEC));
  long open_ones = 0;
  for (const int one : many) open_ones += fcntl(one, F_GETFD) == FD_CLOEXEC;
  say("still open", open_ones);
  closefrom(many[0]);
  say("after closefrom", fcntl(many[19], F_GETFD));
}

// Parent and children share a pipe's end and a file's offset.
void shared_by_fork(const programs::Scratch& scratch) {
  const Ends pipes = Ends::of_pipe();
  const int file = open(scratch.path("shared").c_str(), O_RDWR | O_CREAT | O_APPEND, 0600);
  std::fflush(stdout);
  for (int child = 0; child < 4; ++child)
    if (fork() == 0) {
      for (int i = 0; i < 200; ++i)
        if (write(pipes.writer, "0123456789", 10) != 10 || write(file, "abcde", 5) != 5) _exit(1);
      _exit(0);
    }
  close(pipes.writer);
  std::uint64_t sum = 0;
  long size = 0;
  char text[1000];
  for (ssize_t got = 0; (got = read(pipes.reader, text, sizeof text)) > 0; size += got) sum += std::accumulate(text, text + got, 0u);
  say("from four children", size, sum);
  long bad = 0;
  for (int status = 0; wait(&status) > 0;) bad += status != 0;
  say("children that failed", bad);
  say("the file's size", lseek(file, 0, SEEK_END));
  close(file), close(pipes.reader);
}

void send_descriptor(int socket, int descriptor) {
  char byte = '!';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  *head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  require(sendmsg(socket, &message, 0) == 1, "sendmsg");
}

int receive_descriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
  require(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message), "recvmsg");
  int descriptor = -1;
  memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
  return descriptor;
}

void sent_to_others() {
  const Ends sockets = Ends::of_sockets();
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const Ends pipes = Ends::of_pipe();
    send_descriptor(sockets.writer, pipes.reader);
    close(pipes.reader);
    pipes.give("from the child", 14);
    _exit(0);
  }
  const int received = receive_descriptor(sockets.reader);
  char text[32];
  const ssize_t got = read(received, text, sizeof text);
  say("by a descriptor that was sent", got, sum_of(text, 14));
  say("at its end", read(received, text, sizeof text));
  say("its flags", fcntl(received, F_GETFD));
  waitpid(child, nullptr, 0);
  close(received), sockets.close_both();
}

void two_thousand(const programs::Scratch& scratch) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(4096, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<int> files;
  for (int i = 0; i < 2000; ++i)
    files.push_back(open((scratch.folder() + "/many-" + std::to_string(i)).c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<std::thread> threads;
  std::atomic<long> written{0};
  for (std::size_t part = 0; part < 4; ++part)
    threads.emplace_back([&, part] {
      for (std::size_t i = part; i < files.size(); i += 4) written += write(files[i], &files[i % 7], 3);
    });
  for (std::thread& thread : threads) thread.join();
  say("written to two thousand files", written);
  std::uint64_t sum = 0;
  for (const int file : files) {
    char text[8];
    sum += static_cast<std::uint64_t>(pread(file, text, sizeof text, 0));
    close(file);
  }
  say("read back", static_cast<long>(files.size()), sum);
}

// Everything arrives, in pieces of all sizes, through every pair of calls.
template <class Give, class Take>
void in_pieces(const char* name, const Ends& ends, Give give, Take take) {
  const std::vector<char> data = pattern(1'000'003, 17);
  std::thread giver([&] {
    for (std::size_t at = 0, piece = 1; at < data.size(); piece = piece * 3 % 70'001 + 1) {
      const ssize_t gone = give(ends.writer, data.data() + at, std::min(piece, data.size() - at));
      require(gone > 0, "give");
      at += static_cast<std::size_t>(gone);
    }
    close(ends.writer);
  });
  std::uint64_t sum = 0;
  long size = 0;
  std::vector<char> text(65'536);
  for (std::size_t piece = 1;; piece = piece * 5 % 65'521 + 1) {
    const ssize_t got = take(ends.reader, text.data(), piece);
    if (got <= 0) break;
    sum = sum_of(text.data(), static_cast<std::size_t>(got), sum);
    size += got;
  }
  giver.join();
  close(ends.reader);
  say(name, size, sum);
  std::printf("  %s\n", sum == sum_of(data.data(), data.size()) ? "all as it was" : "CHANGED");
}

void pieces() {
  const auto split = [](char* data, std::size_t size) {  // three parts, some of them empty
    return std::array<iovec, 3>{{{data, size / 3}, {data + size / 3, size / 3}, {data + size / 3 * 2, size - size / 3 * 2}}};
  };
  in_pieces("write and read", Ends::of_pipe(), write, read);
  in_pieces(
      "writev and readv", Ends::of_pipe(),
      [&](int fd, const char* data, std::size_t size) { return writev(fd, split(const_cast<char*>(data), size).data(), 3); },
      [&](int fd, char* data, std::size_t size) { return readv(fd, split(data, size).data(), 3); });
  in_pieces(
      "send and recv", Ends::of_sockets(), [](int fd, const char* data, std::size_t size) { return send(fd, data, size, MSG_NOSIGNAL); },
      [](int fd, char* data, std::size_t size) { return recv(fd, data, size, 0); });
  in_pieces("sendmsg and recvmsg", Ends::of_sockets(), [&](int fd, const char* data, std::size_t size) {
    auto parts = split(const_cast<char*>(data), size);
    const msghdr message{nullptr, 0, parts.data(), 3, nullptr, 0, 0};
    return sendmsg(fd, &message, 0);
  }, [&](int fd, char* data, std::size_t size) {
    auto parts = split(data, size);
    msghdr message{nullptr, 0, parts.data(), 3, nullptr, 0, 0};
    return recvmsg(fd, &message, 0);
  });
  in_pieces(
      "sendto and recvfrom", Ends::of_sockets(),
      [](int fd, const char* data, std::size_t size) { return sendto(fd, data, size, 0, nullptr, 0); },
      [](int fd, char* data, std::size_t size) { return recvfrom(fd, data, size, 0, nullptr, nullptr); });
  in_pieces("splice", Ends::of_pipe(), write, [](int fd, char* data, std::size_t size) {
    const Ends between = Ends::of_pipe();
    const ssize_t moved = splice(fd, nullptr, between.writer, nullptr, size, 0);
    const ssize_t got = moved > 0 ? read(between.reader, data, size) : moved;
    between.close_both();
    return got;
  });
}

void copies(const programs::Scratch& scratch) {
  const std::vector<char> data = pattern(300'000, 5);
  const int from = open(scratch.path("from").c_str(), O_RDWR | O_CREAT, 0600),
            to = open(scratch.path("to").c_str(), O_RDWR | O_CREAT, 0600);
  say("write", write(from, data.data(), data.size()));
  off_t in = 1000, out = 0;
  const ssize_t copied = copy_file_range(from, &in, to, &out, 200'000, 0);
  say("copy_file_range", copied, static_cast<std::uint64_t>(in + out));
  in = 0;
  const ssize_t sent = sendfile(to, from, &in, 50'000);
  say("sendfile", sent, static_cast<std::uint64_t>(in));
  std::vector<char> text(250'000);
  const iovec parts[2] = {{text.data(), 100'000}, {text.data() + 100'000, 150'000}};
  const ssize_t got = preadv(to, parts, 2, 0);
  say("preadv", got, sum_of(text.data(), static_cast<std::size_t>(got)));
  say("pwritev", pwritev(to, parts, 2, 777));
  say("pread beyond the end", pread(to, text.data(), 10, 1'000'000));
  say("read of a folder", read(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), text.data(), 10));
  close(from), close(to);
}

}  // namespace

int main() {
  alarm(100);  // nothing here may wait for ever
  const programs::Scratch scratch;
  duplicates(scratch);
  replaced(scratch);
  closed_while_read();
  shared_by_fork(scratch);
  sent_to_others();
  two_thousand(scratch);
  pieces();
  copies(scratch);
  ranges();  // last: it closes all that is left
  return 0;
}
