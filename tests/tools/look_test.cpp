// SPDX-License-Identifier: Apache-2.0
// Looks at live processes: rings of waiting threads, the text and the JSON of a look, what a futex stands for, and that the
// library which walks foreign stacks leaves the command's exceptions alone.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "analyzers/process_look.h"
#include "tools/live/descriptors.h"
#include "tools/live/file_lock_owners.h"
#include "tools/live/futex_waits.h"
#include "tools/reports/look_json.h"
#include "tools/reports/look_text.h"

namespace tailback::tools {
namespace {

using analyzers::ProcessLook;
using analyzers::ThreadLook;

analyzers::Frame frame(const std::string& function, const std::string& file, std::uint32_t line, std::uint64_t address) {
  analyzers::Frame one;
  one.function = function, one.file = file, one.line = line, one.module = "server", one.address = address;
  return one;
}

ThreadLook waiting(pid_t tid, const std::string& name, std::optional<pid_t> owner = std::nullopt) {
  ThreadLook thread;
  thread.tid = tid, thread.name = name, thread.state = 'S', thread.owner = owner;
  if (owner) thread.call = "pthread_mutex_lock", thread.object = "mutex 0x1000";
  return thread;
}

ProcessLook look_of(std::vector<ThreadLook> threads) {
  ProcessLook look;
  look.pid = 10, look.command = "./server --port 80", look.through = "the agent in it", look.threads = std::move(threads);
  return look;
}

// A deadlock of two whose holders' places are known, twenty idle workers, one deep stack.
ProcessLook full_look() {
  ThreadLook first = waiting(11, "ab", 12), second = waiting(12, "ba", 11);
  first.seconds = 3.25, first.owner_place = frame("take_second", "/src/locks.cpp", 40, 0x40);
  first.held.push_back({"mutex 0x2000", 0x2000, frame("take_first", "/src/locks.cpp", 20, 0x20), 4.0});
  first.frames = {frame("pthread_mutex_lock", "pthread_mutex_lock.c", 93, 0x93), frame("take_first", "/src/locks.cpp", 21, 0x21)};
  second.object = "mutex 0x2000", second.frames = {frame("take_second", "/src/locks.cpp", 41, 0x41)};
  ThreadLook main = waiting(10, "server");
  main.call = "epoll_wait", main.object = "3 descriptors";
  for (std::uint32_t i = 0; i < 40; ++i) main.frames.push_back(frame("level_" + std::to_string(i), "deep.cpp", i + 1, i));
  ThreadLook stuck = waiting(40, "");
  stuck.state = 'D', stuck.stack_note = "no stack: it is inside the kernel and cannot be interrupted there";
  std::vector<ThreadLook> threads = {main, first, second, stuck};
  for (pid_t i = 0; i < 20; ++i) {
    ThreadLook worker = waiting(20 + i, "worker-" + std::to_string(i));
    worker.call = "recvfrom", worker.object = "127.0.0.1:" + std::to_string(9000 + i), worker.seconds = 1 + i;
    worker.frames = {frame("recv", "", 0, 0x70), frame("serve", "/src/serve.cpp", 8, 0x80)};
    threads.push_back(worker);
  }
  ProcessLook look = look_of(std::move(threads));
  look.notes = {"the process was stopped for 3.10 ms"};
  return look;
}

using Rings = std::vector<std::vector<std::size_t>>;

TEST(Look, RingsOfWaitingThreads) {
  EXPECT_EQ(rings_of(look_of({})), Rings{});
  EXPECT_EQ(rings_of(look_of({waiting(1, "a"), waiting(2, "b", 1), waiting(3, "c", 2)})), Rings{});
  EXPECT_EQ(rings_of(look_of({waiting(1, "a", 99)})), Rings{}) << "an owner that is no thread of the process";
  EXPECT_EQ(rings_of(look_of({waiting(1, "a", 1)})), (Rings{{0}}));
  EXPECT_EQ(rings_of(look_of({waiting(1, "a", 3), waiting(2, "b"), waiting(3, "c", 1)})), (Rings{{0, 2}}));
  EXPECT_EQ(rings_of(look_of({waiting(1, "tail", 2), waiting(2, "b", 3), waiting(3, "c", 2), waiting(4, "late", 1)})),
            (Rings{{1, 2}}))
      << "threads that wait for a ring are not in it";
  EXPECT_EQ(rings_of(look_of({waiting(1, "a", 2), waiting(2, "b", 1), waiting(3, "c", 4), waiting(4, "d", 3)})),
            (Rings{{0, 1}, {2, 3}}));
}

TEST(Look, WhoWaitsForATimeOnlyEndsTheRing) {
  ProcessLook look = look_of({waiting(1, "a", 2), waiting(2, "b", 1)});
  EXPECT_EQ(rings_of(look).size(), 1u);
  look.threads[1].gives_up = true;
  EXPECT_EQ(rings_of(look), Rings{});
}

TEST(Look, TextOfWholeStacks) {
  const std::string few = look_text(full_look(), {false, false, 80}, false), all = look_text(full_look(), {false, false, 80}, true);
  EXPECT_EQ(few.find("level_30"), std::string::npos);
  EXPECT_NE(few.find("more frames"), std::string::npos);
  EXPECT_NE(all.find("level_30"), std::string::npos);
  EXPECT_EQ(all.find("more frames"), std::string::npos);
}

TEST(Look, TextKeepsTheTerminalFromForeignBytes) {
  ProcessLook look = look_of({waiting(1, "a\x1b[2J", 1)});
  look.command = "x\x1b]0;title\x07";
  look.threads[0].object = "file \x1b[31m";
  EXPECT_EQ(look_text(look, {false, true, 80}, false).find('\x1b'), std::string::npos);
}

TEST(Look, Json) {
  ProcessLook look = full_look();
  look.threads[0].name = "\xff";
  const auto json = nlohmann::json::parse(look_json(look));
  EXPECT_EQ(json["schema"], "tailback.stacks/1");
  EXPECT_EQ(json["pid"], 10);
  EXPECT_EQ(json["threads"].size(), 24u);
  EXPECT_EQ(json["deadlocks"], nlohmann::json::parse("[[11, 12]]"));
  const auto& first = json["threads"][1];
  EXPECT_EQ(first["owner"], 12);
  EXPECT_EQ(first["owner_took_it"]["function"], "take_second");
  EXPECT_EQ(first["holds"][0]["object"], "mutex 0x2000");
  EXPECT_EQ(first["seconds"], 3.25);
  EXPECT_EQ(first["frames"][1]["line"], 21);
  EXPECT_TRUE(json["threads"][0]["owner"].is_null());
  look.threads[2].gives_up = true;
  EXPECT_EQ(nlohmann::json::parse(look_json(look))["deadlocks"].size(), 0u);
}

TEST(Look, NamesOfTheCLibrary) {
  for (const char* name :
       {"pthread_mutex_lock", "___pthread_mutex_lock", "__GI___pthread_mutex_lock", "pthread_mutex_lock@@GLIBC_2.2.5"})
    EXPECT_EQ(public_name(name), "pthread_mutex_lock");
  EXPECT_EQ(public_name("__libc_recv"), "recv");
  EXPECT_EQ(public_name("__pthread_rwlock_rdlock_full64"), "pthread_rwlock_rdlock");
  EXPECT_EQ(public_name("___"), "");
}

TEST(Look, WhatAFutexStandsFor) {
  TargetMemory memory("/proc/self/task/" + std::to_string(::getpid()));
  ASSERT_TRUE(memory.is_open());
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  const auto address = reinterpret_cast<std::uint64_t>(&mutex);
  FutexWait wait = futex_wait({"futex_wait", "__lll_lock_wait", "___pthread_mutex_lock", "main"}, address, memory);
  EXPECT_EQ(wait.call, "pthread_mutex_lock");
  EXPECT_EQ(wait.owner, static_cast<std::uint32_t>(::gettid()));
  EXPECT_EQ(futex_wait({"__lll_lock_wait", "__pthread_mutex_cond_lock", "pthread_cond_wait"}, address, memory).call,
            "pthread_cond_wait");
  EXPECT_EQ(futex_wait({"__pthread_cond_wait_common", "___pthread_cond_timedwait64", "main"}, address, memory).call,
            "pthread_cond_timedwait");
  pthread_mutex_unlock(&mutex);

  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_rwlock_wrlock(&lock);
  const auto base = reinterpret_cast<std::uint64_t>(&lock);
  TargetMemory afresh("/proc/self/task/" + std::to_string(::getpid()));
  std::ostringstream object;
  object << "read-write lock 0x" << std::hex << base;
  for (const std::uint64_t word : {8, 12}) {
    wait = futex_wait({"futex_abstimed_wait", "__pthread_rwlock_rdlock"}, base + word, afresh);
    EXPECT_EQ(wait.object, object.str());
    EXPECT_EQ(wait.owner, static_cast<std::uint32_t>(::gettid()));
  }
  pthread_rwlock_unlock(&lock);
  EXPECT_EQ(futex_wait({"std::__atomic_futex_unsigned_base::_M_futex_wait_until", "main"}, 0x1234, memory).object,
            "futex 0x1234");
  EXPECT_EQ(futex_wait({"sem_wait"}, 0x1234, memory).object, "semaphore 0x1234");
}

TEST(Look, SocketsByInode) {
  const std::string tcp =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
      "   1: 0100007F:B2A4 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n";
  EXPECT_EQ(internet_socket(tcp, "4711"), "socket listening on 127.0.0.1:80");
  EXPECT_EQ(internet_socket(tcp, "4712"), "127.0.0.1:80");
  EXPECT_EQ(internet_socket(tcp, "471"), "");
  EXPECT_EQ(unix_socket("0000: 00000002 00000000 00010000 0001 01 815 /run/x.sock\n", "815"), "unix socket /run/x.sock");
}

TEST(Look, WhoHasTheLockOfAFile) {
  const std::string locks =
      "1: POSIX  ADVISORY  READ  300 fd:00:77 128 128\n"
      "2: FLOCK  ADVISORY  WRITE 200 fd:00:4711 0 EOF\n"
      "2: -> FLOCK  ADVISORY  WRITE 201 fd:00:4711 0 EOF\n"
      "2: -> FLOCK  ADVISORY  READ  202 fd:00:4711 0 EOF\n"
      "3: broken\n";
  const auto waits = file_lock_waits(locks);
  ASSERT_EQ(waits.size(), 2u);
  EXPECT_EQ(waits[0].waiter, 201);
  EXPECT_EQ(waits[1].waiter, 202);
  for (const FileLockWait& wait : waits) EXPECT_EQ(std::pair(wait.owner, wait.inode), std::pair(200, std::uint64_t{4711}));
}

// libunwind defines the unwinder's functions too; exceptions must not be thrown by them.
TEST(Look, ExceptionsKeepToTheCompilersLibrary) {
  for (const char* name : {"_Unwind_RaiseException", "_Unwind_Resume", "_Unwind_Backtrace"}) {
    Dl_info where{};
    ASSERT_NE(::dladdr(::dlsym(RTLD_DEFAULT, name), &where), 0) << name;
    EXPECT_EQ(std::string(where.dli_fname).find("libunwind"), std::string::npos) << where.dli_fname;
  }
}

}  // namespace
}  // namespace tailback::tools
