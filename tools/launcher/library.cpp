// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/library.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace tailback::tools {

namespace {

constexpr const char* kName = "libtailback.so";

std::string own_folder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

// Folders that the loader searches by itself, so that the plain name is enough (and works in a changed root as well).
bool is_system_folder(const std::filesystem::path& folder) {
  std::error_code error;
  for (const char* system : {"/usr/lib/" TAILBACK_TRIPLET, "/lib/" TAILBACK_TRIPLET, "/usr/lib64", "/lib64", "/usr/lib", "/lib"})
    if (std::filesystem::equivalent(folder, system, error)) return true;
  return false;
}

std::vector<std::string> candidates() {
  if (const char* named = std::getenv("TAILBACK_LIBRARY"); named && *named) return {named};
  const std::string here = own_folder();
  return {here + "/../preload/" + kName, here + "/../" TAILBACK_LIBDIR "/" + kName,
          here + "/../lib/" TAILBACK_TRIPLET "/" + kName, here + "/../lib/" + kName, here + "/../lib64/" + kName};
}

}  // namespace

Library find_library() {
  Library library;
  for (const std::string& candidate : candidates()) {
    std::error_code error;
    const std::filesystem::path path = std::filesystem::canonical(candidate, error);
    library.looked_at.push_back(std::filesystem::path(candidate).lexically_normal().string());
    if (error || ::access(path.c_str(), R_OK) != 0) continue;
    library.path = path.string();
    library.preload_name = is_system_folder(path.parent_path()) && path.filename() == kName ? kName : library.path;
    break;
  }
  return library;
}

std::string prepended_preload(const std::string& library, const char* existing) {
  return existing && *existing ? library + ":" + existing : library;
}

}  // namespace tailback::tools
