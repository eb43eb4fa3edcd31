// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/page.h"

#include <algorithm>

#include "tools/reports/format.h"

namespace tailback::tools {

namespace {

const char* sequence(Style style) {
  switch (style) {
    case Style::plain:
      return "";
    case Style::bold:
      return "\x1b[1m";
    case Style::dim:
      return "\x1b[2m";
    case Style::red:
      return "\x1b[1;31m";
    case Style::magenta:
      return "\x1b[1;35m";
    case Style::yellow:
      return "\x1b[33m";
    case Style::blue:
      return "\x1b[34m";
    case Style::green:
      return "\x1b[32m";
  }
  return "";
}

}  // namespace

std::string Page::styled(Style style, std::string_view text) const {
  if (!terminal_.colour || style == Style::plain || text.empty()) return std::string(text);
  return sequence(style) + std::string(text) + "\x1b[0m";
}

void Page::line(std::string_view text) {
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  text_ += text;
  text_ += '\n';
}

void Page::heading(std::string_view title) {
  blank();
  line(styled(Style::bold, title));
}

void Page::row(std::size_t indent, std::string_view label, std::size_t label_width, std::string_view text, Style style) {
  const std::size_t column = indent + label_width;
  const std::size_t room = terminal_.width > column + 20 ? terminal_.width - column : 20;
  std::string head = std::string(indent, ' ') + styled(Style::dim, label) +
                     std::string(label_width - std::min(display_width(label), label_width), ' ');
  for (const std::string& part : wrapped(printable(text), room)) {
    line(head + styled(style, part));
    head = std::string(column, ' ');
  }
}

void Page::bulleted(std::size_t indent, std::string_view text, Style style) { row(indent, bullet(), 2, text, style); }

}  // namespace tailback::tools
