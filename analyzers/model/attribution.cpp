// SPDX-License-Identifier: Apache-2.0
// One pass over the tree of stacks, parents before children, carries responsibility inward.
#include "analyzers/model/attribution.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace tailback::analyzers {
namespace {

// Nodes that carry weight and their ancestors.
std::vector<bool> nodes_in_use(const Recording& recording, std::span<const StackWeight> weights) {
  std::vector<bool> used(recording.nodes.size());
  for (const StackWeight& weight : weights)
    for (StackId node = weight.stack; node != 0 && node < used.size() && !used[node]; node = recording.nodes[node].parent) used[node] = true;
  return used;
}

template <class Key>
Key heaviest(const std::map<Key, std::uint64_t>& weights) {
  const auto most = std::max_element(weights.begin(), weights.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == weights.end() ? Key{} : most->first;
}

struct SiteTally {
  std::uint64_t ns = 0, samples = 0;
  std::map<PatternId, std::uint64_t> patterns;
  std::vector<std::pair<StackWeight, Responsible>> stacks;
};

// The largest pattern of those that make up enough of the site to speak for it; a wasteful one before others, since it is the one to
// act on: which of two like shares is larger would be left to chance.
PatternId dominating_pattern(const SiteTally& tally) {
  constexpr double kSpeaksFor = 0.4;
  std::map<PatternId, std::uint64_t> speaking, wasteful;
  for (const auto& [id, ns] : tally.patterns) {
    if (id == PatternId::none || static_cast<double>(ns) < kSpeaksFor * static_cast<double>(tally.ns)) continue;
    speaking[id] = ns;
    if (pattern(id).nature == Nature::wasteful) wasteful[id] = ns;
  }
  return heaviest(wasteful.empty() ? speaking : wasteful);
}

// Whether the site's function was called, on its heaviest stack, from that host.
bool is_called_from(const Symbols& symbols, const CpuSite& site, FunctionId host) {
  if (site.stacks.empty()) return false;
  const std::vector<Frame> frames = symbols.stack(site.stacks.front().stack);
  const auto is = [&](FunctionId function) { return [&symbols, function](const Frame& frame) { return frame.function == symbols.function_name(function); }; };
  const auto own = std::find_if(frames.begin(), frames.end(), is(site.hosts.front()));
  return own != frames.end() && std::any_of(own + 1, frames.end(), is(host));
}

// The function to name: the inlined one that holds most of the host's hot loops, else the host itself. `symbols.frames` of
// the owner's node, from the owner outward, are the candidates; the branch that closes the loop shows whose loop it is.
Responsible loop_owner(const Symbols& symbols, LoopIndex& loops, Responsible who) {
  if (who.owner == who.host || !loops.has_code(who.node)) return who;
  const auto chain = symbols.frames(who.node);
  const CodeLoop* loop = loops.loop_at(who.node);
  const auto holders = loop ? symbols.frames_at(loop->branch) : std::span<const SymbolFrame>{};
  bool inside = false;
  for (const SymbolFrame& candidate : chain) {
    inside |= candidate.function == who.owner;
    const bool holds = std::any_of(holders.begin(), holders.end(), [&](const SymbolFrame& f) { return f.function == candidate.function; });
    if (!inside || (!holds && candidate.function != who.host)) continue;
    who.owner = candidate.function;
    who.file = candidate.file;
    who.line = candidate.line;
    break;
  }
  return who;
}

// One template's functions are one to whoever reads the source: the name without the arguments at its end.
std::string_view without_arguments(std::string_view name) {
  if (!name.ends_with('>') || name.find("operator") != std::string_view::npos) return name;
  std::size_t depth = 0;
  for (std::size_t i = name.size(); i-- > 0;) {
    if (name[i] == '>') ++depth;
    if (name[i] == '<' && --depth == 0) return name.substr(0, i);
  }
  return name;
}

using Chosen = std::vector<std::pair<StackWeight, Responsible>>;

// The functions inlined into each other at the owner's node, from the owner outward.
std::span<const SymbolFrame> chain_of(const Symbols& symbols, const Responsible& who) {
  const auto frames = symbols.frames(who.node);
  const auto own = std::find_if(frames.begin(), frames.end(), [&](const SymbolFrame& frame) { return frame.function == who.owner; });
  return frames.subspan(static_cast<std::size_t>(own - frames.begin()));
}

// The innermost function, an owner or one it is inlined into, in which most of the time passes; the host when there is none.
FunctionId dominating_function(const Symbols& symbols, FunctionId host, const Chosen& stacks, std::uint64_t total) {
  constexpr double kDominates = 0.7;
  std::map<std::string_view, std::uint64_t> weights;
  const Chosen::value_type* most = &stacks.front();
  for (const auto& stack : stacks) {
    if (stack.first.ns > most->first.ns) most = &stack;
    std::vector<std::string_view> met;
    for (const SymbolFrame& frame : chain_of(symbols, stack.second)) {
      const std::string_view name = without_arguments(symbols.function_name(frame.function));
      if (std::find(met.begin(), met.end(), name) != met.end()) continue;
      met.push_back(name);
      weights[name] += stack.first.ns;
    }
  }
  for (const SymbolFrame& frame : chain_of(symbols, most->second))
    if (static_cast<double>(weights[without_arguments(symbols.function_name(frame.function))]) >= kDominates * static_cast<double>(total)) return frame.function;
  return host;
}

Frame culprit_of(const Symbols& symbols, FunctionId host, const Chosen& stacks, std::uint64_t total) {
  const FunctionId named = dominating_function(symbols, host, stacks, total);
  std::map<std::tuple<std::uint32_t, std::uint32_t, StackId>, std::uint64_t> lines;
  for (const auto& [weight, who] : stacks) {
    if (who.owner == named) lines[{who.file, who.line, who.node}] += weight.ns;
    else for (const SymbolFrame& frame : chain_of(symbols, who))
      if (frame.function == named) lines[{frame.file, frame.line, who.node}] += weight.ns;
  }
  Frame culprit;
  if (!lines.empty()) {
    const auto [file, line, node] = heaviest(lines);
    culprit = symbols.frame(node, SymbolFrame{named, file, line, named != host});
  } else {
    const StackId node = stacks.front().second.node;
    culprit = symbols.frame(node, symbols.frames(node).back());
  }
  // Compilers specialise functions and split unlikely code off; a person knows them by the plain name.
  for (std::size_t tag = culprit.function.rfind(" ["); tag != std::string::npos && culprit.function.ends_with(']'); tag = culprit.function.rfind(" ["))
    culprit.function.resize(tag);
  return culprit;
}

// Who answers for a stack, with what the machine code adds to the names.
Responsible answer_for(const Symbols& symbols, LoopIndex& loops, Responsible who, StackId stack) {
  if (who.host == 0) {  // nothing but library code: where its recognised part begins, else where it ran
    const FunctionId answer = who.entry && who.pattern != PatternId::none ? who.entry : symbols.frames(stack).back().function;
    who.owner = who.host = answer;
    who.node = stack;
    return who;
  }
  if (who.entry == 0 && who.pattern == PatternId::none) {
    const CodeLoop* loop = loops.loop_at(stack);
    if (loop && loop->kind == LoopKind::search) who.pattern = PatternId::linear_search;
    if (loop && loop->kind == LoopKind::chase) who.pattern = PatternId::tree_walk;
  }
  return who.entry ? who : loop_owner(symbols, loops, who);  // a library is called from where it is called, whatever loop that is in
}

// A function without a name helps nobody when the library function it called has one.
void prefer_library(const Symbols& symbols, CpuSite& site, const std::vector<std::pair<StackWeight, Responsible>>& stacks) {
  for (const auto& [weight, who] : stacks)
    for (const Frame& frame : symbols.stack(weight.stack))
      if (who.entry == site.entry && frame.function == symbols.function_name(site.entry)) {
        site.culprit = frame;
        return;
      }
}

CpuSite site_of(const Symbols& symbols, FunctionId host, const SiteTally& tally) {
  CpuSite site;
  site.hosts = {host};
  site.ns = tally.ns;
  site.samples = tally.samples;
  site.pattern = dominating_pattern(tally);
  site.pattern_ns = site.pattern == PatternId::none ? tally.ns : tally.patterns.at(site.pattern);
  std::vector<std::pair<StackWeight, Responsible>> chosen;
  std::map<FunctionId, std::uint64_t> entries;
  for (const auto& item : tally.stacks) {
    site.all_stacks.push_back(item.first.stack);
    if (site.pattern != PatternId::none && item.second.pattern != site.pattern) continue;
    chosen.push_back(item);
    site.stacks.push_back(item.first);
    if (item.second.entry) entries[item.second.entry] += item.first.ns;
  }
  site.culprit = culprit_of(symbols, host, chosen, site.pattern_ns);
  site.entry = heaviest(entries);
  if (site.pattern != PatternId::none && !symbols.resolved(host) && symbols.resolved(site.entry)) prefer_library(symbols, site, chosen);
  std::sort(site.stacks.begin(), site.stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  for (const auto& [id, ns] : tally.patterns)
    if (id != PatternId::none && id != site.pattern) site.also.emplace_back(id, ns);
  std::sort(site.also.begin(), site.also.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return site;
}

}  // namespace

const Attribution::FunctionFacts& Attribution::facts_of(FunctionId function) {
  if (function >= functions_.size()) functions_.resize(function + 1);
  FunctionFacts& facts = functions_[function];
  if (facts.known) return facts;
  facts.known = true;
  if (function == 0) return facts;
  const std::string& module = symbols_.module_name(function);
  const bool resolved = symbols_.resolved(function);
  const std::string bare = resolved ? bare_name(symbols_.full_name(function)) : std::string();
  facts.pattern = match_pattern(bare, module);
  facts.runtime = is_runtime_code(bare, module) || symbols_.function_name(function).ends_with("@plt");
  return facts;
}

// From the state of the calling frame to that of this node, through its inlined functions from the outermost inward.
Responsible Attribution::step(const Responsible& outer, StackId node) {
  Responsible state = outer;
  const auto frames = symbols_.frames(node);
  const FunctionId host = frames.back().function;
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
    const FunctionFacts facts = facts_of(frame->function);
    const Pattern& matched = pattern(facts.pattern);
    const bool library = facts.runtime || (facts.pattern != PatternId::none && matched.blame == Blame::caller);
    // A comparison function called by a sort is part of the sort.
    const bool callback = state.pattern == PatternId::sort && state.owner != 0 && !library;
    if (library || callback) {
      const bool recognised = state.pattern == PatternId::none && facts.pattern != PatternId::none;
      if (recognised) state.pattern = facts.pattern;
      if (recognised || state.entry == 0) state.entry = frame->function;
      continue;
    }
    state = {frame->function, host, 0, node, frame->file, frame->line, facts.pattern};
  }
  return state;
}

Attribution::Attribution(const Recording& recording, const Symbols& symbols, std::span<const StackWeight> weights) : symbols_(symbols) {
  const std::vector<bool> used = nodes_in_use(recording, weights);
  nodes_.resize(std::max<std::size_t>(recording.nodes.size(), 1));
  for (StackId node = 1; node < recording.nodes.size(); ++node) {
    if (!used[node]) continue;
    const NodeRow& row = recording.nodes[node];
    const Responsible& outer = nodes_[row.parent < node ? row.parent : 0];
    nodes_[node] = row.kind == 0 ? step(outer, node) : outer;
  }
}

std::vector<CpuSite> cpu_sites(std::span<const StackWeight> stacks, const Symbols& symbols, const Attribution& attribution, LoopIndex& loops,
                               const std::vector<bool>& skip) {
  std::map<FunctionId, SiteTally> tallies;
  for (const StackWeight& weight : stacks) {
    if (weight.stack < skip.size() && skip[weight.stack]) continue;
    const Responsible who = answer_for(symbols, loops, attribution.of(weight.stack), weight.stack);
    SiteTally& tally = tallies[who.host];
    tally.ns += weight.ns;
    tally.samples += weight.samples;
    tally.patterns[who.pattern] += weight.ns;
    tally.stacks.emplace_back(weight, who);
  }
  std::vector<CpuSite> sites;
  for (const auto& [host, tally] : tallies) sites.push_back(site_of(symbols, host, tally));
  std::sort(sites.begin(), sites.end(), [](const CpuSite& a, const CpuSite& b) { return a.ns > b.ns; });
  return sites;
}

void merge_same_pattern(std::vector<CpuSite>& sites, const Symbols& symbols, std::uint64_t least) {
  constexpr double kOwnShare = 1.0 / 3;  // of the time joined so far
  std::vector<CpuSite> merged;
  for (CpuSite& site : sites) {  // heaviest first
    const auto same = std::find_if(merged.begin(), merged.end(), [&](const CpuSite& m) { return site.pattern != PatternId::none && m.pattern == site.pattern; });
    if (same == merged.end() || site.pattern_ns < least) {
      merged.push_back(std::move(site));
      continue;
    }
    // What a caller does for a call's sake (copies of arguments and results) is the called function's to change.
    const bool leads = static_cast<double>(site.pattern_ns) >= kOwnShare * static_cast<double>(same->pattern_ns + site.pattern_ns) &&
                       is_called_from(symbols, site, same->hosts.front());
    if (leads) same->culprit = site.culprit, same->entry = site.entry;
    same->hosts.insert(leads ? same->hosts.begin() : same->hosts.end(), site.hosts.begin(), site.hosts.end());
    same->ns += site.ns;
    same->pattern_ns += site.pattern_ns;
    same->samples += site.samples;
    same->stacks.insert(same->stacks.end(), site.stacks.begin(), site.stacks.end());
    same->all_stacks.insert(same->all_stacks.end(), site.all_stacks.begin(), site.all_stacks.end());
    std::stable_sort(same->stacks.begin(), same->stacks.end(), [](const StackWeight& a, const StackWeight& b) { return a.ns > b.ns; });
  }
  std::stable_sort(merged.begin(), merged.end(), [](const CpuSite& a, const CpuSite& b) { return a.ns > b.ns; });
  sites = std::move(merged);
}

}  // namespace tailback::analyzers
