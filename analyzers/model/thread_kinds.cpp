// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/thread_kinds.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>

namespace tailback::analyzers {

namespace {

constexpr FunctionId kCutOff = ~FunctionId{0};  // the root of the stack is missing, so its first function is not known

template <std::size_t N>
bool any_prefix(std::string_view text, const std::array<std::string_view, N>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view prefix) { return text.starts_with(prefix); });
}

bool is_main(const ThreadTable::Row& thread) { return thread.id == 1 || (thread.flags & 1); }

// The text up to the bracket that closes the one before it.
std::string_view up_to_closing_bracket(std::string_view text) {
  int depth = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '<') ++depth;
    if (text[i] == '>' && --depth == 0) return text.substr(0, i);
  }
  return {};
}

// The first of a list of template arguments.
std::string_view first_argument(std::string_view list) {
  int depth = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const char c = list[i];
    if (c == '<' || c == '(' || c == '{') ++depth;
    if (c == '>' || c == ')' || c == '}') --depth;
    if (c == ',' && depth == 0) return list.substr(0, i);
  }
  return list;
}

}  // namespace

bool is_thread_plumbing(const std::string& function, const std::string& module) {
  static constexpr std::array<std::string_view, 8> modules = {"libc.so", "libc-", "libpthread", "ld-linux", "libstdc++", "libc++.so",
                                                              "libtailback", "ld-musl"};
  static constexpr std::array<std::string_view, 9> functions = {"std::", "__gnu_cxx::", "boost::", "void std::", "decltype", "__cxxabiv1::",
                                                                "decltype(auto) std::", "core::ops::function::", "boost_asio_handler_"};
  static constexpr std::array<std::string_view, 8> exact = {"_start", "start_thread", "clone", "clone3", "__clone", "__clone3",
                                                            "execute_native_thread_routine", "__libc_start_main"};
  return any_prefix(module, modules) || any_prefix(function, functions) ||
         std::find(exact.begin(), exact.end(), function) != exact.end();
}

std::string without_digits(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c));
    if (!digit) pattern += c;
    else if (pattern.empty() || pattern.back() != '#') pattern += '#';
  }
  return pattern;
}

std::string callable_of_vtable(const std::string& symbol) {
  static constexpr std::string_view marker = "tuple<";
  if (!symbol.starts_with("vtable for ")) return {};
  const auto at = symbol.find(marker);
  if (at == std::string::npos) return {};
  const std::string_view callable = first_argument(up_to_closing_bracket(std::string_view(symbol).substr(at + marker.size())));
  if (callable.find("(*)") != std::string_view::npos || callable.find("::*)") != std::string_view::npos) return {};
  return simplify_name(std::string(callable));
}

ThreadKinds::ThreadKinds(const Recording& recording, const Symbols& symbols) : recording_(recording), symbols_(symbols) {
  for (const auto& thread : recording.threads.rows)
    if (is_main(thread)) main_name_ = thread.name;
  find_entries();
  find_entries_of_threads();
  gather_threads();
  gather_short_lived();
  join_same_work();
  for (ThreadKind& kind : kinds_) kind.label = label_of(kind);
}

bool ThreadKinds::plumbing(FunctionId function) const {
  const auto [at, added] = plumbing_.emplace(function, false);
  if (added) at->second = is_thread_plumbing(symbols_.function_name(function), symbols_.module_name(function));
  return at->second;
}

FunctionId ThreadKinds::program_function(StackId node) const {
  const auto frames = symbols_.frames(node);
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame)
    if (frame->function && !plumbing(frame->function)) return frame->function;
  return 0;
}

void ThreadKinds::find_entries() {
  const auto& nodes = recording_.nodes;
  entries_.resize(nodes.size());
  for (StackId id = 1; id < nodes.size(); ++id) {
    const FunctionId outer = entries_[nodes[id].parent];
    if (outer) entries_[id] = outer;
    else if (nodes[id].kind == 0) entries_[id] = program_function(id);
    else if (nodes[id].kind != 2) entries_[id] = kCutOff;
  }
}

FunctionId ThreadKinds::entry_of(StackId stack) const {
  const FunctionId entry = stack < entries_.size() ? entries_[stack] : 0;
  return entry == kCutOff ? 0 : entry;
}

void ThreadKinds::find_entries_of_threads() {
  std::map<std::pair<ThreadId, FunctionId>, std::uint64_t> weights;
  for (const CpuRow& row : recording_.cpu)
    if (const FunctionId entry = entry_of(row.stack)) weights[{row.thread, entry}] += row.weight_ns;
  std::unordered_map<ThreadId, std::uint64_t> heaviest;
  for (const auto& [key, ns] : weights) {
    std::uint64_t& most = heaviest[key.first];
    if (ns <= most) continue;
    most = ns;
    thread_entries_[key.first] = key.second;
  }
}

ThreadKinds::Origin ThreadKinds::origin_of(std::uint64_t routine, std::uint64_t argument, StackId creation) const {
  Origin origin;
  origin.routine = routine;
  // Behind the argument of other start routines lies anything, often something of the single thread.
  if (argument && symbols_.data_symbol(argument).starts_with("vtable for ")) origin.argument = argument;
  for (StackId id = creation; id && id < recording_.nodes.size(); id = recording_.nodes[id].parent) {
    if (recording_.nodes[id].kind != 0 || !program_function(id)) continue;
    origin.site = recording_.nodes[id].address;
    origin.creator = symbols_.frames(id).back().function;
    break;
  }
  return origin;
}

// The name as evidence: not when it is the one inherited from the main thread.
std::string ThreadKinds::name_pattern(const ThreadTable::Row& thread) const {
  return thread.name == main_name_ ? std::string() : without_digits(thread.name);
}

void ThreadKinds::gather_threads() {
  std::map<std::pair<Origin, std::string>, std::size_t> index;
  std::map<std::tuple<std::uint64_t, std::uint64_t, StackId>, Origin> origins;
  for (const auto& thread : recording_.threads.rows) {
    if (is_main(thread)) {
      gathered_.push_back({{.threads = {&thread}, .is_main = true}, {}, {}});
      continue;
    }
    const auto [known, fresh] = origins.try_emplace({thread.start_routine, thread.start_argument, thread.creation_stack});
    if (fresh) known->second = origin_of(thread.start_routine, thread.start_argument, thread.creation_stack);
    const Origin& origin = known->second;
    const std::string pattern = name_pattern(thread);
    const auto [at, added] = index.emplace(std::pair(origin, pattern), gathered_.size());
    if (added)
      gathered_.push_back({{.creation_stack = thread.creation_stack, .start_routine = thread.start_routine}, origin, pattern});
    gathered_[at->second].kind.threads.push_back(&thread);
  }
}

// Threads not listed singly have no names: they join the largest kind of their origin.
void ThreadKinds::gather_short_lived() {
  std::map<Origin, std::size_t> largest;
  for (std::size_t i = 0; i < gathered_.size(); ++i) {
    if (gathered_[i].kind.is_main) continue;
    const auto [at, added] = largest.emplace(gathered_[i].origin, i);
    if (!added && gathered_[i].kind.threads.size() > gathered_[at->second].kind.threads.size()) at->second = i;
  }
  for (const ThreadGroupRow& group : recording_.thread_groups) {
    const Origin origin = origin_of(group.start_routine, group.start_argument, group.creation_stack);
    const auto [at, added] = largest.emplace(origin, gathered_.size());
    if (added)
      gathered_.push_back({{.creation_stack = group.creation_stack, .start_routine = group.start_routine}, origin, {}});
    gathered_[at->second].kind.short_lived.push_back(&group);
  }
}

FunctionId ThreadKinds::entry_of_kind(const ThreadKind& kind) const {
  std::map<FunctionId, std::size_t> votes;
  for (const auto* thread : kind.threads)
    if (const auto at = thread_entries_.find(thread->id); at != thread_entries_.end()) ++votes[at->second];
  const auto most = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != votes.end()) return most->first;
  if (!kind.start_routine) return 0;
  const auto frames = symbols_.frames_at(kind.start_routine);
  return frames.empty() || plumbing(frames.back().function) ? 0 : frames.back().function;
}

// Two places of one function that start the same work make one kind; the same place that starts different work was told
// apart by name or callable before.
void ThreadKinds::join_same_work() {
  std::map<std::tuple<FunctionId, FunctionId, std::uint64_t, std::string>, std::size_t> known;
  for (Gathered& gathered : gathered_) {
    ThreadKind& kind = gathered.kind;
    kind.entry = entry_of_kind(kind);
    const std::uint64_t callable = gathered.origin.argument;  // tells what they run, sampled or not
    if ((kind.entry || callable) && !kind.is_main) {
      const auto [at, added] = known.emplace(std::tuple(callable ? 0 : kind.entry, gathered.origin.creator, callable, gathered.pattern), kinds_.size());
      if (!added) {
        ThreadKind& first = kinds_[at->second];
        if (!first.entry) first.entry = kind.entry;
        first.threads.insert(first.threads.end(), kind.threads.begin(), kind.threads.end());
        first.short_lived.insert(first.short_lived.end(), kind.short_lived.begin(), kind.short_lived.end());
        continue;
      }
    }
    kinds_.push_back(std::move(kind));
  }
  gathered_.clear();
}

std::string ThreadKinds::label_of(const ThreadKind& kind) const {
  if (kind.is_main) return "main thread";
  if (!kind.threads.empty()) {
    const std::string pattern = name_pattern(*kind.threads.front());
    if (!pattern.empty()) return kind.threads.size() == 1 ? kind.threads.front()->name : pattern;
  }
  if (kind.entry) return symbols_.function_name(kind.entry);
  for (const auto* thread : kind.threads)
    if (const std::string callable = callable_of_vtable(symbols_.data_symbol(thread->start_argument)); !callable.empty()) return callable;
  for (const auto* group : kind.short_lived)
    if (const std::string callable = callable_of_vtable(symbols_.data_symbol(group->start_argument)); !callable.empty()) return callable;
  if (kind.start_routine) {
    const auto frames = symbols_.frames_at(kind.start_routine);
    if (!frames.empty()) return symbols_.function_name(frames.back().function);
  }
  return "thread";
}

}  // namespace tailback::analyzers
