// SPDX-License-Identifier: Apache-2.0
// Demangling of C++ and Rust through libiberty, bounded: names come from untrusted files, and a short mangled name can
// stand for an endless text. Names that are too long or expand too far come back unchanged.
#include <cstddef>
#include <string>
#include <string_view>

#include "analyzers/model/symbols.h"

// Declared here because the header that does it also redeclares parts of libc.
extern "C" {
using DemangleSink = void (*)(const char* text, std::size_t length, void* opaque);
int cplus_demangle_v3_callback(const char* mangled, int options, DemangleSink sink, void* opaque);
int rust_demangle_callback(const char* mangled, int options, DemangleSink sink, void* opaque);
}

namespace tailback::analyzers {
namespace {

constexpr int kParameters = 1 << 0, kQualifiers = 1 << 1, kUnlimitedRecursion = 1 << 18;
// With libiberty's own limit C++ names of more than about a thousand characters are refused, which real templates exceed. Its
// recursion then follows the name's length, and up to this length fits a thread's stack.
constexpr std::size_t kLongestName = 8192;
constexpr std::size_t kLongestResult = 64 * 1024;
constexpr std::size_t kMostCalls = 100'000;  // of the sink: also empty expansions end

struct TooLong {};

struct Output {
  std::string text;
  std::size_t calls = 0;
};

// Leaves the demangler by an exception; it holds no heap memory at that point.
void append(const char* text, std::size_t length, void* opaque) {
  auto& output = *static_cast<Output*>(opaque);
  if (output.text.size() + length > kLongestResult || ++output.calls > kMostCalls) throw TooLong{};
  output.text.append(text, length);
}

using Demangler = int (*)(const char*, int, DemangleSink, void*);

std::string run(Demangler demangler, const std::string& name, int more_options = 0) {
  Output output;
  try {
    if (demangler(name.c_str(), kParameters | kQualifiers | more_options, append, &output)) return output.text;
  } catch (const TooLong&) {
  }
  return {};
}

std::string run_cxx(const std::string& name) {
  std::string text = run(cplus_demangle_v3_callback, name);
  // Never so for Rust, whose names can refer to themselves.
  return text.empty() && name.size() > 1000 ? run(cplus_demangle_v3_callback, name, kUnlimitedRecursion) : text;
}

// A legacy Rust name is an Itanium one whose last part is "17h" and sixteen hexadecimal digits.
bool may_be_rust(std::string_view name) {
  return name.starts_with("_R") || (name.starts_with("_ZN") && name.find("17h") != std::string_view::npos);
}

}  // namespace

std::string demangle(const std::string& name) {
  if (name.size() > kLongestName || name.size() < 3 || name[0] != '_') return name;
  if (may_be_rust(name))
    if (std::string text = run(rust_demangle_callback, name); !text.empty()) return text;
  if (name.starts_with("_Z") || name.starts_with("_GLOBAL_"))
    if (std::string text = run_cxx(name); !text.empty()) return text;
  return name;
}

}  // namespace tailback::analyzers
