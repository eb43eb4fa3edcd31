// SPDX-License-Identifier: Apache-2.0
// Reading what is not there yet and writing where there is no room: pipes, socket pairs, queues.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/torture/programs/blocking/stage.h"
#include "tests/torture/programs/ends.h"

namespace blocking {
namespace {

char text[4096];
iovec part{text, 1};
msghdr message{nullptr, 0, &part, 1, nullptr, 0, 0};
mmsghdr messages{message, 0};

using Call = bool (*)(const Ends&);

void read_from(Stage& stage, const Ends& ends, const char* name, const char* kind, Call call) {
  stage.block(name, kind, [&] { return call(ends); }, [&](pthread_t) { ends.give("x", 1); });
  ends.close_both();
}

void write_to(Stage& stage, const Ends& ends, const char* name, const char* kind, Call call) {
  ends.fill();
  stage.block(name, kind, [&] { return call(ends); }, [&](pthread_t) { ends.drain(); });
  ends.close_both();
}

void reads(Stage& stage) {
  read_from(stage, Ends::of_pipe(), "read", "read", [](const Ends& e) { return read(e.reader, text, 1) == 1; });
  read_from(stage, Ends::of_pipe(), "readv", "read", [](const Ends& e) { return readv(e.reader, &part, 1) == 1; });
  read_from(stage, Ends::of_sockets(), "read_socket", "read|recv", [](const Ends& e) { return read(e.reader, text, 1) == 1; });
  read_from(stage, Ends::of_sockets(), "recv", "recv", [](const Ends& e) { return recv(e.reader, text, 1, 0) == 1; });
  read_from(stage, Ends::of_sockets(), "recvfrom", "recv",
            [](const Ends& e) { return recvfrom(e.reader, text, 1, 0, nullptr, nullptr) == 1; });
  read_from(stage, Ends::of_sockets(), "recvmsg", "recv", [](const Ends& e) { return recvmsg(e.reader, &message, 0) == 1; });
  read_from(stage, Ends::of_sockets(), "recvmmsg", "recv", [](const Ends& e) { return recvmmsg(e.reader, &messages, 1, 0, nullptr) == 1; });
  const int events = eventfd(0, 0);
  stage.block(
      "read_eventfd", "read",
      [&] {
        std::uint64_t count = 0;
        return read(events, &count, sizeof count) == sizeof count && count == 3;
      },
      [&](pthread_t) {
        const std::uint64_t three = 3;
        require(write(events, &three, sizeof three) == sizeof three, "write");
      });
  close(events);
}

void writes(Stage& stage) {
  write_to(stage, Ends::of_pipe(), "write", "write", [](const Ends& e) { return write(e.writer, text, 1) == 1; });
  write_to(stage, Ends::of_pipe(), "writev", "write", [](const Ends& e) { return writev(e.writer, &part, 1) == 1; });
  write_to(stage, Ends::of_sockets(), "send", "send", [](const Ends& e) { return send(e.writer, text, 1, 0) == 1; });
  write_to(stage, Ends::of_sockets(), "sendto", "send", [](const Ends& e) { return sendto(e.writer, text, 1, 0, nullptr, 0) == 1; });
  write_to(stage, Ends::of_sockets(), "sendmsg", "send", [](const Ends& e) { return sendmsg(e.writer, &message, 0) == 1; });
  write_to(stage, Ends::of_sockets(), "sendmmsg", "send", [](const Ends& e) { return sendmmsg(e.writer, &messages, 1, 0) == 1; });
}

void copies(Stage& stage) {
  static int out_of_the_way[2];
  require(pipe(out_of_the_way) == 0, "pipe");
  read_from(stage, Ends::of_pipe(), "splice", "splice",
            [](const Ends& e) { return splice(e.reader, nullptr, out_of_the_way[1], nullptr, 1, 0) == 1; });
  read_from(stage, Ends::of_pipe(), "tee", "splice", [](const Ends& e) { return tee(e.reader, out_of_the_way[1], 1, 0) == 1; });
  write_to(stage, Ends::of_pipe(), "vmsplice", "splice", [](const Ends& e) { return vmsplice(e.writer, &part, 1, 0) == 1; });
  write_to(stage, Ends::of_sockets(), "sendfile", "sendfile", [](const Ends& e) {
    const int file = open("/proc/self/exe", O_RDONLY);
    const bool right = sendfile(e.writer, file, nullptr, 1) == 1;
    close(file);
    return right;
  });
  close(out_of_the_way[0]);
  close(out_of_the_way[1]);
}

struct Letter {
  long kind = 1;
  char content[512] = {};
};

void message_queues(Stage& stage) {
  const int queue = msgget(IPC_PRIVATE, 0600);
  Letter letter;
  stage.block(
      "msgrcv", "ipc", [&] { return msgrcv(queue, &letter, sizeof letter.content, 0, 0) == 1; },
      [&](pthread_t) { msgsnd(queue, &letter, 1, 0); });
  while (msgsnd(queue, &letter, sizeof letter.content, IPC_NOWAIT) == 0) {
  }
  stage.block("msgsnd", "ipc", [&] { return msgsnd(queue, &letter, sizeof letter.content, 0) == 0; },
              [&](pthread_t) { Letter first; msgrcv(queue, &first, sizeof first.content, 0, 0); });
  msgctl(queue, IPC_RMID, nullptr);
}

void semaphore_sets(Stage& stage) {
  const int set = semget(IPC_PRIVATE, 1, 0600);
  sembuf take{0, -1, 0}, give{0, 1, 0};
  stage.block("semop", "ipc", [&] { return semop(set, &take, 1) == 0; }, [&](pthread_t) { semop(set, &give, 1); });
  const timespec limit{0, kBlockedMs * 1'000'000};
  stage.block("semtimedop", "ipc", [&] { return semtimedop(set, &take, 1, &limit) == -1; });
  semctl(set, 0, IPC_RMID);
}

void posix_queues(Stage& stage) {
  const std::string name = "/blocking-" + std::to_string(getpid());
  mq_attr attributes{};
  attributes.mq_maxmsg = 1, attributes.mq_msgsize = 16;
  const mqd_t queue = mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  require(queue >= 0, "mq_open");
  mq_unlink(name.c_str());
  stage.block(
      "mq_receive", "ipc", [&] { return mq_receive(queue, text, sizeof text, nullptr) == 1; },
      [&](pthread_t) { mq_send(queue, "x", 1, 0); });
  stage.block("mq_timedreceive", "ipc", [&] {
    const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs);
    return mq_timedreceive(queue, text, sizeof text, nullptr, &until) == -1;
  });
  mq_send(queue, "x", 1, 0);
  stage.block("mq_timedsend", "ipc", [&] {
    const timespec until = in_ms(CLOCK_REALTIME, kBlockedMs);
    return mq_timedsend(queue, "y", 1, 0, &until) == -1;
  });
  stage.block(
      "mq_send", "ipc", [&] { return mq_send(queue, "y", 1, 0) == 0; },
      [&](pthread_t) {
        char got[16];
        mq_receive(queue, got, sizeof got, nullptr);
      });
  mq_close(queue);
}

}  // namespace

void block_on_descriptors(Stage& stage) {
  reads(stage);
  writes(stage);
  copies(stage);
  message_queues(stage);
  semaphore_sets(stage);
  posix_queues(stage);
}

}  // namespace blocking
