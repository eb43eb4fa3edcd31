// SPDX-License-Identifier: Apache-2.0
// Locks that are taken in orders which together form a ring: threads that come in step would wait for each other for ever. Goodlock's
// refinements (Havelund 2000; Bensalem and Havelund 2005): at least two threads, no lock that all of them hold around it, not ordered by
// creating and joining threads. Locks are told apart by address; of a lock for readers and writers, readers let each other in.
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "analyzers/rules/call_places.h"
#include "analyzers/rules/lock_places.h"
#include "analyzers/rules/rules.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kLongest = 5;       // locks in a ring
constexpr std::size_t kMostRings = 20;
constexpr std::size_t kMostSteps = 200'000;

using Edge = const LockOrderRow*;
using Ring = std::vector<Edge>;  // each takes what the next holds

// Where the second lock was taken; without its stack, where the first was.
StackId place_of(const LockOrderRow& order) { return order.taken_stack ? order.taken_stack : order.held_stack; }

class RingFinder {
 public:
  explicit RingFinder(const Model& model) : model_(model) {
    for (const LockOrderRow& row : model.recording.locks.orders) edges_[row.held].push_back(&row);
  }

  // One for each set of locks, and of those in the same places one.
  std::vector<Ring> rings() {
    for (const auto& [lock, edges] : edges_) {
      first_ = lock;
      for (const Edge edge : edges) extend(edge);
    }
    return std::move(found_);
  }

 private:
  // Rings begin at their lowest address, so that each is found once.
  void extend(Edge edge) {
    if (found_.size() >= kMostRings || ++steps_ > kMostSteps || !fits(edge)) return;
    path_.push_back(edge);
    if (edge->taken == first_) close();
    else if (path_.size() < kLongest && edge->taken > first_)
      for (const Edge next : edges_[edge->taken]) extend(next);
    path_.pop_back();
  }

  bool fits(Edge edge) const {
    for (const Edge other : path_) {
      if (other->thread == edge->thread || other->held == edge->held || apart(*other, *edge)) return false;
      if (std::any_of(edge->gates.begin(), edge->gates.end(), [&](std::uint64_t gate) { return std::count(other->gates.begin(), other->gates.end(), gate); })) return false;
    }
    return path_.empty() || !both_read(*path_.back(), *edge);
  }

  static bool both_read(const LockOrderRow& taker, const LockOrderRow& holder) {
    return taker.taken_call == trace::Call::rwlock_rdlock && holder.held_call == trace::Call::rwlock_rdlock;
  }

  // Ordered, whatever the timing: by the creation of threads, by a thread's end (which whoever created it may have waited for), by lives
  // one after the other.
  bool apart(const LockOrderRow& a, const LockOrderRow& b) const { return before(a, b) || before(b, a); }

  bool before(const LockOrderRow& a, const LockOrderRow& b) const {
    const auto* of_a = model_.recording.threads.find(a.thread);
    const auto* of_b = model_.recording.threads.find(b.thread);
    if (!of_a || !of_b) return false;
    const auto* towards_b = child_towards(a.thread, of_b);
    if (towards_b && a.last < towards_b->start_ns) return true;
    return of_a->end_ns && *of_a->end_ns < (child_towards(b.thread, of_a) ? b.first : of_b->start_ns);
  }

  // The thread that `creator` created, and that is `thread` or an ancestor of it; nullptr: there is none.
  const ThreadTable::Row* child_towards(ThreadId creator, const ThreadTable::Row* thread) const {
    while (thread && thread->creator != creator) {
      const bool has_older = thread->creator != 0 && thread->creator < thread->id;  // so that damage is no circle
      thread = has_older ? model_.recording.threads.find(thread->creator) : nullptr;
    }
    return thread;
  }

  void close() {
    if (path_.size() < 2 || both_read(*path_.back(), *path_.front())) return;
    std::set<std::uint64_t> locks;
    for (const Edge edge : path_) locks.insert(edge->held);
    if (seen_.insert(locks).second && told_.insert(places_of(path_)).second) found_.push_back(path_);
  }

  // The same functions in the same ring, between other objects of their kind, are one thing to repair.
  std::vector<std::string> places_of(const Ring& ring) {
    std::vector<std::string> places;
    for (const Edge edge : ring) {
      const auto [name, added] = functions_.try_emplace(place_of(*edge));
      if (added) name->second = own_frame(model_, place_of(*edge)).function;
      places.push_back(name->second);
    }
    std::sort(places.begin(), places.end());
    return places;
  }

  const Model& model_;
  std::map<std::uint64_t, std::vector<Edge>> edges_;
  std::uint64_t first_ = 0;
  Ring path_;
  std::vector<Ring> found_;
  std::set<std::set<std::uint64_t>> seen_;
  std::set<std::vector<std::string>> told_;
  std::map<StackId, std::string> functions_;
  std::size_t steps_ = 0;
};

Finding finding_of(const Model& model, const Ring& ring) {
  const Frame where = own_frame(model, place_of(*ring.front()));
  Finding finding;
  finding.severity = Severity::medium;
  finding.confidence = 0.7;
  finding.culprit = where;
  finding.gain.metric = "availability";
  finding.gain.how = "how likely the threads come in step is not known; once they do, they stand still for good";
  std::set<std::string> functions;
  for (const Edge edge : ring) functions.insert(own_frame(model, place_of(*edge)).function);
  std::string names;
  for (const std::string& function : functions) names += (names.empty() ? "" : ", ") + function;
  finding.title = fmt::format("{} threads take {} locks in orders that can deadlock ({})", ring.size(), ring.size(), names);
  for (const Edge edge : ring) {
    finding.evidence.push_back(text_evidence(exact_label(model, edge->thread), fmt::format("holds {} at {:#x}, takes {} at {:#x}", lock_name(model, edge->held, edge->held_call), edge->held,
                                                                                           lock_name(model, edge->taken, edge->taken_call), edge->taken)));
    if (edge->taken_stack) finding.stacks.push_back({"waiter", 1, "count", model.symbols->stack(edge->taken_stack)});
    if (edge->held_stack) finding.stacks.push_back({"holder", 1, "count", model.symbols->stack(edge->held_stack)});
  }
  finding.advice = {"take these locks in one order everywhere: by address, by rank, or both at once with std::scoped_lock / std::lock",
                    "or give the first back before the second is taken, where nothing in between needs both"};
  finding.verify = fmt::format("{}; the ring should be gone", record_again(model));
  return finding;
}

}  // namespace

RuleResult lock_order_inversion(const Model& model) {
  for (const auto& [name, value] : model.recording.options)
    if (name == "locks" && value != "order") return RuleResult::cannot("the order of locks was not recorded (--locks " + value + ")");
  if (!model.waits.missing.empty()) return RuleResult::cannot(model.waits.missing);
  RuleResult result;
  for (const Ring& ring : RingFinder(model).rings()) result.findings.push_back(finding_of(model, ring));
  const std::size_t pairs = model.recording.locks.orders.size();
  result.fine = pairs ? fmt::format("{} of locks held together, no ring among them", plural(pairs, "pair")) : "no thread took a lock while it held another";
  return result;
}

}  // namespace tailback::analyzers
