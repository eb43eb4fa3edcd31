// SPDX-License-Identifier: Apache-2.0
// A file of the workload's own that lies on a disk and disappears with the object: in memory, flushing would cost nothing.
#pragma once
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/workloads/measure.h"

namespace workload {

inline bool on_disk(const char* folder) {
  struct statfs system {};
  return folder && statfs(folder, &system) == 0 && system.f_type != TMPFS_MAGIC && system.f_type != RAMFS_MAGIC;
}

class ScratchFile {
 public:
  ScratchFile() : path_(std::string(on_disk(std::getenv("TMPDIR")) ? std::getenv("TMPDIR") : "/var/tmp") + "/workload-XXXXXX") {
    descriptor_ = mkstemp(path_.data());
    require(descriptor_ >= 0, path_.c_str());
  }
  ~ScratchFile() {
    close(descriptor_);
    unlink(path_.c_str());
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }

 private:
  std::string path_;
  int descriptor_ = -1;
};

// Of all that was written, by value and place.
inline std::uint64_t checksum_of_file(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  require(file, path.c_str());
  std::uint64_t sum = 0;
  char block[1 << 16];
  for (std::size_t got = 0; (got = std::fread(block, 1, sizeof block, file)) > 0;)
    for (std::size_t i = 0; i < got; ++i) sum = sum * 31 + static_cast<unsigned char>(block[i]);
  std::fclose(file);
  return sum;
}

}  // namespace workload
