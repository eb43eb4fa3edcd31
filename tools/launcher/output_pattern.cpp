// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/output_pattern.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "tools/command.h"
#include "tools/messages.h"

namespace tailback::tools {

namespace {

constexpr const char* kDefaultName = "tailback.%e.%p.tbk";

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

// Calls literal(char) for plain characters and field(letter) for %p, %e and %h.
template <class Literal, class Field>
void walk(const std::string& pattern, Literal&& literal, Field&& field) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char next = pattern[i] == '%' && i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (next == 'p' || next == 'e' || next == 'h')
      field(next), ++i;
    else if (next == '%')
      literal('%'), ++i;
    else
      literal(pattern[i]);
  }
}

std::string escaped(const std::string& path) {
  std::string out;
  for (const char c : path) out += c == '%' ? "%%" : std::string(1, c);
  return out;
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string absolute(const std::string& pattern) {
  if (pattern.starts_with('/')) return pattern;
  std::error_code error;
  const std::string here = std::filesystem::current_path(error).string();
  if (error)
    throw Failure(kNotStarted,
                  fmt::format("cannot tell the current folder: {}; use --output with an absolute path", error.message()));
  return escaped(here) + (here.ends_with('/') ? "" : "/") + pattern;
}

}  // namespace

OutputPattern::OutputPattern(const std::string& given) {
  if (given == "-")
    throw Failure(kWrongUsage, "--output -: a dump is written in place and cannot go to standard output; give a path");
  std::string pattern = given.empty() ? kDefaultName : given;
  if (pattern.ends_with('/') || is_folder(pattern)) pattern += (pattern.ends_with('/') ? "" : "/") + std::string(kDefaultName);
  pattern_ = absolute(pattern);
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    if (pattern_[i] != '%') continue;
    const std::string letter = pattern_.substr(++i, 1);
    if (letter.empty() || std::string("peh%").find(letter) == std::string::npos)
      throw Failure(kWrongUsage, fmt::format("--output {}: %{} stands for nothing; there are %p pid, %e program, %h host and %%",
                                             given, letter));
  }
  const std::string folder_part = pattern_.substr(0, pattern_.find_last_of('/') + 1);
  walk(
      folder_part, [](char) {},
      [&](char letter) {
        if (letter != 'h')
          throw Failure(kWrongUsage,
                        fmt::format("--output {}: %{} may stand in the file's name only, not in its folder", given, letter));
      });
}

std::string OutputPattern::expanded(const std::string& program, long pid) const {
  const std::string name = program.substr(program.find_last_of('/') + 1);
  std::string out;
  walk(
      pattern_, [&](char c) { out += c; },
      [&](char letter) { out += letter == 'p'   ? std::to_string(pid)
                                : letter == 'e' ? name
                                                : host_name(); });
  return out;
}

std::string OutputPattern::folder() const {
  const std::string any = expanded("program", 1);
  return any.substr(0, std::max<std::size_t>(any.find_last_of('/'), 1));
}

bool OutputPattern::is_fixed() const {
  bool fixed = true;
  walk(
      pattern_, [](char) {}, [&](char letter) { fixed = fixed && letter == 'h'; });
  return fixed;
}

bool OutputPattern::matches(const std::string& file_name) const {
  std::string glob;
  const std::string name = pattern_.substr(pattern_.find_last_of('/') + 1);
  const auto literal = [&](char c) { glob += std::string("\\") + c; };
  walk(name, literal, [&](char letter) {
    if (letter != 'h')
      glob += '*';
    else
      for (const char c : host_name()) literal(c);
  });
  return ::fnmatch(glob.c_str(), file_name.c_str(), 0) == 0 || ::fnmatch((glob + ".[0-9]*").c_str(), file_name.c_str(), 0) == 0;
}

void OutputPattern::check_folder() const {
  const std::string path = folder();
  if (!is_folder(path))
    throw Failure(
        kNotStarted,
        fmt::format("there is no folder {} to write the dump into; create it (mkdir -p {}), or choose another with --output",
                    path, shell_quoted(path)));
  if (::access(path.c_str(), W_OK | X_OK) != 0)
    throw Failure(kNotStarted, fmt::format("cannot write a dump into {}: {}; choose another folder with --output", path,
                                           std::strerror(errno)));
}

}  // namespace tailback::tools
