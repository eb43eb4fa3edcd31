// SPDX-License-Identifier: Apache-2.0
// The client library by dlopen: it drags in an HTTP stack that an offline report has no use for.
#include "analyzers/model/symbols/debuginfod.h"

#include <dlfcn.h>
#include <stdlib.h>

namespace tailback::analyzers {
namespace {

struct Client {
  void* (*begin)() = nullptr;
  int (*find_debuginfo)(void*, const unsigned char*, int, char**) = nullptr;
  void (*end)(void*) = nullptr;

  Client() {
    void* library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    begin = reinterpret_cast<decltype(begin)>(dlsym(library, "debuginfod_begin"));
    find_debuginfo = reinterpret_cast<decltype(find_debuginfo)>(dlsym(library, "debuginfod_find_debuginfo"));
    end = reinterpret_cast<decltype(end)>(dlsym(library, "debuginfod_end"));
  }
  bool usable() const { return begin && find_debuginfo && end; }
};

}  // namespace

std::unique_ptr<ElfFile> fetch_debug_file(const std::string& build_id) {
  const char* urls = getenv("DEBUGINFOD_URLS");
  if (!urls || !*urls || build_id.empty()) return nullptr;
  static const Client client;
  if (!client.usable()) return nullptr;
  void* session = client.begin();
  if (!session) return nullptr;
  char* path = nullptr;
  // Length 0: the build id is given as hexadecimal text.
  const int fd = client.find_debuginfo(session, reinterpret_cast<const unsigned char*>(build_id.c_str()), 0, &path);
  client.end(session);
  const std::string name = path ? path : "debuginfod:" + build_id;
  free(path);
  return fd < 0 ? nullptr : ElfFile::from_descriptor(fd, name);
}

}  // namespace tailback::analyzers
