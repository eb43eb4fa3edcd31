// SPDX-License-Identifier: Apache-2.0
// Time inside a call is not all waiting: the kernel copies bytes on the thread's CPU time, and a woken thread queues for a CPU
// before it returns. Both are known from the thread's clocks and taken off, so that no second counts twice.
#include "analyzers/model/thread_waits.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace tailback::analyzers {

namespace {

using trace::Call;
using trace::CallGroup;
using trace::EndpointKind;

constexpr double kMostly = 0.8;      // of the time blocked: what a thread is there to wait for
constexpr double kOneOfTwo = 0.5;    // event loops also do I/O
constexpr double kWaits = 0.1;       // of its life: less and it is a working thread

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

const EndpointRow& endpoint_of(const Recording& recording, const CallKey& key) {
  const bool endpoint = trace::works_on_endpoint(trace::group_of(key.call)) && key.object < recording.calls.endpoints.size();
  return recording.calls.endpoints[endpoint ? key.object : 0];
}

// Where a thread may stand and wait for work to come.
bool brings_work(Call call, EndpointKind kind) {
  switch (trace::group_of(call)) {
    case CallGroup::condition: case CallGroup::semaphore: case CallGroup::futex: return true;
    case CallGroup::connection: return call == Call::accept;
    case CallGroup::input:
      return kind == EndpointKind::pipe || kind == EndpointKind::tcp_accepted || kind == EndpointKind::udp || kind == EndpointKind::eventfd ||
             kind == EndpointKind::timerfd || kind == EndpointKind::terminal;
    default: return false;
  }
}

// The same, where nothing but a request from outside can end the wait.
bool serves_requests(Call call, EndpointKind kind) {
  return call == Call::accept || (trace::group_of(call) == CallGroup::input && kind == EndpointKind::tcp_accepted);
}

// Endpoints of which this process asks something.
bool is_asked(EndpointKind kind) { return kind == EndpointKind::tcp_peer || kind == EndpointKind::unix_socket; }

class ThreadSplit {
 public:
  ThreadSplit(const Recording& recording, ThreadWaits& out) : recording_(recording), out_(out) {}

  void add(const CallSite& site) {
    const EndpointRow& endpoint = endpoint_of(recording_, site.key);
    const EndpointKind kind = endpoint.kind;
    const auto cause = static_cast<std::size_t>(cause_of(site.key.call, kind));
    const bool moves_bytes = trace::works_on_endpoint(trace::group_of(site.key.call)) && trace::group_of(site.key.call) != CallGroup::file_lock;
    if (!moves_bytes) {
      waits_[cause] += site.seconds;
    } else {
      quick_[cause] += site.seconds - site.blocked_seconds;
      const bool by_device = trace::group_of(site.key.call) == CallGroup::flush || (!is_disk(kind) && !(endpoint.flags & trace::kNonBlocking));
      (by_device ? waits_ : copies_)[cause] += site.blocked_seconds;
    }
    if (trace::group_of(site.key.call) == CallGroup::input && is_asked(kind)) answers_read_ += site.blocked_seconds;
    const bool answer = kind == EndpointKind::pipe && is_answered_by_child(recording_, site.key.object);
    if (brings_work(site.key.call, kind) && !answer) work_[{site.key.call, site.stack}] += site.seconds, work_causes_[cause] += site.seconds;
    if (serves_requests(site.key.call, kind)) requests_ += site.seconds;
  }

  // Time that answers to this thread's requests took, by the turns on the connections it sends on.
  void add_awaited(double seconds) { awaited_ += seconds; }

  void finish(double system_seconds) {
    take_off(quick_, system_seconds);
    take_off(copies_, system_seconds);
    double all = 0;
    for (std::size_t i = 0; i < kWaitCauses; ++i) out_.blocked[i] = waits_[i] + copies_[i] + quick_[i], all += out_.blocked[i];
    const double room = std::max(0.0, out_.alive - out_.running - out_.runnable);
    if (all > room)
      for (double& part : out_.blocked) part *= room / all;
    out_.unexplained = std::max(0.0, room - out_.blocked_seconds());
    find_role();
  }

 private:
  using Causes = std::array<double, kWaitCauses>;

  // CPU time in the kernel first explains calls that returned at once, then those that copied for long.
  static void take_off(Causes& causes, double& cpu) {
    double all = 0;
    for (const double part : causes) all += part;
    if (all <= 0) return;
    const double kept = std::max(0.0, all - cpu) / all;
    cpu = std::max(0.0, cpu - all);
    for (double& part : causes) part *= kept;
  }

  double part(WaitCause cause) const { return out_.blocked[static_cast<std::size_t>(cause)]; }
  void by_design(WaitCause cause) { out_.designed[static_cast<std::size_t>(cause)] = part(cause); }

  void find_role() {
    const double all = out_.blocked_seconds();
    if (all < kWaits * out_.alive || all <= 0) return;
    double work_at_one_place = 0;
    for (const auto& [place, time] : work_) work_at_one_place = std::max(work_at_one_place, time);
    double claimed = 0;
    for (const double time : waits_) claimed += time;
    const double polling = part(WaitCause::poll) - answers_polled();
    if (polling >= kOneOfTwo * all) {
      out_.role = ThreadRole::event_loop;
      out_.designed[static_cast<std::size_t>(WaitCause::poll)] = polling;
      return;
    }
    if (part(WaitCause::sleep) >= kMostly * all) return set(ThreadRole::timer, {WaitCause::sleep});
    if (part(WaitCause::join) + part(WaitCause::child) >= kMostly * all) return set(ThreadRole::coordinator, {WaitCause::join, WaitCause::child});
    out_.role = ThreadRole::held_up;
    out_.designed[static_cast<std::size_t>(WaitCause::network)] = std::min(part(WaitCause::network), requests_);
    if (work_at_one_place < kMostly * std::max(claimed, all)) return;
    out_.role = ThreadRole::idle_worker;
    for (std::size_t i = 0; i < kWaitCauses; ++i) out_.designed[i] = std::min(out_.blocked[i], work_causes_[i]);
  }

  // Time in poll that was waiting for answers, one at a time. More answers than time: they were awaited together, by an event loop.
  double answers_polled() const {
    const double waited = part(WaitCause::poll) + answers_read_;
    return awaited_ > 1.1 * waited ? 0 : std::clamp(awaited_ - answers_read_, 0.0, part(WaitCause::poll));
  }

  void set(ThreadRole role, std::initializer_list<WaitCause> causes) {
    out_.role = role;
    for (const WaitCause cause : causes) by_design(cause);
  }

  const Recording& recording_;
  ThreadWaits& out_;
  Causes waits_{}, copies_{}, quick_{}, work_causes_{};
  std::map<std::pair<Call, StackId>, double> work_;  // seconds waited for work by place
  double requests_ = 0, awaited_ = 0, answers_read_ = 0;
};

void set_clocks(const ThreadTable::Row& row, const Timeline& timeline, std::size_t line, ThreadWaits& waits) {
  waits.thread = row.id;
  if (line >= timeline.threads.size()) return;
  for (const ThreadBin& bin : timeline.threads[line].bins) {
    waits.alive += static_cast<double>(bin.alive);
    waits.running += static_cast<double>(bin.running);
    waits.runnable += static_cast<double>(bin.runnable);
  }
}

// Turns are counted by connection, not by thread: each goes to the threads that send on it, by their number of calls.
template <class Give>
void share_out_turns(const Recording& recording, std::span<const CallSite> sites, Give&& give) {
  std::unordered_map<std::uint64_t, double> turns, sent;
  for (const TurnRow& row : recording.calls.turns)
    if (is_asked(recording.calls.endpoints[row.endpoint].kind)) turns[row.endpoint] = seconds(row.turn_ns);
  const auto sends = [&](const CallSite& site) { return trace::group_of(site.key.call) == CallGroup::output && turns.contains(site.key.object); };
  for (const CallSite& site : sites)
    if (sends(site)) sent[site.key.object] += site.calls;
  for (const CallSite& site : sites)
    if (sends(site)) give(site.key.thread, turns[site.key.object] * site.calls / std::max(1.0, sent[site.key.object]));
}

}  // namespace

std::vector<ThreadWaits> split_threads(const Recording& recording, const Timeline& timeline, std::span<const CallSite> sites) {
  const auto& rows = recording.threads.rows;
  std::vector<ThreadWaits> threads(rows.size());
  std::vector<ThreadSplit> splits;
  splits.reserve(rows.size());
  std::unordered_map<ThreadId, std::size_t> lines;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    set_clocks(rows[i], timeline, i, threads[i]);
    splits.emplace_back(recording, threads[i]);
    lines[rows[i].id] = i;
  }
  for (const CallSite& site : sites)
    if (const auto line = lines.find(site.key.thread); line != lines.end()) splits[line->second].add(site);
  share_out_turns(recording, sites, [&](ThreadId thread, double awaited) {
    if (const auto line = lines.find(thread); line != lines.end()) splits[line->second].add_awaited(awaited);
  });
  for (std::size_t i = 0; i < rows.size(); ++i) splits[i].finish(rows[i].states.empty() ? 0 : seconds(rows[i].states.back().system_ns));
  return threads;
}

}  // namespace tailback::analyzers
