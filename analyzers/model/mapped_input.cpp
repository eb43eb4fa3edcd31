// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/mapped_input.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "analyzers/input_error.h"

namespace tailback::analyzers {

namespace {

constexpr const char* kWhatToGive = "give the .tbk file that 'tailback record' wrote, or a profile of another tool";

[[noreturn]] void refuse(const std::string& path, const std::string& cause, const std::string& remedy) {
  throw InputError(path + ": " + cause + "; " + remedy);
}

}  // namespace

MappedInput::MappedInput(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) refuse(path, std::strerror(errno), kWhatToGive);
  struct stat status {};
  const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (regular && status.st_size > 0) {
    size_ = static_cast<std::size_t>(status.st_size);
    void* memory = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory != MAP_FAILED) data_ = static_cast<const std::uint8_t*>(memory);
  }
  const int error = errno;
  close(fd);
  if (!regular) refuse(path, "not a regular file", kWhatToGive);
  if (size_ && !data_) refuse(path, std::string("cannot be mapped: ") + std::strerror(error), "free some memory or address space");
  if (size_) madvise(const_cast<std::uint8_t*>(data_), size_, MADV_SEQUENTIAL);
}

MappedInput::~MappedInput() {
  if (data_) munmap(const_cast<std::uint8_t*>(data_), size_);
}

}  // namespace tailback::analyzers
