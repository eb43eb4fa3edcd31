// SPDX-License-Identifier: Apache-2.0
// The walk: from state to state by rules until a kept state is met and verified, or the root; then interning and keeping.
// Never allocates, never locks, never reads outside the StackRegion, never writes but to the WalkCache and the tables.
#include "agent/capture/unwind.h"

#include <new>

#include "agent/capture/pages.h"
#include "agent/capture/replay.h"
#include "agent/capture/rule_cache.h"

namespace tailback::capture {

const std::uint64_t kWalkCacheBytes = sizeof(WalkCache);

namespace {

// Offsets in the ucontext that the kernel leaves at sp when a handler returns (struct ucontext, asm/sigcontext.h).
constexpr std::uint64_t kUcontextGeneral = 40, kUcontextBp = 120, kUcontextSp = 160, kUcontextPc = 168;
constexpr unsigned kGeneralBp = 10, kGeneralBx = 11, kGeneralSp = 15, kGeneralPc = 16;  // in gregs
constexpr std::uint64_t kMaxFrameBytes = 1 << 20;  // where no bounds are known
constexpr std::uint64_t kRootFrameBytes = 256;     // how far below the top of its stack the outermost frame lies at most
constexpr std::uint32_t kFoldedFrames = 16;

class Walker {
 public:
  Walker(CodeMap& code, StackTable& stacks, RuleCache& rules, WalkCache& cache, const StackBounds& thread, const StackBounds& alternate,
         const CodeSpan& hidden)
      : code_(code), stacks_(stacks), rules_(rules), cache_(cache), thread_(thread), alternate_(alternate), hidden_(hidden) {
    const auto generation = code.generation();
    salt_ = RuleCache::salt(generation);
    cache.prepare(generation, thread);
    kept_ = cache.count;
  }

  Walk run(const Registers& from, bool interrupted, std::uint32_t skip);

 private:
  void follow();
  bool step(Rule rule, ScratchFrame& frame);
  bool step_rare(Rule rule, ScratchFrame& frame);
  bool to_caller(Rule rule, std::uint64_t cfa, ScratchFrame& frame);
  bool to_interrupted(ScratchFrame& frame);
  bool find_bx(std::uint64_t& bx);
  Rule rule_for(std::uint64_t look);
  Rule resolve(std::uint64_t look, std::uint64_t key);
  Rule guess();
  bool meets_kept(std::uint64_t look, std::uint64_t sp, std::uint64_t bp);
  bool follow_ordinary();
  bool on_thread() const { return sp_ - thread_.low < thread_.high - thread_.low; }
  void enter_region();
  bool readable(std::uint64_t at) { return region_.holds(at) || fetch(at); }
  bool fetch(std::uint64_t at);

  Walk finish();
  StackId intern_all();
  StackId intern_new(StackId parent, bool keeping);
  StackId fold(bool keeping);
  StackId generation_root();
  bool known_already(StackId parent) const;
  void begin_keeping();
  template <class NodeOf>
  void keep_new(NodeOf&& node_of);

  CodeMap& code_;
  StackTable& stacks_;
  RuleCache& rules_;
  WalkCache& cache_;
  const StackBounds& thread_;
  const StackBounds& alternate_;
  const CodeSpan& hidden_;
  StackRegion region_;
  std::uint64_t salt_, look_ = 0, sp_ = 0, bp_ = 0;
  const std::uint64_t* general_ = nullptr;  // all registers of the frame general_at_ of scratch
  std::uint32_t general_at_ = 0;
  std::uint32_t count_ = 0;       // frames in scratch
  std::uint32_t kept_ = 0;        // kept frames that may still be met
  std::uint32_t taken_ = 0;       // kept frames that were verified and are the rest
  std::uint32_t guesses_end_ = 0;  // behind the outermost guessed frame in scratch
  std::uint8_t copies_ = 0;
  bool on_thread_ = false;        // in the thread's own stack: kept frames may be met
  bool keepable_ = true;          // all of this walk lies there
  bool complete_ = false, truncated_ = false, partial_ = false;
};

// The stack that sp_ points into, from sp_ upward.
void Walker::enter_region() {
  on_thread_ = on_thread();
  if (on_thread_) return region_.set_registered(thread_.low, thread_.high, sp_);
  keepable_ = false;
  if (sp_ >= alternate_.low && sp_ < alternate_.high) return region_.set_registered(alternate_.low, alternate_.high, sp_);
  partial_ = true;
  region_ = StackRegion{0, 0, 0, true};
  const auto page = sp_ & ~(kPageBytes - 1);
  fetch(sp_ - page > kRedZone ? sp_ - kRedZone : page);
}

bool Walker::fetch(std::uint64_t at) {
  if (!region_.copied || copies_ == kMaxCopies) return false;
  ++copies_;
  return region_.set_copy(at, cache_.copy);
}

inline Rule Walker::rule_for(std::uint64_t look) {
  const auto key = RuleCache::key(look, salt_);
  const Rule rule = rules_.find(key);
  return rule.kind() != RuleKind::none ? rule : resolve(look, key);
}

__attribute__((noinline)) Rule Walker::resolve(std::uint64_t look, std::uint64_t key) {
  Rule rule = make_rule(RuleKind::stop);
  if (!code_.enter()) {
    keepable_ = false;
    return rule;
  }
  if (const auto* module = code_.find(look)) {
    rule = find_rule(module->unwind, look, cache_.work);
    if (rule.kind() == RuleKind::none) rule = guess();
    else rules_.insert(key, rule);
  } else if (!CodeMap::in_module(look)) {
    rule = guess();
  } else {
    keepable_ = false;
  }
  code_.leave();
  return rule;
}

// Code outside all modules was made at run time, code in a module without unwind information by an assembler (V8's built-in
// functions): most of either keeps a frame pointer. Not cached: it depends on bp, and a library may come to a free place.
Rule Walker::guess() {
  // A start function without unwind information: it marks the outermost frame by a zero bp (System V ABI, 3.4.1).
  if (bp_ == 0 && on_thread_ && region_.high - sp_ < kRootFrameBytes) return make_rule(RuleKind::end);
  const bool near = bp_ >= sp_ && bp_ - sp_ < kMaxFrameBytes;  // all that is known of a stack without bounds
  if (bp_ < sp_ || bp_ % 8 != 0 || (region_.copied && !near) || !readable(bp_ + 8) || !readable(bp_)) {
    keepable_ = false;
    return make_rule(RuleKind::stop);
  }
  guesses_end_ = count_ + 1;
  return make_rule(RuleKind::rbp, 16, -16, Rule::kBxLost, Rule::kBpSaved);
}

// bx as the current frame sees it: from the nearest frame inside that saved it, or as it was when interrupted.
bool Walker::find_bx(std::uint64_t& bx) {
  keepable_ = false;  // the word may lie inside of a state that is otherwise equal
  for (auto i = count_ ? count_ - 1 : 0; i-- > general_at_;) {
    const auto& inner = cache_.scratch[i];
    const Rule rule = rule_for(inner.look);
    if (rule.kind() == RuleKind::other || rule.bx_slot == Rule::kBxLost) return false;
    if (rule.bx_slot == 0) continue;
    const auto at = (rule.flags() & Rule::kBxFromBp ? inner.bp : cache_.scratch[i + 1].sp) - 8ull * rule.bx_slot;
    if (!region_.holds(at)) return false;
    bx = region_.word(at);
    return true;
  }
  if (general_) bx = general_[kGeneralBx];
  return general_ != nullptr;
}

// On to the caller whose CFA is known.
inline bool Walker::to_caller(Rule rule, std::uint64_t cfa, ScratchFrame& frame) {
  if (cfa < sp_ + 8 || cfa % 8 != 0 || (region_.copied ? cfa - sp_ > kMaxFrameBytes : cfa > region_.high)) [[unlikely]] return false;
  if (rule.flags() & Rule::kBpSaved) {
    const auto at = (rule.flags() & Rule::kBpFromBp ? bp_ : cfa) + static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.bp_slot));
    if (!region_.holds(at) && !fetch(at)) [[unlikely]] return false;
    bp_ = region_.word(at);
    frame.bp_at = at;
  }
  if (region_.copied && !readable(cfa - 8)) [[unlikely]] return false;
  const auto return_address = region_.word(cfa - 8);
  sp_ = cfa;
  look_ = return_address - 1;
  if (return_address != 0) [[likely]] return true;
  complete_ = true;  // the convention of hand-made stacks: nobody to return to
  keepable_ = false;
  return false;
}

bool Walker::to_interrupted(ScratchFrame& frame) {
  const auto context = sp_;
  if (!readable(context + kUcontextGeneral) || !region_.holds(context + kUcontextPc)) return false;
  for (unsigned i = 0; i <= kGeneralPc; ++i) cache_.general[i] = region_.word(context + kUcontextGeneral + 8 * i);
  general_ = cache_.general;
  general_at_ = count_;
  bp_ = general_[kGeneralBp];
  sp_ = general_[kGeneralSp];
  look_ = general_[kGeneralPc];
  frame.bp_at = context + kUcontextBp;
  frame.special = (context + kUcontextSp) | ScratchFrame::kSigreturn;
  if (sp_ <= context) keepable_ = false;
  enter_region();
  return true;
}

__attribute__((noinline)) bool Walker::step_rare(Rule rule, ScratchFrame& frame) {
  const auto offset = static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.cfa));
  std::uint64_t at = 0, bx = 0;
  switch (rule.kind()) {
    case RuleKind::rbx:
      return find_bx(bx) && to_caller(rule, bx + offset, frame);
    case RuleKind::other:
      keepable_ = false;
      return general_ && count_ == general_at_ + 1 && to_caller(rule, general_[rule.bx_slot] + offset, frame);
    case RuleKind::deref_rsp: case RuleKind::deref_rbp:
      at = (rule.kind() == RuleKind::deref_rsp ? sp_ : bp_) + static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.inner()));
      if (at % 8 != 0 || !readable(at)) return false;
      frame.special = at;
      return to_caller(rule, region_.word(at) + static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.outer())), frame);
    case RuleKind::sigreturn: return to_interrupted(frame);
    case RuleKind::end: complete_ = true; return false;
    default: return false;
  }
}

inline bool Walker::step(Rule rule, ScratchFrame& frame) {
  frame = ScratchFrame{look_, sp_, bp_, 0, 0};
  const auto offset = static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.cfa));
  if (rule.kind() == RuleKind::rsp) return to_caller(rule, sp_ + offset, frame);
  if (rule.kind() == RuleKind::rbp) return to_caller(rule, bp_ + offset, frame);
  return step_rare(rule, frame);
}

// Whether this state was in the previous walk and everything outside of it is as it was.
inline bool Walker::meets_kept(std::uint64_t look, std::uint64_t sp, std::uint64_t bp) {
  while (kept_ > 0 && cache_.sp(kept_ - 1) < sp) --kept_;
  if (kept_ == 0) return false;
  auto frame = kept_ - 1;
  if (cache_.sp(frame) != sp || cache_.look(frame) != look || cache_.bp(frame) != bp) return false;
  if (verify_outward(cache_, frame)) {
    taken_ = kept_;
    return true;
  }
  kept_ = frame + 1;
  return false;
}

// Steps over ordinary frames of a registered stack, state in registers. False: the walk met what is kept.
__attribute__((noinline)) bool Walker::follow_ordinary() {
  auto look = look_, sp = sp_, bp = bp_;
  auto* frame = cache_.scratch + count_;
  const auto* const end = cache_.scratch + kMaxFrames;
  const auto low = region_.low, room = region_.high - region_.low;
  bool going = true;
  while (!region_.copied && frame != end) {
    if (on_thread_ && kept_ && meets_kept(look, sp, bp)) {
      going = false;
      break;
    }
    const Rule rule = rules_.find(RuleCache::key(look, salt_));
    const bool by_bp = rule.kind() == RuleKind::rbp;
    if (rule.kind() != RuleKind::rsp && !by_bp) break;
    const auto cfa = (by_bp ? bp : sp) + static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.cfa));
    const auto bp_base = rule.flags() & Rule::kBpFromBp ? bp : cfa;
    const auto bp_at = rule.flags() & Rule::kBpSaved ? bp_base + static_cast<std::uint64_t>(static_cast<std::int64_t>(rule.bp_slot)) : 0;
    if (cfa < sp + 8 || cfa % 8 != 0 || cfa - low > room) break;
    if (bp_at && (bp_at - low > room - 8)) break;
    const auto return_address = load_word(cfa - 8);
    if (return_address == 0) break;
    *frame++ = ScratchFrame{look, sp, bp, bp_at, 0};
    if (bp_at) bp = load_word(bp_at);
    sp = cfa;
    look = return_address - 1;
  }
  count_ = static_cast<std::uint32_t>(frame - cache_.scratch);
  look_ = look;
  sp_ = sp;
  bp_ = bp;
  return going;
}

void Walker::follow() {
  while (follow_ordinary()) {
    if (count_ == kMaxFrames) {
      truncated_ = true;
      return;
    }
    const Rule rule = rule_for(look_);
    if (!step(rule, cache_.scratch[count_++])) return;
  }
}

Walk Walker::run(const Registers& from, bool interrupted, std::uint32_t skip) {
  look_ = interrupted ? from.pc : from.pc - 1;
  sp_ = from.sp;
  bp_ = from.bp;
  general_ = from.general;
  if (skip == 0 && kept_ && on_thread() && meets_kept(look_, sp_, bp_)) return finish();  // often there is nothing new at all
  enter_region();
  for (; skip > 0; --skip)
    if (!step(rule_for(look_), cache_.scratch[0])) return Walk{};
  guesses_end_ = 0;
  follow();
  return finish();
}

StackId Walker::generation_root() {
  return cache_.generation > 1 ? stacks_.intern(0, cache_.generation, NodeKind::generation) : 0;
}

// Notes what holds for the whole of the frames that are kept after this walk.
void Walker::begin_keeping() {
  if (!taken_) cache_.complete = complete_;
  if (!taken_ || cache_.first_guess == 0 || cache_.first_guess > taken_)
    cache_.first_guess = guesses_end_ ? taken_ + count_ - guesses_end_ + 1 : 0;
}

// Keeps the new frames behind those that were taken over; `node_of` gives their nodes from the outermost inward, 0 to end.
template <class NodeOf>
void Walker::keep_new(NodeOf&& node_of) {
  const auto* const frames = cache_.scratch;
  ReplayWriter writer(cache_, taken_ ? taken_ - 1 : 0);
  if (taken_) {  // the innermost of them is now reached from another frame
    const auto last = taken_ - 1;
    writer.put(ScratchFrame{cache_.look(last), cache_.sp(last), cache_.bp(last), 0, 0}, &frames[count_ - 1], cache_.node(last));
  }
  for (auto i = count_; i-- > 0;) {
    StackId node;
    if (!node_of(frames[i].look, node)) return;
    writer.put(frames[i], i ? &frames[i - 1] : nullptr, node);
  }
}

// Interns the new frames under `parent`, and keeps them when asked to.
StackId Walker::intern_new(StackId parent, bool keeping) {
  const auto index = stacks_.index();
  const auto hidden = hidden_;
  auto path = stacks_.path_hash(parent);
  const auto intern_next = [&](std::uint64_t look, StackId& node) {
    if (!hidden.holds(look)) [[likely]] {
      std::uint32_t slot;
      path = StackTable::extend(path, look, NodeKind::code);
      const auto known = index.probe(parent, look, NodeKind::code, path, slot);
      parent = known ? known : stacks_.insert(parent, look, NodeKind::code, path, slot);
    }
    node = parent;
    return parent != 0;
  };
  if (keeping) {
    keep_new(intern_next);
    return parent;
  }
  StackId node;
  for (auto i = count_; i-- > 0;)
    if (!intern_next(cache_.scratch[i].look, node)) return 0;
  return parent;
}

bool Walker::known_already(StackId parent) const {
  for (auto i = count_; i-- > 0;) {
    const auto look = cache_.scratch[i].look;
    if (!hidden_.holds(look) && (parent = stacks_.find(parent, look)) == 0) return false;
  }
  return true;
}

// The tree is nearly full: only the innermost frames, under a node of their own.
StackId Walker::fold(bool keeping) {
  if (keeping) keep_new([](std::uint64_t, StackId& node) { return node = 0, true; });
  const auto depth = taken_ + count_;
  auto parent = stacks_.intern(generation_root(), 0, NodeKind::folded);
  for (auto i = depth < kFoldedFrames ? depth : kFoldedFrames; i-- > 0 && parent != 0;)
    parent = stacks_.intern(parent, i < count_ ? cache_.scratch[i].look : cache_.look(taken_ - 1 - (i - count_)));
  return parent;
}

StackId Walker::intern_all() {
  const StackId last_node = taken_ ? cache_.node(taken_ - 1) : 0;
  if (count_ == 0 && last_node) return last_node;  // the very state of the last walk, or of a caller in it
  const bool keeping = keepable_ && !truncated_ && count_ > 0;
  if (keeping) begin_keeping();
  if (taken_ && !last_node) return fold(keeping);
  StackId parent = taken_ ? last_node : generation_root();
  if (!taken_ && !complete_) parent = stacks_.intern(parent, 0, NodeKind::unknown_beyond);
  if (stacks_.nearly_full() && !known_already(parent)) return fold(keeping);
  return intern_new(parent, keeping);
}

Walk Walker::finish() {
  Walk walk;
  walk.depth = taken_ + count_;
  walk.complete = taken_ ? cache_.complete : complete_;
  walk.partial = partial_;
  walk.truncated = truncated_;
  walk.guessed = guesses_end_ > 0 || (taken_ && cache_.first_guess && cache_.first_guess <= taken_);
  walk.interrupted = general_ != nullptr;
  walk.stack = intern_all();
  return walk;
}

static_assert(sizeof(Walker) <= sizeof(WalkCache::walker));

}  // namespace

bool Unwinder::init(CodeMap& code, StackTable& stacks) {
  code_ = &code;
  stacks_ = &stacks;
  rules_ = static_cast<RuleCache*>(map_own_pages(sizeof(RuleCache)));
  return rules_ != nullptr;
}

Walk Unwinder::walk(const Registers& from, bool interrupted, StackBounds thread_stack, StackBounds alternate, WalkCache& cache) {
  auto* walker = new (cache.walker) Walker(*code_, *stacks_, *rules_, cache, thread_stack, alternate, hidden_);
  return walker->run(from, interrupted, 0);
}

// Its own frame keeps a frame pointer (the builtin forces one), so the caller's state is at hand.
__attribute__((noinline)) Walk Unwinder::walk_here(std::uint32_t skip, StackBounds thread_stack, WalkCache& cache) {
  const auto frame = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
  constexpr StackBounds none{0, 0};
  const Registers caller{load_word(frame + 8), frame + 16, load_word(frame)};
  auto* walker = new (cache.walker) Walker(*code_, *stacks_, *rules_, cache, thread_stack, none, hidden_);
  return walker->run(caller, false, skip);
}

bool Unwinder::in_handler(StackBounds thread_stack, WalkCache& cache) {
  cache.count = 0;  // kept frames do not say
  const Walk walk = walk_here(1, thread_stack, cache);
  return !walk.complete || walk.interrupted;
}

Rule Unwinder::rule_at(std::uint64_t address, WalkCache& cache) {
  Rule rule = make_rule(RuleKind::stop);
  if (!code_->enter()) return rule;
  if (const auto* module = code_->find(address)) rule = find_rule(module->unwind, address, cache.work);
  code_->leave();
  return rule;
}

bool Unwinder::code_range(std::uint64_t address, std::uint64_t& start, std::uint64_t& size) {
  if (!code_->enter()) return false;
  Fde fde;
  const auto* module = code_->find(address);
  const bool found = module && find_fde(module->unwind, address, fde);
  code_->leave();
  start = fde.start;
  size = fde.size;
  return found;
}

std::uint64_t Unwinder::resident_bytes() const {
  const auto touched = rules_->inserted.load(std::memory_order_relaxed) * kPageBytes;  // hashed: a page for each, at first
  return touched < sizeof(RuleCache) ? touched : sizeof(RuleCache);
}

}  // namespace tailback::capture
