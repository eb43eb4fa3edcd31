// SPDX-License-Identifier: Apache-2.0
// Reading what is not there, writing where there is no room: all, or a part.
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/torture/programs/ends.h"
#include "tests/torture/programs/interrupted/table.h"

namespace interrupted {

using programs::Ends;

void add_inputs(Table& table) {
  static const Ends pipes = Ends::of_pipe(), sockets = Ends::of_sockets(), limited = Ends::of_sockets();
  static char text[64];
  static iovec part{text, 1};
  static msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
  static mmsghdr messages{message, 0};
  const timeval limit{0, kLimitMs * 1000};
  setsockopt(limited.reader, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  const auto give = [](const Ends& ends) { return [&ends] { ends.give("x", 1); }; };
  table.add("read", [] { return outcome(read(pipes.reader, text, 1)); }, give(pipes));
  table.add("readv", [] { return outcome(readv(pipes.reader, &part, 1)); }, give(pipes));
  table.add("recv", [] { return outcome(recv(sockets.reader, text, 1, 0)); }, give(sockets));
  table.add("recvmsg", [] { return outcome(recvmsg(sockets.reader, &message, 0)); }, give(sockets));
  table.add("recvmmsg", [] { return outcome(recvmmsg(sockets.reader, &messages, 1, 0, nullptr)); }, give(sockets));
  table.add("recv with a limit", [] { return outcome(recv(limited.reader, text, 1, 0)); });
  table.add("read with a limit", [] { return outcome(read(limited.reader, text, 1)); });
  table.add("recv of what is not all there", [] { sockets.give("four", 4); return outcome(recv(sockets.reader, text, 10, MSG_WAITALL)); });
  table.add("splice", [] {
    const Ends out = Ends::of_pipe();
    const Outcome seen = outcome(splice(pipes.reader, nullptr, out.writer, nullptr, 1, 0));
    out.close_both();
    return seen;
  }, give(pipes));
  static const int events = eventfd(0, 0);
  table.add(
      "read of an eventfd",
      [] {
        eventfd_t count = 0;
        return outcome(read(events, &count, sizeof count));
      },
      [] { eventfd_write(events, 1); });
  table.add("fgets", [] {
    FILE* const stream = fdopen(dup(pipes.reader), "r");
    errno = 0;
    const bool got = fgets(text, sizeof text, stream) != nullptr;
    const Outcome seen{got, errno, ferror(stream) ? "error" : std::to_string(strlen(text)) + " bytes"};
    fclose(stream);
    return seen;
  }, [] { pipes.give("1\n", 2); });
}

// A little more than fits: what has gone by then is the result.
void add_outputs(Table& table) {
  static const Ends pipes = Ends::of_pipe(), sockets = Ends::of_sockets();
  static std::vector<char> block(4'000'000);
  const auto part_of = [](long result) {
    return Outcome{result > 0 ? 1 : result, result < 0 ? errno : 0, result > 0 && result < 4'000'000 ? "a part" : ""};
  };
  const std::function<void()> fill_pipe = [] { pipes.fill(); }, drain_pipe = [] { pipes.drain(); };
  const std::function<void()> fill_sockets = [] { sockets.fill(); }, drain_sockets = [] { sockets.drain(); };
  table.add("write", [] { return outcome(write(pipes.writer, "x", 1)); }, drain_pipe, fill_pipe);
  table.add("write of much", [=] { return part_of(write(pipes.writer, block.data(), block.size())); }, {}, drain_pipe);
  table.add(
      "writev of much",
      [=] {
        const iovec part{block.data(), block.size()};
        return part_of(writev(pipes.writer, &part, 1));
      },
      {}, drain_pipe);
  table.add("send", [] { return outcome(send(sockets.writer, "x", 1, 0)); }, drain_sockets, fill_sockets);
  table.add("send of much", [=] { return part_of(send(sockets.writer, block.data(), block.size(), 0)); }, {}, drain_sockets);
  table.add("fwrite", [] {
    FILE* const stream = fdopen(dup(pipes.writer), "w");
    setvbuf(stream, nullptr, _IONBF, 0);
    errno = 0;
    const std::size_t count = fwrite("xy", 1, 2, stream);
    const Outcome seen{static_cast<long>(count), errno, ferror(stream) ? "error" : ""};
    fclose(stream);
    return seen;
  }, drain_pipe, fill_pipe);
}

}  // namespace interrupted
