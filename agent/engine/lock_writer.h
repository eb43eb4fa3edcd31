// SPDX-License-Identifier: Apache-2.0
// From what threads noted of their locks to records in the dump, and the search for threads that wait for each other for ever. Under the
// drain lock, on the helper thread.
//
// The search: a thread that is inside a lock or a join waits for whoever has it. Twice, a quarter of a second apart, the same ring of
// threads, each still inside the same call that it began before the first look: none of them ran meanwhile, so each held all the time
// what it held at the second look, and the ring is there for good. Calls that give up after a time are left out. Locks of files, which
// others may give back, count after two seconds, and if the kernel says that they are taken; a ring may then lead through another process.
#pragma once
#include "agent/capture/thread.h"
#include "agent/engine/call_writer.h"
#include "agent/engine/drain.h"
#include "agent/engine/stack_writer.h"

namespace tailback::engine {

class LockWriter {
 public:
  void init(capture::ThreadTable& threads, StackWriter& stacks, CallWriter& calls, Drain& drain, DumpFile& dump);
  // A new dump from now on.
  void begin(std::uint64_t session_start_ns);

  // Pairs of locks noted since the last time.
  void orders();
  void look_for_deadlocks(std::uint64_t now_ns);

  // The thread that has what such a call on `object` waits for.
  struct Owner {
    capture::ThreadBlock* block = nullptr;  // null: nobody, or it cannot be known
    capture::StackId taken_at = 0;          // 0 not known
  };
  Owner owner_of(trace::Call call, std::uint64_t object) const;

 private:
  struct Waiting {
    capture::ThreadBlock* block;
    std::uint64_t thread, object, since;  // since: ticks
    trace::Call call;
    bool seen, in_path;                   // of the walk under way
  };
  static constexpr std::uint32_t kWaiting = 256, kRings = 16;
  struct Rings {
    std::uint64_t signatures[kRings];
    std::uint32_t count;
    bool contains(std::uint64_t signature) const;
    void add(std::uint64_t signature);
  };

  void gather();
  void walk(std::uint32_t from, std::uint32_t depth, std::uint64_t now_ns);
  bool is_certain(std::uint32_t begin, std::uint32_t end) const;
  void through_process(std::uint32_t waiting, std::uint64_t now_ns);
  bool settled(std::uint64_t signature);
  void found_ring(std::uint32_t begin, std::uint32_t end, std::uint64_t now_ns);
  void write_ring(std::uint32_t begin, std::uint32_t end, std::uint64_t now_ns);
  void write_member(const Waiting& member, std::uint64_t members, std::uint64_t owner, std::uint64_t process, capture::StackId taken_at, std::uint64_t now_ns);
  std::uint64_t since_start(std::uint64_t monotonic_ns) const { return monotonic_ns > session_start_ns_ ? monotonic_ns - session_start_ns_ : 0; }

  capture::ThreadTable* threads_ = nullptr;
  StackWriter* stacks_ = nullptr;
  CallWriter* calls_ = nullptr;
  Drain* drain_ = nullptr;
  DumpFile* dump_ = nullptr;
  std::uint64_t session_start_ns_ = 0;
  std::uint64_t written_ = 0;  // rings
  Waiting waiting_[kWaiting] = {};
  std::uint32_t waiting_count_ = 0;
  std::uint32_t path_[kWaiting] = {};
  Rings before_ = {}, now_ = {}, told_ = {};
};

}  // namespace tailback::engine
