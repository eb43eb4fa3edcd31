// SPDX-License-Identifier: Apache-2.0
// Demangled names for reading: what a person would write in a sentence. Parameter lists, return types, qualifiers behind them,
// ABI tags and default template arguments go; scopes, lambdas and the template arguments that matter stay. Works on text
// alone and accepts any text; never fails, never grows a name.
#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "analyzers/model/symbols.h"
#include "analyzers/model/symbols/template_arguments.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kReadable = 160;   // beyond this inner template arguments are elided
constexpr std::size_t kLongest = 400;
constexpr std::size_t kLongestInput = 64 * 1024;
constexpr int kDeepest = 48;

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80); }

// One pass over a name or a type; groups in brackets are handled by passes of their own.
class Simplifier {
 public:
  Simplifier(std::string_view text, int template_depth, int depth)
      : text_(text), template_depth_(template_depth), depth_(depth) {}

  std::string name();  // a function's name: return type and parameters go
  std::string type();  // a template argument: parameter lists are part of it

 private:
  bool at(std::string_view word) const { return text_.substr(position_).starts_with(word); }
  bool done() const { return position_ >= text_.size(); }
  bool at_word_start() const { return position_ == 0 || !is_identifier(text_[position_ - 1]); }
  std::size_t closing(char open, char close) const;
  void copy_through(std::size_t end);
  std::string inner(std::string_view text, bool as_name) const;

  void take_operator();
  void take_conversion();
  void take_template_arguments();
  void take_braces();
  bool take_parentheses(bool as_name);
  void take_space();
  void skip_trailing_qualifiers();
  void step(bool as_name);

  std::string_view text_;
  int template_depth_, depth_;
  std::size_t position_ = 0;
  std::string out_;
  std::size_t word_start_ = 0;   // in out_: behind the last space, where a name may begin
  std::size_t name_start_ = 0;   // in out_: the word that turned out to have parameters
  bool finished_ = false;
};

// Where the bracket at the position closes; the end of the text when it does not. "->" and operator names are no brackets.
std::size_t Simplifier::closing(char open, char close) const {
  int level = 0;
  for (std::size_t i = position_; i < text_.size(); ++i) {
    const char c = text_[i];
    if (open == '<' && (c == '(' || c == '{')) {  // inside these "<" and ">" may be comparisons
      Simplifier group(text_, template_depth_, depth_);
      group.position_ = i;
      i = group.closing(c, c == '(' ? ')' : '}');
      continue;
    }
    if (open == '<' && c == '>' && i > 0 && text_[i - 1] == '-') continue;
    if (c == open) ++level;
    if (c == close && --level == 0) return i;
  }
  return text_.size();
}

std::string Simplifier::inner(std::string_view text, bool as_name) const {
  if (depth_ >= kDeepest) return std::string(text);
  Simplifier part(text, template_depth_, depth_ + 1);
  return as_name ? part.name() : part.type();
}

void Simplifier::copy_through(std::size_t end) {
  end = std::min(end, text_.size());
  out_ += text_.substr(position_, end - position_);
  position_ = end;
}

void Simplifier::skip_trailing_qualifiers() {
  static constexpr std::array<std::string_view, 6> kQualifiers{" const", " volatile", " &&", " &", " noexcept", " restrict"};
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view qualifier : kQualifiers) {
      if (!at(qualifier)) continue;
      const std::size_t after = position_ + qualifier.size();
      if (after < text_.size() && is_identifier(text_[after])) continue;
      position_ = after;
      again = true;
    }
  }
}

// A group in parentheses. In a name: a part of the scope, a declarator around the name, or parameters.
bool Simplifier::take_parentheses(bool as_name) {
  const std::size_t end = closing('(', ')');
  const std::string_view content = text_.substr(position_ + 1, end - std::min(end, position_ + 1));
  const bool scope = content.starts_with("anonymous ");
  const bool scoped = text_.substr(std::min(end + 1, text_.size())).starts_with("::");
  if (scope || (out_.size() == word_start_ && scoped)) {
    copy_through(end + 1);
    return true;
  }
  if (as_name && out_.size() == word_start_ && !content.empty()) {  // int (*name(int))(char): the name is inside
    const std::size_t begin = content.find_first_not_of("*& ");
    const std::size_t member = content.find("::*");
    if (begin == 0 && (member == std::string_view::npos || member > content.find('('))) {
      position_ = end + 1;
      return true;
    }
    const std::size_t from = begin == 0 ? member + 3 : begin;
    if (from < content.size()) out_ = inner(content.substr(from), true);
    finished_ = true;
    return true;
  }
  if (!as_name && !scoped) {
    const std::string parameters = inner(content, false);
    out_ += '(' + parameters + ')';
    position_ = std::min(end + 1, text_.size());
    return true;
  }
  position_ = std::min(end + 1, text_.size());
  const std::size_t before = position_;
  skip_trailing_qualifiers();
  if (!as_name && !at("::")) position_ = before;
  if (as_name) name_start_ = word_start_;
  return true;
}

void Simplifier::take_template_arguments() {
  const std::size_t end = closing('<', '>');
  if (end >= text_.size()) return copy_through(text_.size());  // a comparison or a broken name
  const std::string_view content = text_.substr(position_ + 1, end - position_ - 1);
  position_ = end + 1;
  std::vector<std::string> arguments;
  if (template_depth_ > 0) {
    for (const std::string_view argument : split_arguments(content)) {
      if (depth_ >= kDeepest) return void(out_ += "<...>");
      Simplifier part(argument, template_depth_ - 1, depth_ + 1);
      arguments.push_back(part.type());
    }
    drop_default_arguments(out_.substr(word_start_), arguments);
  } else {
    arguments.push_back(content.empty() ? "" : "...");
  }
  if (arguments.empty()) {
    if (out_.ends_with(' ')) out_.pop_back();  // "operator<< <...>"
    return;
  }
  out_ += '<';
  for (std::size_t i = 0; i < arguments.size(); ++i) out_ += (i ? ", " : "") + arguments[i];
  out_ += '>';
  collapse_standard_name(out_, word_start_);
}

void Simplifier::take_braces() {
  const std::size_t end = std::min(closing('{', '}') + 1, text_.size());
  const std::string_view content = text_.substr(position_, end - position_);
  const std::size_t number = content.rfind('#');
  if (content.starts_with("{lambda(") && number != std::string_view::npos) {
    out_ += "{lambda";
    out_ += content.substr(number);
  } else {
    out_ += content;
  }
  position_ = end;
  // A lambda's body is its call operator: nothing else of it takes time under its own name.
  if (content.starts_with("{lambda") && at("::operator()")) position_ += std::string_view("::operator()").size();
}

// "operator" and its symbol, which may look like brackets.
void Simplifier::take_operator() {
  static constexpr std::array<std::string_view, 38> kSymbols{
      "()", "[]", "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "==", "!=", "&&", "||", "++", "--", "+=", "-=",
      "*=", "/=", "%=", "^=", "&=", "|=", "<", ">", "=", "+", "-", "*", "/", "%", "^", "&", "|", "~", "!"};
  copy_through(position_ + 8);
  if (at(",")) return copy_through(position_ + 1);
  for (const std::string_view symbol : kSymbols) {
    if (!at(symbol)) continue;
    copy_through(position_ + symbol.size());
    if (at(" <")) copy_through(position_ + 1);  // "operator< <int>"
    return;
  }
  for (const std::string_view word : {" new[]", " new", " delete[]", " delete", " co_await"})
    if (at(word)) return copy_through(position_ + word.size());
  if (at("\"\" ") || at(" \"\" ")) return copy_through(position_ + (at(" ") ? 4 : 3));
  if (at(" ")) take_conversion();
}

// "operator TYPE": the type ends where the parameters begin; it may contain parentheses of its own.
void Simplifier::take_conversion() {
  copy_through(position_ + 1);
  const std::size_t begin = position_;
  for (int angles = 0; !done(); ++position_) {
    const char c = text_[position_];
    if (c == '<') ++angles;
    if (c == '>' && text_[position_ - 1] != '-') --angles;
    if (c != '(' || angles > 0) continue;
    const bool pointer = at("(*") || at("(&") || at("(anonymous ");
    const std::size_t end = closing('(', ')');
    if (!pointer && (end + 1 >= text_.size() || text_[end + 1] != '(')) break;
    position_ = std::min(end, text_.size() - 1);
    if (pointer && !at("(anonymous ") && text_.substr(position_).starts_with(")(")) {
      ++position_;
      position_ = std::min(closing('(', ')'), text_.size() - 1);
    }
  }
  out_ += inner(text_.substr(begin, position_ - begin), false);
}

void Simplifier::take_space() {
  copy_through(position_ + 1);
  word_start_ = out_.size();
}

void Simplifier::step(bool as_name) {
  const char c = text_[position_];
  if (c == '(') {
    take_parentheses(as_name);
  } else if (c == '<') {
    take_template_arguments();
  } else if (c == '{') {
    take_braces();
  } else if (c == '[' && at("[abi:")) {
    position_ = std::min(closing('[', ']') + 1, text_.size());
  } else if (c == ' ' || c == ',') {
    take_space();
  } else if (at_word_start() && at("operator") && (position_ + 8 >= text_.size() || !is_identifier(text_[position_ + 8]))) {
    take_operator();
  } else if (at_word_start() && !skip_inline_namespace(text_, position_, out_)) {
    copy_through(position_ + 1);
  } else if (!at_word_start()) {
    copy_through(position_ + 1);
  }
}

std::string Simplifier::name() {
  while (!done() && !finished_) step(true);
  if (finished_) return out_;
  out_.erase(0, std::min(name_start_, out_.size()));
  return out_;
}

std::string Simplifier::type() {
  while (!done()) step(false);
  while (out_.ends_with(' ')) out_.pop_back();
  return out_;
}

// "[clone .cold]", ".constprop.0" and the like, taken off the end and given back short; marks of the linker say nothing.
std::string take_clone_suffixes(std::string& name) {
  static constexpr std::array<std::string_view, 7> kTelling{"cold", "part", "isra", "constprop", "resolver", "_omp_fn", "actor"};
  std::string labels;
  const auto add = [&](std::string_view suffix) {
    for (const std::string_view word : kTelling)
      if (suffix.find(std::string(".") + std::string(word)) != std::string_view::npos)
        labels.insert(0, " [" + std::string(word) + "]");
  };
  while (name.ends_with(']')) {
    const std::size_t start = name.rfind(" [clone ");
    if (start == std::string::npos) break;
    add(std::string_view(name).substr(start));
    name.erase(start);
  }
  // Plain C names carry the suffix as it is.
  const std::size_t dot = name.find('.');
  if (dot != std::string::npos && dot > 0 && std::all_of(name.begin(), name.end(), [](char c) { return is_identifier(c) || c == '.'; })) {
    for (const std::string_view word : {".cold", ".part.", ".isra.", ".constprop.", ".lto_priv.", ".llvm.", "._omp_fn."}) {
      const std::size_t found = name.find(word);
      if (found == std::string::npos || found == 0) continue;
      add(std::string_view(name).substr(found));
      name.erase(found);
    }
  }
  return labels;
}

void drop_rust_hash(std::string& name) {
  constexpr std::size_t kHash = 19;  // "::h" and 16 digits
  if (name.size() <= kHash || name.compare(name.size() - kHash, 3, "::h") != 0) return;
  const auto digits = std::string_view(name).substr(name.size() - kHash + 3);
  if (std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c); })) name.erase(name.size() - kHash);
}

// What the demangler puts before names of generated things.
std::size_t generated_prefix(const std::string& name) {
  static constexpr std::array<std::string_view, 12> kPrefixes{
      "non-virtual thunk to ", "virtual thunk to ", "covariant return thunk to ", "guard variable for ", "vtable for ",
      "typeinfo for ", "typeinfo name for ", "VTT for ", "construction vtable for ", "TLS init function for ",
      "TLS wrapper function for ", "reference temporary for "};
  for (const std::string_view prefix : kPrefixes)
    if (name.starts_with(prefix)) return prefix.size();
  return name.starts_with("global constructors keyed to ") || name.starts_with("global destructors keyed to ") ? name.size() : 0;
}

std::string simplify_to_depth(const std::string& name, int template_depth) {
  const std::size_t prefix = generated_prefix(name);
  if (prefix == name.size()) return name;
  Simplifier simplifier(std::string_view(name).substr(prefix), template_depth, 0);
  return name.substr(0, prefix) + simplifier.name();
}

}  // namespace

std::string simplify_name(const std::string& demangled) {
  std::string name = demangled.substr(0, kLongestInput);
  const std::string labels = take_clone_suffixes(name);
  drop_rust_hash(name);
  std::string simple;
  for (const int template_depth : {kDeepest, 2, 1, 0}) {
    simple = simplify_to_depth(name, template_depth);
    if (simple.size() <= kReadable) break;
  }
  if (simple.empty()) simple = name;
  if (simple.size() > kLongest) simple = simple.substr(0, kLongest) + "...";
  return simple + labels;
}

}  // namespace tailback::analyzers
