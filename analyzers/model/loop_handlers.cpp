// SPDX-License-Identifier: Apache-2.0
// Long turns are made of CPU samples and of calls that blocked, each with a stack. What their stacks have in common with that of the loop's
// own wait is the loop; below it the functions make a tree. A function that runs in short turns as much as in long ones hands requests on to
// others: the search goes inward from it until the time lies in long turns alone.
#include "analyzers/model/loop_handlers.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "analyzers/model/cut_stacks.h"
#include "analyzers/model/patterns.h"

namespace tailback::analyzers {

namespace {

constexpr double kWorthLooking = 0.1;   // of all time explained in long turns
constexpr double kInLongTurns = 0.8;    // of a function's time: it is what makes turns long
constexpr double kNearlyAll = 0.9;      // of a function's time in one that it calls
constexpr double kHardlyElsewhere = 0.05, kTwoSamples = 0.011;  // seconds outside of long turns that are no sign of handing on
constexpr double kExplained = 0.5;      // of a turn: then the rest was waiting for a CPU for it

using Path = FunctionPath;

struct Piece {  // of a long turn
  const LongTurnRow* turn = nullptr;
  StackId stack = 0;
  double seconds = 0;
  const TurnPartRow* part = nullptr;  // nullptr: CPU time
};

struct Branch {
  FunctionId function = 0;
  StackId stack = 0;  // one of those through it
  double seconds = 0;
  std::vector<const Piece*> pieces;
  std::map<FunctionId, std::size_t> below;
};

double seconds(std::uint64_t ns) { return static_cast<double>(ns) * 1e-9; }

class Search {
 public:
  Search(const Recording& recording, const Symbols& symbols, const Waits& waits, const EventLoop& loop, const std::vector<const SampleRow*>& samples)
      : recording_(recording), symbols_(symbols), loop_(loop) {
    take_pieces(samples);
    for (const Piece& piece : pieces_) all_ += piece.seconds;
    grow_tree();
    measure_functions(waits);
  }

  std::vector<LoopHandler> run() {
    if (all_ > 0) look_below(0);
    std::sort(handlers_.begin(), handlers_.end(), [](const LoopHandler& a, const LoopHandler& b) { return a.seconds > b.seconds; });
    return std::move(handlers_);
  }

 private:
  void take_pieces(const std::vector<const SampleRow*>& samples) {
    for (const LongTurnRow* turn : loop_.long_turns) {
      const auto first = std::lower_bound(samples.begin(), samples.end(), turn->t, [](const SampleRow* row, std::uint64_t t) { return row->t < t; });
      for (auto at = first; at != samples.end() && (*at)->t <= turn->t + turn->ns; ++at) pieces_.push_back({turn, (*at)->stack, seconds((*at)->weight_ns), nullptr});
      for (const TurnPartRow& part : turn->parts) pieces_.push_back({turn, part.stack, seconds(std::min(part.ns, turn->ns)), &part});
    }
  }

  // Of the code of a script, native stacks do not tell which function it is; and one function is interpreted first and compiled later.
  bool is_script(FunctionId function) {
    const auto [known, added] = scripts_.try_emplace(function);
    if (!added) return known->second;
    const std::string& module = symbols_.module_name(function);
    return known->second = symbols_.resolved(function) ? match_pattern(bare_name(symbols_.full_name(function)), module) == PatternId::interpreter : module.empty();
  }

  // Functions of a stack, outermost first, inlined ones in their place; what a script calls within itself is one.
  const Path& path_of(StackId stack) {
    const auto [known, added] = paths_.try_emplace(stack);
    if (!added) return known->second;
    Path path;
    for (StackId node = stack; node && node < recording_.nodes.size(); node = recording_.nodes[node].parent) {
      if (recording_.nodes[node].kind != 0) continue;  // no code: that frames beyond are not known
      for (const SymbolFrame& frame : symbols_.frames(node)) {
        const bool script = is_script(frame.function);
        if (script && script_ == 0) script_ = frame.function;
        if (!script) path.push_back(frame.function);
        else if (path.empty() || path.back() != script_) path.push_back(script_);
      }
    }
    std::reverse(path.begin(), path.end());
    return known->second = std::move(path);
  }

  std::size_t child_of(std::size_t branch, FunctionId function, StackId stack) {
    const auto known = tree_[branch].below.find(function);
    if (known != tree_[branch].below.end()) return known->second;
    tree_[branch].below[function] = tree_.size();
    tree_.push_back({function, stack, 0, {}, {}});
    return tree_.size() - 1;
  }

  // Of a cut stack of which nothing tells who called it, what is known of it stands by itself.
  Path caller_or_own(CutStacks& stacks, const Piece& piece) {
    Path caller = stacks.caller_of(piece.turn->t, path_of(piece.stack));
    return caller.empty() ? path_of(piece.stack) : caller;
  }

  void grow_tree() {
    tree_.emplace_back();
    const Path wait = path_of(loop_.wait);
    CutStacks stacks(wait.empty() ? 0 : wait.front());
    for (const Piece& piece : pieces_) stacks.see(piece.turn->t, path_of(piece.stack));
    for (const Piece& piece : pieces_) {
      const bool whole = stacks.is_whole(path_of(piece.stack));
      const Path path = whole ? path_of(piece.stack) : caller_or_own(stacks, piece);
      auto at = std::mismatch(path.begin(), path.end(), wait.begin(), wait.end()).first;
      if (at == path.end()) continue;  // the loop itself
      std::size_t branch = 0;
      for (; at != path.end(); ++at) {
        branch = child_of(branch, *at, piece.stack);
        if (whole) tree_[branch].stack = piece.stack;
        tree_[branch].seconds += piece.seconds;
        tree_[branch].pieces.push_back(&piece);
      }
    }
  }

  void add_functions(std::unordered_map<FunctionId, double>& to, StackId stack, double seconds) {
    const Path& path = path_of(stack);
    const std::set<FunctionId> once(path.begin(), path.end());
    for (const FunctionId function : once) to[function] += seconds;
  }

  // Turns of which nothing is told beyond their length: their samples came too late, and count as any other's.
  double for_each_known() const {
    std::set<const LongTurnRow*> known;
    for (const Piece& piece : pieces_) known.insert(piece.turn);
    return known.empty() ? 1 : static_cast<double>(loop_.long_turns.size()) / static_cast<double>(known.size());
  }

  void measure_functions(const Waits& waits) {
    const double each = loop_.told * for_each_known();
    for (const Piece& piece : pieces_) add_functions(in_long_, piece.stack, each * piece.seconds);
    const ThreadId thread = loop_.row->thread;
    for (const CpuRow& row : recording_.cpu)
      if (row.thread == thread) add_functions(anywhere_, row.stack, seconds(row.weight_ns));
    for (const CallSite& site : waits.sites)
      if (site.key.thread == thread && site.key.call != loop_.call) add_functions(anywhere_, site.stack, site.blocked_seconds);
  }

  double elsewhere(FunctionId function) const {
    const auto all = anywhere_.find(function), mine = in_long_.find(function);
    return std::max(0.0, (all == anywhere_.end() ? 0 : all->second) - (mine == in_long_.end() ? 0 : mine->second));
  }
  double in_long(FunctionId function) const {
    const auto mine = in_long_.find(function);
    return mine == in_long_.end() ? 0 : mine->second;
  }
  bool makes_long(const Branch& branch) const {
    return branch.function && in_long(branch.function) >= kInLongTurns * (in_long(branch.function) + elsewhere(branch.function));
  }
  bool hardly_elsewhere(const Branch& branch) const {
    return elsewhere(branch.function) <= std::max(kTwoSamples, kHardlyElsewhere * in_long(branch.function));
  }
  bool is_own(const Branch& branch) const {
    return symbols_.resolved(branch.function) && !is_runtime_code(bare_name(symbols_.full_name(branch.function)), symbols_.module_name(branch.function));
  }

  void look_below(std::size_t branch) {
    const std::map<FunctionId, std::size_t> below = tree_[branch].below;
    for (const auto& [function, child] : below) {
      if (tree_[child].seconds < kWorthLooking * all_) continue;
      if (!makes_long(tree_[child])) look_below(child);
      else if (has_handler(child) || !look_at_parts(child)) add_handler(named(child, branch == 0));
    }
  }

  // Whether what it hands on to makes up its time; then that was added.
  bool look_at_parts(std::size_t branch) {
    const std::size_t before = handlers_.size();
    look_below(branch);
    double found = 0;
    for (std::size_t i = before; i < handlers_.size(); ++i) {
      found += handlers_[i].cpu;
      for (const double part : handlers_[i].blocked) found += part;
    }
    if (found >= kInLongTurns * tree_[branch].seconds) return true;
    handlers_.resize(before);
    return false;
  }

  // On the way inward there is a function that hardly does anything else. Else, when it does something else at all, it hands on to several.
  bool has_handler(std::size_t branch) const {
    const std::vector<std::size_t> way = way_inward(branch);
    return std::any_of(way.begin(), way.end(), [&](std::size_t at) { return is_own(tree_[at]) && hardly_elsewhere(tree_[at]); });
  }

  // The functions that have nearly all of its time, from it inward.
  std::vector<std::size_t> way_inward(std::size_t branch) const {
    std::vector<std::size_t> way{branch};
    for (;;) {
      const Branch& last = tree_[way.back()];
      const auto next = std::find_if(last.below.begin(), last.below.end(), [&](const auto& child) { return tree_[child.second].seconds >= kNearlyAll * tree_[branch].seconds; });
      if (next == last.below.end()) return way;
      way.push_back(next->second);
    }
  }

  // `first`: the loop calls it. Then nothing tells whether it hands on, where hardly anything else was handled: named is the innermost function
  // that has nearly all of the time. Else the outermost that hardly does anything else.
  std::size_t named(std::size_t branch, bool first) const {
    const std::vector<std::size_t> way = way_inward(branch);
    const auto own = [&](std::size_t at) { return is_own(tree_[at]); };
    const auto fits = [&](std::size_t at) { return own(at) && hardly_elsewhere(tree_[at]); };
    const bool hands_on = !first || !hardly_elsewhere(tree_[branch]);
    if (!hands_on) {
      const auto innermost = std::find_if(way.rbegin(), way.rend(), own);
      return innermost == way.rend() ? branch : *innermost;
    }
    const auto outermost = std::find_if(way.begin(), way.end(), fits);
    if (outermost != way.end()) return *outermost;
    const auto any = std::find_if(way.begin(), way.end(), own);
    return any == way.end() ? branch : *any;
  }

  Frame frame_of(const Branch& branch) const {
    for (const Frame& frame : symbols_.stack(branch.stack))
      if (frame.function == symbols_.function_name(branch.function) && frame.module == symbols_.module_name(branch.function)) return frame;
    return {};
  }

  static std::vector<StackWeight> heaviest(const std::map<StackId, double>& stacks) {
    std::vector<StackWeight> sorted;
    for (const auto& [stack, time] : stacks) sorted.push_back({.stack = stack, .ns = static_cast<std::uint64_t>(time * 1e9)});
    std::stable_sort(sorted.begin(), sorted.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
    return sorted;
  }

  bool allocates(StackId stack) {
    const Path& path = path_of(stack);
    return std::any_of(path.begin(), path.end(), [&](FunctionId function) {
      return function && match_pattern(bare_name(symbols_.full_name(function)), symbols_.module_name(function)) == PatternId::allocation;
    });
  }

  void add_piece(const Piece& piece, LoopHandler& handler, std::map<StackId, double>& cpu, std::map<StackId, double>& blocked) {
    if (!piece.part) {
      handler.cpu += piece.seconds;
      if (allocates(piece.stack)) handler.allocating += piece.seconds;
      cpu[piece.stack] += piece.seconds;
      return;
    }
    const bool endpoint = trace::works_on_endpoint(trace::group_of(piece.part->call)) && piece.part->object < recording_.calls.endpoints.size();
    const auto kind = recording_.calls.endpoints[endpoint ? piece.part->object : 0].kind;
    handler.blocked[static_cast<std::size_t>(cause_of(piece.part->call, kind))] += piece.seconds;
    blocked[piece.stack] += piece.seconds;
  }

  void add_handler(std::size_t branch) {
    LoopHandler handler;
    handler.culprit = frame_of(tree_[branch]);
    std::map<const LongTurnRow*, double> explained, mine;
    std::map<StackId, double> cpu, blocked;
    for (const Piece& piece : pieces_) explained[piece.turn] += piece.seconds;
    for (const Piece* piece : tree_[branch].pieces) mine[piece->turn] += piece->seconds, add_piece(*piece, handler, cpu, blocked);
    for (const auto& [turn, time] : mine) {
      const double whole = seconds(turn->ns);
      if (time < kExplained * explained[turn]) continue;  // something else made this one long
      const double part = explained[turn] >= kExplained * whole ? whole * time / explained[turn] : time;
      handler.turns.push_back({turn, part});
      handler.seconds += part, handler.longest = std::max(handler.longest, whole);
    }
    handler.cpu_stacks = heaviest(cpu), handler.blocked_stacks = heaviest(blocked);
    if (!handler.turns.empty()) handlers_.push_back(std::move(handler));
  }

  const Recording& recording_;
  const Symbols& symbols_;
  const EventLoop& loop_;
  std::vector<Piece> pieces_;
  double all_ = 0;
  std::unordered_map<FunctionId, bool> scripts_;
  FunctionId script_ = 0;  // one of them, that stands for all
  std::vector<Branch> tree_;
  std::unordered_map<StackId, Path> paths_;
  std::unordered_map<FunctionId, double> in_long_, anywhere_;  // seconds with the function on the stack
  std::vector<LoopHandler> handlers_;
};

}  // namespace

std::vector<LoopHandler> handlers_of(const Recording& recording, const Symbols& symbols, const Waits& waits, const EventLoop& loop,
                                     const std::vector<const SampleRow*>& samples) {
  return Search(recording, symbols, waits, loop, samples).run();
}

}  // namespace tailback::analyzers
