// SPDX-License-Identifier: Apache-2.0
// Asks a memcached for values over a number of connections, one request at a time on each, and prints how many it answered in a second and
// within what time 99 % of them: no load program in Debian tells both.
// usage: memcached_load PORT CONNECTIONS REQUESTS
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kKeys = 10'000;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void send_all(int fd, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t bytes = write(fd, text.data() + sent, text.size() - sent);
    if (bytes <= 0) fail("memcached_load: write");
    sent += static_cast<std::size_t>(bytes);
  }
}

int connection_to(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("memcached_load: connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return fd;
}

// Reads until an answer to a get is complete. False: more is to come.
bool take_answer(int fd, std::string& answer) {
  char buffer[4096];
  const ssize_t bytes = read(fd, buffer, sizeof buffer);
  if (bytes <= 0) fail("memcached_load: the server closed a connection");
  answer.append(buffer, static_cast<std::size_t>(bytes));
  return answer.ends_with("END\r\n");
}

void fill(std::uint16_t port) {
  const int fd = connection_to(port);
  std::string text;
  for (int key = 0; key < kKeys; ++key) text += "set key" + std::to_string(key) + " 0 0 100 noreply\r\n" + std::string(100, 'v') + "\r\n";
  send_all(fd, text + "get key0\r\n");
  for (std::string answer; !take_answer(fd, answer);) {
  }
  close(fd);
}

struct Connection {
  int fd;
  Clock::time_point asked;
  std::string answer;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fprintf(stderr, "usage: memcached_load PORT CONNECTIONS REQUESTS\n"), 2;
  const auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  const int count = std::atoi(argv[2]);
  const long requests = std::atol(argv[3]);
  fill(port);
  const int poll = epoll_create1(0);
  std::vector<Connection> connections(static_cast<std::size_t>(count));
  std::vector<std::int64_t> times;
  long asked = 0;
  const auto ask = [&](Connection& one) {
    one.answer.clear();
    one.asked = Clock::now();
    send_all(one.fd, "get key" + std::to_string(asked++ * 7919 % kKeys) + "\r\n");
  };
  const Clock::time_point begin = Clock::now();
  for (Connection& one : connections) {
    one.fd = connection_to(port);
    epoll_event event{};
    event.events = EPOLLIN, event.data.ptr = &one;
    if (epoll_ctl(poll, EPOLL_CTL_ADD, one.fd, &event) != 0) fail("memcached_load: epoll_ctl");
    ask(one);
  }
  while (static_cast<long>(times.size()) < requests) {
    epoll_event ready[64];
    const int found = epoll_wait(poll, ready, 64, 10'000);
    if (found <= 0) fail("memcached_load: no answer within 10 s");
    for (int i = 0; i < found; ++i) {
      auto& one = *static_cast<Connection*>(ready[i].data.ptr);
      if (!take_answer(one.fd, one.answer)) continue;
      times.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - one.asked).count());
      ask(one);
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const auto slow = times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100);
  std::nth_element(times.begin(), slow, times.end());
  std::printf("requests_per_second %.0f p99_ms %.4f\n", static_cast<double>(times.size()) / seconds, static_cast<double>(*slow) * 1e-6);
  return 0;
}
