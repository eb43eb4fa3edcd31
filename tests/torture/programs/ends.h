// SPDX-License-Identifier: Apache-2.0
// Two connected descriptors: what one end is given, the other yields.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/torture/programs/waiting.h"

namespace programs {

struct Ends {
  int reader = -1, writer = -1;

  static Ends of_pipe() {
    int two[2];
    require(pipe(two) == 0, "pipe");
    return {two[0], two[1]};
  }
  static Ends of_sockets() {
    int two[2];
    require(socketpair(AF_UNIX, SOCK_STREAM, 0, two) == 0, "socketpair");
    return {two[0], two[1]};
  }
  void give(const char* text, std::size_t size) const { require(write(writer, text, size) == static_cast<ssize_t>(size), "write"); }
  // Until there is no room left.
  void fill() const {
    static const char block[4096] = {};
    require(fcntl(writer, F_SETFL, O_NONBLOCK) == 0, "O_NONBLOCK");
    while (write(writer, block, sizeof block) > 0) {
    }
    require(fcntl(writer, F_SETFL, 0) == 0, "F_SETFL");
  }
  // All that is there and what one who waits is about to add.
  void drain() const {
    char block[4096];
    pollfd one{reader, POLLIN, 0};
    while (poll(&one, 1, 10) == 1 && read(reader, block, sizeof block) > 0) {
    }
  }
  void close_both() const {
    close(reader);
    close(writer);
  }
};

}  // namespace programs
