// SPDX-License-Identifier: Apache-2.0
// Reads a small file of /proc or /sys whole: opened, read and closed at once, so that no descriptor is ever held. Signal-safe.
#pragma once
#include <fcntl.h>

#include <string_view>

#include "agent/capture/syscalls.h"

namespace tailback::engine {

// The text read into `buffer`, empty when the file cannot be read. Longer files are cut.
inline std::string_view read_kernel_file(const char* path, char* buffer, std::size_t size) {
  namespace sys = capture::sys;
  const long fd = sys::openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (sys::failed(fd)) return {};
  std::size_t used = 0;
  while (used < size) {
    const long got = sys::read(static_cast<int>(fd), buffer + used, size - used);
    if (got <= 0) break;
    used += static_cast<std::size_t>(got);
  }
  sys::close(static_cast<int>(fd));
  return {buffer, used};
}

}  // namespace tailback::engine
