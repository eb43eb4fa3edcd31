// SPDX-License-Identifier: Apache-2.0
#include "tools/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tools/command.h"

namespace tailback::tools {

namespace {

[[noreturn]] void refuse(const std::string& path, int error) {
  const char* remedy = error == EEXIST                      ? "choose another name or add --force"
                       : error == ENOENT                    ? "create its folder first"
                       : error == ENOSPC || error == EDQUOT ? "free some space"
                                                            : "check the path and its folder's mode";
  throw Failure(kFailed, fmt::format("cannot write {}: {}; {}", path, std::strerror(error), remedy));
}

bool write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

void write_result(const std::string& path, std::string_view content, bool force) {
  if (path == "-") {
    std::fflush(stdout);
    if (!write_all(STDOUT_FILENO, content)) refuse("standard output", errno);
    return;
  }
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0666);
  if (file < 0) refuse(path, errno);
  const bool written = write_all(file, content);
  const int error = errno;
  if (::close(file) == 0 && written) return;
  const int cause = written ? errno : error;
  if (!force) ::unlink(path.c_str());
  refuse(path, cause);
}

}  // namespace tailback::tools
