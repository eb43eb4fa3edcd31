// SPDX-License-Identifier: Apache-2.0
// The text report against files of what a person should see (tests/tools/golden). After a wanted change: run the test
// program with TAILBACK_UPDATE_GOLDEN=1, then read the difference.
#include "tools/reports/text.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/tools/sample_report.h"
#include "tools/reports/format.h"
#include "tools/reports/stack_lines.h"

namespace tailback::tools {
namespace {

using namespace tailback::testing;

std::string golden(const std::string& name, const std::string& shown) {
  const std::string path = std::string(TAILBACK_SOURCE_DIR) + "/tests/tools/golden/" + name;
  if (std::getenv("TAILBACK_UPDATE_GOLDEN")) std::ofstream(path) << shown;
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(TextReport, FullReportOnPlainTerminal) {
  const std::string text = text_report(full_report(), {{false, false, 80}, 10, false});
  EXPECT_EQ(text, golden("full_80_ascii.txt", text));
}

TEST(TextReport, FullReportInUnicode) {
  const std::string text = text_report(full_report(), {{false, true, 100}, 10, false});
  EXPECT_EQ(text, golden("full_100_unicode.txt", text));
}

TEST(TextReport, NothingToFix) {
  const std::string text = text_report(clean_report(), {{false, true, 80}, 10, true});
  EXPECT_EQ(text, golden("clean_80.txt", text));
}

TEST(TextReport, ColourOnlyAddsEscapeSequences) {
  const std::string plain = text_report(full_report(), {{false, true, 80}, 10, false});
  const std::string coloured = text_report(full_report(), {{true, true, 80}, 10, false});
  std::string stripped;
  for (std::size_t i = 0; i < coloured.size(); ++i) {
    if (coloured[i] == '\x1b')
      i = coloured.find('m', i);
    else
      stripped += coloured[i];
  }
  EXPECT_NE(plain, coloured);
  EXPECT_EQ(plain, stripped);
}

TEST(TextReport, LinesFitTheTerminal) {
  for (const unsigned width : {60u, 80u, 100u})
    for (const std::string& line : lines_of(text_report(full_report(), {{false, true, width}, 10, false})))
      EXPECT_LE(display_width(line), width) << line;
}

TEST(TextReport, HostileNamesCannotSteerTheTerminal) {
  const std::string text = text_report(hostile_report(), {{false, true, 80}, 10, false});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_EQ(text, valid_utf8(text));
}

TEST(TextReport, TopLimitsTheSuggestions) {
  const std::string text = text_report(full_report(), {{false, false, 80}, 1, false});
  EXPECT_NE(text.find("Suggestions (1 of 2"), std::string::npos);
  EXPECT_EQ(text.find("A thread is made"), std::string::npos);
}

TEST(StackLines, RecursionIsOneLine) {
  const auto lines = stack_lines(recursive_stack(140), 70, false, 30);
  ASSERT_EQ(lines.size(), 13u);
  EXPECT_NE(lines[2].find("descend (x 140)"), std::string::npos) << lines[2];
  EXPECT_NE(lines[0].find("inlined"), std::string::npos);
}

TEST(StackLines, MutualRecursionIsOneRound) {
  std::vector<analyzers::Frame> frames;
  for (int i = 0; i < 20; ++i) {
    frames.push_back(frame("parse_expression", "", 0, "m"));
    frames.push_back(frame("parse_term", "", 0, "m"));
  }
  frames.push_back(frame("main", "", 0, "m"));
  const auto lines = stack_lines(frames, 70, false);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_NE(lines[1].find("(these 2 x 20)"), std::string::npos) << lines[1];
}

TEST(StackLines, TheMiddleOfDeepStacksIsElided) {
  std::vector<analyzers::Frame> frames;
  for (int i = 0; i < 200; ++i) frames.push_back(frame("f" + std::to_string(i), "", 0, "m"));
  const auto lines = stack_lines(frames, 70, false, 10);
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines[0].substr(0, 2), "f0");
  EXPECT_EQ(lines[6], "... 191 more frames");
  EXPECT_EQ(lines[9].substr(0, 4), "f199");
}

TEST(Format, Quantities) {
  EXPECT_EQ(format_quantity(8.2, "seconds"), "8.20 s");
  EXPECT_EQ(format_quantity(0.0123, "seconds"), "12.3 ms");
  EXPECT_EQ(format_quantity(125, "seconds"), "2 min 5 s");
  EXPECT_EQ(format_quantity(1572864, "bytes"), "1.50 MiB");
  EXPECT_EQ(format_quantity(512, "bytes"), "512 bytes");
  EXPECT_EQ(format_quantity(0.421, "fraction"), "42 %");
  EXPECT_EQ(format_quantity(0.0042, "fraction"), "0.42 %");
  EXPECT_EQ(format_quantity(1234567, "count"), "1,234,567");
  EXPECT_EQ(format_quantity(3, "switches per second"), "3 switches per second");
}

TEST(Format, BrokenUtf8IsReplacedAndGoodKept) {
  EXPECT_EQ(valid_utf8("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(valid_utf8("\xc3("), "\xef\xbf\xbd(");
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate is no character
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80").find('\xf4'), std::string::npos);      // beyond U+10FFFF
  EXPECT_EQ(printable("a\x1b[31mb\xc2\x9bz"), "a?[31mb?z");
}

TEST(Format, ShortenedKeepsBothEnds) {
  EXPECT_EQ(shortened("abcdefghij", 10, false), "abcdefghij");
  EXPECT_EQ(shortened("abcdefghijk", 8, false), "abc..ijk");
  EXPECT_EQ(display_width(shortened("abcdefghijk", 8, true)), 8u);
}

}  // namespace
}  // namespace tailback::tools
