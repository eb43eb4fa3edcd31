// SPDX-License-Identifier: Apache-2.0
#include "tools/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "analyzers/pipeline.h"

namespace tailback::tools {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& cause, const char* remedy) {
  throw analyzers::InputError("cannot read " + path + ": " + cause + "; " + remedy);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) refuse(path, std::strerror(errno), "check the path and its mode");
  struct stat status {};
  const bool known = ::fstat(file, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(file);
    refuse(path, "it is not a regular file", "give the path of a dump (*.tbk)");
  }
  void* mapping =
      status.st_size ? ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
  const int error = errno;
  ::close(file);
  if (mapping == MAP_FAILED) refuse(path, std::strerror(error), "is enough address space allowed (ulimit -v)?");
  bytes_ = {static_cast<const std::uint8_t*>(mapping), static_cast<std::size_t>(status.st_size)};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace tailback::tools
