// SPDX-License-Identifier: Apache-2.0
// Folds the records about calls into CallTables within bounds: beyond them objects are no longer told apart, then stacks; no
// call and no nanosecond of tier 1 is lost. Used by RecordingReader, which has looked at times and ids before.
#pragma once
#include <cstdint>
#include <unordered_map>

#include "agent/trace/events.h"
#include "analyzers/model/call_tables.h"

namespace tailback::analyzers {

class CallReader {
 public:
  CallReader(CallTables& out, std::size_t most_rows, std::size_t most_events) : out_(out), most_rows_(most_rows), most_events_(most_events) {}

  void endpoint(const trace::Endpoint& event);
  void aggregate(const trace::CallAggregate& event);
  void stack(const trace::CallStack& event, StackId stack);
  void event(const trace::CallEvent& event, StackId stack);
  void wake(const trace::Wake& event, StackId stack);
  void still_blocked(const trace::StillBlocked& event, StackId stack);
  void turns(const trace::RequestTurns& event, StackId delayed_stack);

  // The numbers of a record as tables know them.
  CallKey key_of(std::uint64_t thread, std::uint64_t call, std::uint64_t object);

 private:
  struct StackKey {
    CallKey key;
    StackId stack = 0;
    std::uint64_t lock = 0;  // held meanwhile
    bool operator==(const StackKey&) const = default;
  };
  struct Hash {
    std::size_t operator()(const StackKey& key) const;
  };
  using Index = std::unordered_map<StackKey, std::size_t, Hash>;

  void span(const CallKey& key, const trace::CallAggregate& event, const CallCounts& counts);
  std::uint64_t endpoint_row(std::uint64_t id);
  // Of too many single calls and wakes, those of every other stretch of time stay, as often as it takes. `end`: of the call.
  bool keeps_event(std::uint64_t end);
  void thin_events();
  // The row of a key in a table of at most `most` rows; without its object, then without its stack when there are too many.
  template <class Row>
  Row& row_of(std::vector<Row>& rows, Index& index, StackKey key, std::size_t most);

  CallTables& out_;
  std::size_t most_rows_, most_events_;
  std::unordered_map<std::uint64_t, std::uint64_t> endpoints_;
  Index rows_, stacks_, histograms_, turns_, wakes_, blocked_;
};

}  // namespace tailback::analyzers
