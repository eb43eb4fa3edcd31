// SPDX-License-Identifier: Apache-2.0
// Two independent proofs, tried on each function that is responsible for a visible part of the CPU time.
#include "analyzers/model/spinning.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "analyzers/model/loop_index.h"

namespace tailback::analyzers {
namespace {

constexpr double kVisible = 0.01;  // of all CPU time: below it nobody looks

// What a polling loop calls. `proof`: doing little but this is waiting for sure; reading the clock might be the purpose.
struct Polled {
  std::string_view prefix;
  double proof;
};
constexpr std::array<Polled, 22> kPolled = {{
    {"sched_yield", 0.95}, {"__sched_yield", 0.95}, {"pthread_yield", 0.95}, {"thrd_yield", 0.95}, {"std::this_thread::yield", 0.95},
    {"__gthread_yield", 0.95}, {"pthread_spin_lock", 0.9}, {"pthread_spin_trylock", 0.9}, {"pthread_mutex_trylock", 0.9},
    {"__pthread_mutex_trylock", 0.9}, {"__gthread_mutex_trylock", 0.9}, {"sem_trywait", 0.9}, {"std::atomic", 0.85}, {"std::__atomic_base", 0.85},
    {"__atomic_load", 0.85}, {"std::operator&", 0.85}, {"std::mutex::try_lock", 0.9}, {"clock_gettime", 0.75}, {"__clock_gettime", 0.75},
    {"__vdso_clock_gettime", 0.75}, {"gettimeofday", 0.75}, {"std::chrono::", 0.75},
}};

const Polled* polled_by(std::string_view bare, std::string_view module) {
  for (const Polled& polled : kPolled)
    if (bare.starts_with(polled.prefix)) return &polled;
  static constexpr Polled kVdso{"the clock", 0.75};  // the vDSO has little in it but clocks
  return module == "[vdso]" || module.starts_with("linux-vdso") ? &kVdso : nullptr;
}

struct OwnerTally {
  bool in_library = false;  // no own function on the stack
  std::uint64_t ns = 0, self_ns = 0, loop_ns = 0, polled_ns = 0;
  bool has_pause = false, delay_only = true;
  double proof = 1;
  std::map<std::string, std::uint64_t> polled;
  std::vector<StackWeight> loop_stacks, all_stacks;
  Frame frame;
  std::uint64_t frame_ns = 0;
};

// The polled function between the owner and the innermost frame, if there is one.
const Polled* polled_below(const Recording& recording, const Symbols& symbols, StackId stack, const Responsible& who, std::string& name) {
  for (StackId node = stack; node != 0 && node < recording.nodes.size(); node = recording.nodes[node].parent) {
    for (const SymbolFrame& frame : symbols.frames(node)) {
      if (node == who.node && frame.function == who.owner) return nullptr;
      const std::string bare = symbols.resolved(frame.function) ? bare_name(symbols.full_name(frame.function)) : std::string();
      if (const Polled* polled = polled_by(bare, symbols.module_name(frame.function))) {
        name = bare.empty() ? std::string(polled->prefix) : bare;
        return polled;
      }
    }
    if (node == who.node) break;
  }
  return nullptr;
}

void add_stack(OwnerTally& tally, const Recording& recording, const Symbols& symbols, const StackWeight& weight, const Responsible& who, LoopIndex& loops) {
  tally.ns += weight.ns;
  tally.in_library |= who.host == 0;
  tally.all_stacks.push_back(weight);
  if (weight.ns > tally.frame_ns) {
    tally.frame_ns = weight.ns;
    tally.frame = symbols.frame(who.node, SymbolFrame{who.owner, who.file, who.line, who.owner != who.host});
  }
  const CodeLoop* loop = loops.loop_at(weight.stack);
  if (loop && (loop->kind == LoopKind::waiting || loop->kind == LoopKind::delay)) {
    tally.loop_ns += weight.ns;
    tally.has_pause |= loop->has_pause;
    tally.delay_only &= loop->kind == LoopKind::delay;
    tally.loop_stacks.push_back(weight);
  }
  std::string name;
  if (const Polled* polled = polled_below(recording, symbols, weight.stack, who, name)) {
    tally.polled_ns += weight.ns;
    tally.proof = std::min(tally.proof, polled->proof);
    tally.polled[name] += weight.ns;
  } else if (who.entry == 0) {
    tally.self_ns += weight.ns;
  }
}

bool loop_spins(const OwnerTally& tally) {
  constexpr double kMostOfOwner = 0.5;  // an occasional retry is no spinning
  return static_cast<double>(tally.loop_ns) >= kMostOfOwner * static_cast<double>(tally.ns);
}

// Nothing but polling and the loop around it.
bool polls(const OwnerTally& tally) {
  constexpr double kPolling = 0.6, kWithLoop = 0.95;
  const double total = static_cast<double>(tally.ns), polled = static_cast<double>(tally.polled_ns);
  return polled >= kPolling * total && polled + static_cast<double>(tally.self_ns) >= kWithLoop * total;
}

SpinSite site_of(FunctionId owner, const OwnerTally& tally) {
  SpinSite site;
  site.owner = owner;
  site.culprit = tally.frame;
  if (loop_spins(tally)) {
    site.ns = tally.loop_ns;
    site.stacks = tally.loop_stacks;
    site.has_pause = tally.has_pause;
    site.confidence = tally.delay_only ? 0.85 : 0.95;
    site.how = tally.delay_only ? "its machine code counts and does nothing else"
                                : "its machine code reads the same memory again and again and keeps no result, so only another thread can end it";
  } else {
    site.ns = tally.polled_ns + tally.self_ns;
    site.stacks = tally.all_stacks;
    site.confidence = tally.proof;
    const auto most = std::max_element(tally.polled.begin(), tally.polled.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    site.polled = most->first;
    site.how = "it does little but call " + site.polled;
  }
  std::sort(site.stacks.begin(), site.stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  return site;
}

// Where nothing of the program's own is on the stack, a library's thread may still wait actively for the program (OpenMP's do).
FunctionId owner_of(const Symbols& symbols, const Responsible& who, StackId stack) {
  return who.host || stack == 0 ? who.host : symbols.frames(stack).back().function;
}

}  // namespace

Spinning find_spinning(const Recording& recording, const Symbols& symbols, const CpuProfile& cpu, const Attribution& attribution) {
  Spinning result;
  LoopIndex loops(recording);
  result.stacks.resize(recording.nodes.size());
  std::map<FunctionId, std::uint64_t> owners;
  for (const StackWeight& weight : cpu.stacks) owners[owner_of(symbols, attribution.of(weight.stack), weight.stack)] += weight.ns;
  std::map<FunctionId, OwnerTally> tallies;
  for (const StackWeight& weight : cpu.stacks) {
    const Responsible& who = attribution.of(weight.stack);
    const FunctionId owner = owner_of(symbols, who, weight.stack);
    if (owner == 0 || static_cast<double>(owners[owner]) < kVisible * static_cast<double>(cpu.sampled_ns)) continue;
    result.code_seen = result.code_seen || loops.has_code(weight.stack);
    add_stack(tallies[owner], recording, symbols, weight, who, loops);
  }
  for (const auto& [owner, tally] : tallies) {
    if (!loop_spins(tally) && !polls(tally)) continue;
    SpinSite site = site_of(owner, tally);
    for (const StackWeight& weight : site.stacks) result.stacks[weight.stack] = true;
    if (!tally.in_library) result.sites.push_back(std::move(site));
  }
  std::sort(result.sites.begin(), result.sites.end(), [](const SpinSite& a, const SpinSite& b) { return a.ns > b.ns; });
  return result;
}

}  // namespace tailback::analyzers
