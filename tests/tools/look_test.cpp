// SPDX-License-Identifier: Apache-2.0
// What `tailback stacks` prints: rings of threads, like stacks once, the same as JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tools/reports/look_json.h"
#include "tools/reports/look_text.h"

namespace tailback::tools {
namespace {

using analyzers::Frame;
using analyzers::ProcessLook;
using analyzers::rings_of;
using analyzers::ThreadLook;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

ThreadLook thread(pid_t tid, std::optional<pid_t> owner = {}) {
  ThreadLook look;
  look.tid = tid;
  look.name = "worker";
  look.state = 'S';
  look.owner = owner;
  if (owner) look.call = "pthread_mutex_lock", look.object = "mutex 0x10";
  look.frames = {Frame{"wait", "", "a.cc", 7, "server", 16, false}, Frame{"run", "", "a.cc", 9, "server", 32, false}};
  return look;
}

ProcessLook process(std::vector<ThreadLook> threads) {
  ProcessLook look;
  look.pid = 1;
  look.command = "./server -x";
  look.through = "ptrace";
  look.threads = std::move(threads);
  return look;
}

std::string text(const ProcessLook& look) { return look_text(look, Terminal{}, false); }

TEST(Rings, AreFoundOnceWhereverTheyAreEntered) {
  EXPECT_THAT(rings_of(process({thread(1), thread(2, 3), thread(3, 2)})), ElementsAre(UnorderedElementsAre(1u, 2u)));
  EXPECT_THAT(rings_of(process({thread(1, 2), thread(2, 3), thread(3, 4), thread(4, 2)})), ElementsAre(UnorderedElementsAre(1u, 2u, 3u)));
  EXPECT_THAT(rings_of(process({thread(5, 5)})), ElementsAre(ElementsAre(0u)));
  EXPECT_EQ(rings_of(process({thread(1, 2), thread(2, 1), thread(3, 4), thread(4, 3), thread(5, 1)})).size(), 2u);
}

TEST(Rings, ChainsAreNone) {
  EXPECT_THAT(rings_of(process({})), IsEmpty());
  EXPECT_THAT(rings_of(process({thread(1, 2), thread(2, 3), thread(3)})), IsEmpty());
  EXPECT_THAT(rings_of(process({thread(1, 99), thread(2, 1)})), IsEmpty()) << "an owner that is no thread of it";
}

TEST(Rings, WhoGivesUpClosesNone) {
  std::vector<ThreadLook> threads{thread(2, 3), thread(3, 2)};
  threads[1].gives_up = true;
  EXPECT_THAT(rings_of(process(threads)), IsEmpty());
  threads[1].gives_up = false, threads[1].seconds = 0;
  EXPECT_THAT(rings_of(process(threads)), IsEmpty()) << "it began while the others were looked at";
  threads[1].seconds = 0.5;
  EXPECT_EQ(rings_of(process(threads)).size(), 1u);
}

TEST(LookText, RingsComeFirst) {
  const std::string said = text(process({thread(1), thread(2, 3), thread(3, 2)}));
  EXPECT_THAT(said, HasSubstr("deadlock: 2 threads wait for each other"));
  EXPECT_LT(said.find("deadlock:"), said.find("thread 1 (worker)"));
  EXPECT_THAT(said, HasSubstr("thread 2 (worker) waits for mutex 0x10 of thread 3 (worker)"));
  EXPECT_THAT(text(process({thread(5, 5)})), HasSubstr("deadlock: a thread waits for itself"));
}

TEST(LookText, ThreadsThatDoTheSameAreOneEntry) {
  std::vector<ThreadLook> threads;
  for (pid_t tid = 10; tid < 30; ++tid) threads.push_back(thread(tid));
  threads.push_back(thread(40, 10));
  const std::string said = text(process(threads));
  EXPECT_THAT(said, HasSubstr("20 threads: 10 (worker), 11 (worker)"));
  EXPECT_THAT(said, HasSubstr("and 12 more"));
  EXPECT_THAT(said, HasSubstr("thread 40 (worker)\n  waits for mutex 0x10 of thread 10 (worker)"));
  threads[3].frames[0].address = 17;
  EXPECT_THAT(text(process(threads)), HasSubstr("19 threads:"));
}

TEST(LookText, SaysWhatIsHeldAndSinceWhen) {
  ThreadLook holder = thread(7);
  holder.call = "fdatasync", holder.object = "/var/log/x", holder.seconds = 1.5;
  holder.held.push_back({"mutex Log::lock 0x10", 16, Frame{"Log::add", "", "/src/log.cc", 12}, 2.0});
  const std::string said = text(process({holder}));
  EXPECT_THAT(said, HasSubstr("in fdatasync on /var/log/x for 1.50 s"));
  EXPECT_THAT(said, HasSubstr("holds mutex Log::lock 0x10 for 2.00 s, taken in Log::add (log.cc:12)"));
}

TEST(LookText, NothingSteersTheTerminal) {
  ThreadLook odd = thread(1);
  odd.name = "a\x1b[2Jb", odd.object = "/tmp/\x07", odd.call = "read";
  EXPECT_THAT(text(process({odd})), Not(HasSubstr("\x1b")));
  EXPECT_THAT(text(process({odd})), Not(HasSubstr("\x07")));
}

TEST(LookJson, HoldsTheSame) {
  ThreadLook waiter = thread(2, 3);
  waiter.seconds = 0.25;
  waiter.owner_place = Frame{"take", "", "b.cc", 3, "server", 48, false};
  const auto json = nlohmann::json::parse(look_json(process({thread(1), waiter, thread(3, 2)})));
  EXPECT_EQ(json["schema"], "tailback.stacks/1");
  EXPECT_EQ(json["deadlocks"].size(), 1u);
  EXPECT_EQ(json["threads"][0]["owner"], nullptr);
  EXPECT_EQ(json["threads"][0]["frames"][1]["function"], "run");
  EXPECT_EQ(json["threads"][1]["owner"], 3);
  EXPECT_EQ(json["threads"][1]["seconds"], 0.25);
  EXPECT_EQ(json["threads"][1]["owner_took_it"]["line"], 3);
  EXPECT_EQ(json["threads"][2]["owner_took_it"], nullptr);
}

}  // namespace
}  // namespace tailback::tools
