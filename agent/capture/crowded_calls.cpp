// SPDX-License-Identifier: Apache-2.0
// Threads that work on more objects in an epoch than their sums have places for, as a server with many connections does. What is waited for
// keeps its name there; what is done quickly is told by its kind of call.
#include "agent/capture/record_call.h"

namespace tailback::capture {

namespace {

// The place of a kind of call, taking a free one; nullptr: there is none.
template <class Table>
auto* place_of_kind(Table& table, Call call) {
  auto* place = table.crowded();
  for (; place != table.end(); ++place) {
    if (place->call == Call::none) place->call = call;
    if (place->call == call) return place;
  }
  return static_cast<decltype(place)>(nullptr);
}

// What would be missed with sums: their time, and a little for each call so that wakes, which take none, count for something.
constexpr std::uint64_t kWorthOfCall = 1'000;
template <class Sums>
std::uint64_t worth(const Sums& sums) {
  return sums.ns + sums.calls * kWorthOfCall;
}

// Among the places that a call of `ns` may have, the one with the least in it, made free; nullptr: each has more.
template <class Table>
auto* displace_least(ThreadCalls& own, Table& table, std::uint32_t slot, std::uint64_t ns) {
  auto* least = &table.at(slot);
  for (std::uint32_t tries = 1; tries < kCallProbes; ++tries)
    if (auto* sums = &table.at(slot + tries); worth(*sums) < worth(*least)) least = sums;
  if (worth(*least) >= ns) return static_cast<decltype(least)>(nullptr);
  own.lost += least->calls;
  if (auto* kind = place_of_kind(table, least->call)) add(*kind, *least);
  *least = {};
  return least;
}

template <class Table>
auto* crowded_place(ThreadCalls& own, Table& table, std::uint32_t slot, Call call, std::uint64_t ns) {
  if (ns >= kBlockedNs)
    if (auto* place = displace_least(own, table, slot, ns)) return place;
  ++own.lost;
  return place_of_kind(table, call);
}

}  // namespace

ChannelSums* crowded_channel(ThreadCalls& own, CallSums& set, std::uint64_t object, Call call, std::uint64_t ns) {
  ChannelSums* sums = crowded_place(own, set.channels, hash_of_call(object, call, 0), call, ns);
  if (sums && sums->call == Call::none) sums->object = object, sums->call = call;
  return sums;
}

StackSums* crowded_stack(ThreadCalls& own, CallSums& set, std::uint64_t object, Call call, StackId stack, std::uint64_t lock, std::uint64_t ns) {
  StackSums* sums = crowded_place(own, set.stacks, hash_of_call(object ^ lock << 1, call, stack), call, ns);
  if (sums && sums->call == Call::none) sums->object = object, sums->call = call, sums->stack = stack, sums->lock = lock;
  return sums;
}

}  // namespace tailback::capture
