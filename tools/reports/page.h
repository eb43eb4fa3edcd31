// SPDX-License-Identifier: Apache-2.0
// A growing text page: indented, wrapped, coloured paragraphs and labelled rows. Knows nothing of reports.
#pragma once
#include <string>
#include <string_view>

#include "tools/terminal.h"

namespace tailback::tools {

enum class Style { plain, bold, dim, red, magenta, yellow, blue, green };

class Page {
 public:
  explicit Page(const Terminal& terminal) : terminal_(terminal) {}

  std::string styled(Style style, std::string_view text) const;
  const char* bullet() const { return terminal_.unicode ? "\xe2\x80\xa2" : "-"; }
  const char* ellipsis() const { return terminal_.unicode ? "\xe2\x80\xa6" : "..."; }
  const char* dot() const { return terminal_.unicode ? " \xc2\xb7 " : " | "; }
  unsigned width() const { return terminal_.width; }
  bool unicode() const { return terminal_.unicode; }

  void blank() { text_ += '\n'; }
  void heading(std::string_view title);
  // `label` in its column (blanks on the lines that follow), then the text wrapped behind it.
  void row(std::size_t indent, std::string_view label, std::size_t label_width, std::string_view text,
           Style style = Style::plain);
  void paragraph(std::size_t indent, std::string_view text, Style style = Style::plain) { row(indent, "", 0, text, style); }
  void bulleted(std::size_t indent, std::string_view text, Style style = Style::plain);
  void line(std::string_view text);  // as it is, trailing blanks removed

  const std::string& text() const { return text_; }

 private:
  Terminal terminal_;
  std::string text_;
};

}  // namespace tailback::tools
