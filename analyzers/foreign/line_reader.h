// SPDX-License-Identifier: Apache-2.0
// Windows of whole lines over an InputStream: no copy and no allocation for a line. What lies behind a window's last line waits for
// the next one.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyzers/foreign/input_stream.h"

namespace tailback::analyzers::foreign {

class LineReader {
 public:
  explicit LineReader(InputStream& in) : in_(in), buffer_(kWindow) {}

  // The next stretch, ended by a newline (made up at the very end). `keep`: the last bytes of the window before were not used and
  // come again, with more behind them. Empty: the end, or a line of more than kMostLine bytes.
  std::string_view window(std::size_t keep = 0);
  // Line by line, without the newline. Not to be mixed with window().
  std::optional<std::string_view> line();
  bool line_too_long() const { return too_long_; }

 private:
  static constexpr std::size_t kWindow = 256 << 10, kMostLine = 16 << 20;

  InputStream& in_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // of what was read and not handed out
  bool ended_ = false, too_long_ = false;
  std::string_view lines_;
};

}  // namespace tailback::analyzers::foreign
