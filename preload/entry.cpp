// SPDX-License-Identifier: Apache-2.0
// Where the library comes to life and ends: one constructor, one destructor, and the handlers around fork. Nothing else in
// the library runs on its own.
#include "agent/engine/session.h"
#include "preload/real.h"

extern "C" char** environ;
extern "C" int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso);
extern "C" void* __dso_handle;

using tailback::engine::session;

namespace {

__attribute__((constructor)) void start() {
  tailback::real::resolve_all();
  dl_find_object own;
  if (_dl_find_object(reinterpret_cast<void*>(&start), &own) == 0)
    session.unwinder.hide({reinterpret_cast<std::uint64_t>(own.dlfo_map_start), reinterpret_cast<std::uint64_t>(own.dlfo_map_end)});
  session.start(environ, {tailback::real::sigaction_, tailback::real::pthread_create_});
  if (!tailback::capture::recording()) return;
  __register_atfork([] { session.before_fork(); }, [] { session.after_fork_in_parent(); }, [] { session.after_fork_in_child(); },
                    __dso_handle);
}

__attribute__((destructor)) void end() { session.end(tailback::engine::EndReason::exit, 0); }

}  // namespace
