// SPDX-License-Identifier: Apache-2.0
// What a program that is about to be executed gets of the agent's environment. A loader that cannot take the library says so on
// the program's stderr (32-bit glibc, a path out of reach) or refuses to start (musl, AddressSanitizer's runtime): there our entry of LD_PRELOAD, and only ours, is left out.
// And a child is told that it is one, also where nobody but the user set LD_PRELOAD. Raw system calls and the caller's memory
// only: runs in vfork children and signal handlers.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tailback::engine {

enum class ImageKind { takes_library, refuses_library, unknown };

// Of the file that exec would load, through the interpreters of scripts. `dir` as for openat.
ImageKind image_kind(int dir, const char* path);
ImageKind image_kind_of(int fd);
// The same for a name that is looked up in PATH, as execvp does; `environment`: where PATH is.
ImageKind image_kind_in_path(const char* file, char* const* environment);

class ExecEnvironment {
 public:
  explicit ExecEnvironment(char* const* environment);
  bool has_library() const { return preload_ != nullptr; }  // else the program cleared it: nothing is to be done

  // Decides for an image; bytes of memory that build() needs, 0 when the environment can go as it is.
  std::size_t plan(ImageKind kind, std::uint64_t root_pid);
  char* const* build(void* memory) const;

 private:
  char* const* environment_;
  std::size_t count_ = 0;           // entries before the null
  const char* preload_ = nullptr;   // the LD_PRELOAD entry when it names the library
  bool reachable_ = true;           // by its path, for who executes
  bool has_root_pid_ = false;
  bool drop_library_ = false;
  std::uint64_t add_root_pid_ = 0;  // 0: not added
};

}  // namespace tailback::engine
