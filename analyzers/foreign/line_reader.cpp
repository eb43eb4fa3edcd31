// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/line_reader.h"

#include <cstring>

namespace tailback::analyzers::foreign {

std::string_view LineReader::window(std::size_t keep) {
  begin_ -= keep;
  while (true) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (end_ + 1 >= buffer_.size()) {  // one line, or a kept part, fills it
      if (buffer_.size() >= kMostLine) return too_long_ = true, std::string_view();
      buffer_.resize(2 * buffer_.size());
    }
    if (!ended_) {
      const std::size_t room = buffer_.size() - end_ - 1;  // for the newline at the end
      const std::size_t got = in_.read(buffer_.data() + end_, room);
      ended_ = got < room;
      end_ += got;
    } else if (keep) {
      return {};  // nothing more to put behind it
    }
    if (ended_ && end_ && buffer_[end_ - 1] != '\n') buffer_[end_++] = '\n';
    const void* last = ::memrchr(buffer_.data(), '\n', end_);
    if (last) {
      begin_ = static_cast<std::size_t>(static_cast<const char*>(last) - buffer_.data()) + 1;
      return {buffer_.data(), begin_};
    }
    if (ended_) return {};
  }
}

std::optional<std::string_view> LineReader::line() {
  if (lines_.empty()) lines_ = window();
  if (lines_.empty()) return std::nullopt;
  const std::size_t end = lines_.find('\n');
  const std::string_view line = lines_.substr(0, end);
  lines_.remove_prefix(end + 1);
  return line;
}

}  // namespace tailback::analyzers::foreign
