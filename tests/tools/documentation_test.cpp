// SPDX-License-Identifier: Apache-2.0
// Every option that --help lists is in the manual and in the completions of all three shells, and nothing else is.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

namespace tailback::tools {
namespace {

std::string output_of(const std::string& command) {
  std::string out;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[4096];
  for (std::size_t got; pipe && (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, got);
  EXPECT_TRUE(pipe && ::pclose(pipe) == 0) << command;
  return out;
}

std::string file_text(const std::string& path) {
  std::ifstream in(std::string(TAILBACK_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path;
  return text.str();
}

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
  std::set<std::string> found;
  const std::regex regex(pattern);
  for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

std::set<std::string> help_options(const std::string& command) {
  return matches(output_of(std::string(TAILBACK_BUILD_DIR) + "/tools/tailback help " + command), "(?:^|[ ,])--([a-z][a-z-]+)");
}

// Text from `begin` up to the line `end`.
std::string section(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t from = text.find(begin);
  EXPECT_NE(from, std::string::npos) << begin;
  return from == std::string::npos ? "" : text.substr(from, text.find(end, from) - from);
}

std::set<std::string> without(std::set<std::string> names, const std::string& name) {
  names.erase(name);
  return names;
}

TEST(Documentation, ManualAndCompletionsKnowTheOptions) {
  const std::string bash = file_text("tools/completions/tailback.bash"), zsh = file_text("tools/completions/_tailback"),
                    fish = file_text("tools/completions/tailback.fish");
  const struct {
    const char* command;
    const char* bash;
    const char* zsh;
  } commands[] = {{"record", "record | run) echo", "recording=("},
                  {"report", "report) echo", "reporting=("},
                  {"export", "export) echo", "exporting=("},
                  {"stacks", "stacks) echo", "looking=("},
                  {"stop", "stop) echo", "stopping=("},
                  {"dump", "dump) echo", "dumping=("},
                  {"doctor", "doctor) echo", "examining=("}};
  for (const auto& [command, bash_part, zsh_part] : commands) {
    SCOPED_TRACE(command);
    std::set<std::string> options = help_options(command);
    EXPECT_TRUE(options.contains("help"));
    const std::string manual =
        section(file_text(std::string("docs/man/tailback-") + command + ".1.scd"), "# OPTIONS", "# EXAMPLES");
    EXPECT_EQ(matches(manual, "\\*--([a-z][a-z-]+)\\*"), options);
    EXPECT_EQ(matches(section(bash, bash_part, ";;"), "--([a-z][a-z-]+)"), options);
    EXPECT_EQ(matches(section(zsh, zsh_part, "\n)"), "--([a-z][a-z-]+)(?:=|\\[|\\}|,)"), options);
    EXPECT_EQ(matches(fish, "-n \\$" + std::string(command) + " [^\n]*?-l ([a-z-]+)"), without(options, "help"));
  }
}

TEST(Documentation, BashCompletes) {
  const std::string source = std::string("cd / && . ") + TAILBACK_SOURCE_DIR + "/tools/completions/tailback.bash && ";
  const auto complete = [&](const std::string& words) {
    return output_of("bash -c '" + source + "COMP_WORDS=(" + words +
                     "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tailback; echo \"${COMPREPLY[*]}\"'");
  };
  EXPECT_EQ(complete("tailback re"), "record report\n");
  EXPECT_EQ(complete("tailback report --fail-on cr"), "critical\n");
  EXPECT_EQ(complete("tailback export --fo"), "--format --force\n");
  EXPECT_EQ(complete("tailback record --al"), "--alloc --alloc-interval\n");
}

}  // namespace
}  // namespace tailback::tools
