// SPDX-License-Identifier: Apache-2.0
// What descriptors stand for: an endpoint for each path or peer, however often it is opened, and for each descriptor number the
// endpoint that it means now. Lock-free, signal-safe. A descriptor seen for the first time is looked up through /proc and the socket
// calls, once (2 us); opens, connects and accepts that pass the hooks tell it right away.
#pragma once
#include <atomic>
#include <cstdint>

#include "agent/capture/ring.h"
#include "agent/trace/calls.h"

namespace tailback::capture {

using trace::EndpointKind;
using EndpointId = std::uint32_t;  // 0: not known

// What was said on the connections of an endpoint since the engine last asked (request_turns).
struct Turns {
  static constexpr std::uint32_t kLatencies = 32;  // as ChannelSums::latencies
  std::atomic<std::uint64_t> opened, closed, turns, turn_ns, ready_turns, first_turns, first_ns, delayed_turns, delayed_ns;
  std::atomic<std::uint32_t> delayed_stack, watched;  // watched: there was a delayed turn, second writes keep their stacks
  std::atomic<std::uint32_t> latencies[kLatencies];
};

struct Endpoint {
  std::atomic<std::uint32_t> ready;
  std::uint32_t name_offset, name_bytes;
  EndpointKind kind;
  std::atomic<std::uint32_t> flags;  // trace::kLoopback ...
  std::atomic<std::uint64_t> size_bytes;
  Turns turns;
};

class Endpoints {
 public:
  static constexpr std::uint32_t kMost = 16384;

  bool init();
  void after_fork();  // in the child, where the tables are wiped
  // The endpoint of this kind and name, made when new; 0 when there is no room.
  EndpointId intern(EndpointKind kind, const char* name, std::uint32_t bytes, std::uint32_t flags);
  // The same, but never made; 0 when it is not known.
  EndpointId find(EndpointKind kind, const char* name, std::uint32_t bytes) const;
  Endpoint* at(EndpointId id) { return id && id <= count() && entries_[id].ready.load(std::memory_order_acquire) ? &entries_[id] : nullptr; }
  const char* name(const Endpoint& endpoint) const { return names_ + endpoint.name_offset; }
  std::uint32_t count() const { return claimed_.load(std::memory_order_acquire); }

 private:
  static constexpr std::uint32_t kSlots = kMost * 2;
  static constexpr std::uint32_t kNameBytes = 1 << 21;
  bool same(EndpointId id, EndpointKind kind, const char* name, std::uint32_t bytes) const;
  EndpointId claim(EndpointKind kind, const char* name, std::uint32_t bytes, std::uint32_t flags);

  Endpoint* entries_ = nullptr;
  std::atomic<std::uint32_t>* slots_ = nullptr;
  char* names_ = nullptr;
  std::atomic<std::uint32_t> claimed_{0}, names_used_{0};
};

struct Descriptor {
  std::atomic<EndpointId> endpoint;
  std::uint16_t writes;                // since the last read
  std::uint8_t small_writes;           // of them, at most 255
  bool is_stream;                      // of a socket: its turns are counted
  bool answered;                       // there was a turn
  bool held_back;                      // of this turn, what was written second was not sent at once
  std::uint64_t last_write;            // ticks, when it was under way to the other side
  std::uint64_t last_read;             // ticks, its end
  StackId second_write;                // of this turn, where it was held back

  void begin_turn() { writes = 0, small_writes = 0, held_back = false; }
};

class Descriptors {
 public:
  static constexpr std::uint32_t kMost = 65536;  // higher numbers stay unknown

  bool init();
  // nullptr when the number is out of range.
  Descriptor* at(int fd) { return static_cast<std::uint32_t>(fd) < kMost ? &entries_[fd] : nullptr; }
  int number_of(const Descriptor* descriptor) const { return static_cast<int>(descriptor - entries_); }
  void set(int fd, EndpointId endpoint, bool is_stream);
  void forget(int fd) { set(fd, 0, false); }
  void forget_range(std::uint32_t first, std::uint32_t last);

 private:
  Descriptor* entries_ = nullptr;
  std::atomic<std::uint32_t> highest_{0};
};

// Asks the kernel what a descriptor is. 0 when it is none, or there is no room.
EndpointId look_up_descriptor(Endpoints& endpoints, int fd);

// The same for a descriptor just opened by an absolute path, which is its name: only kind and size are asked for, the
// first time.
EndpointId look_up_opened(Endpoints& endpoints, int fd, const char* path, std::uint32_t bytes, std::uint32_t flags);

// Of a socket address; accepted and listening ones are named by our own side. Bytes written.
struct SocketName {
  char text[120];
  std::uint32_t bytes;
  bool loopback;
};
SocketName name_of_address(const void* address, std::uint32_t bytes);

}  // namespace tailback::capture
