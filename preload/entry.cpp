// SPDX-License-Identifier: Apache-2.0
// Where the library comes to life and ends: one constructor, one destructor, and the handlers around fork. Nothing else in
// the library runs on its own.
#include "agent/capture/dormant.h"
#include "agent/capture/pages.h"
#include "agent/engine/exec_image.h"
#include "agent/engine/session.h"
#include "preload/allocator_lookup.h"
#include "preload/operator_scope.h"
#include "preload/real.h"

extern "C" char** environ;
extern "C" int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso);

using tailback::engine::session;

namespace {

// Children that libc starts by itself (system, popen) get the environment as it is: it is to say whose children they are.
void name_root() {
  tailback::engine::ExecEnvironment children(environ);
  if (const std::size_t bytes = children.plan(tailback::engine::ImageKind::takes_library, session.root_pid()))
    if (void* memory = tailback::capture::map_pages(tailback::capture::round_to_pages(bytes))) environ = const_cast<char**>(children.build(memory));
}

// What forked children call as a rule, most of them once: looked up in the parent they all find it, instead of each looking it up in
// pages that it has to have mapped for that.
void look_up_for_children() {
  TAILBACK_DORMANT_DATA static constinit bool done = false;
  if (done) return;
  done = true;
  TAILBACK_REAL(_exit);
  TAILBACK_REAL(execve);
  TAILBACK_REAL(dup2);
  TAILBACK_REAL(close);
  TAILBACK_REAL(read);
  TAILBACK_REAL(write);
}

void before_fork() {
  look_up_for_children();
  session.before_fork();
}

__attribute__((constructor)) void start() {
  tailback::real::find_objects();
  tailback::preload::withdraw_operators();
  dl_find_object own;
  if (_dl_find_object(reinterpret_cast<void*>(&start), &own) == 0)
    session.unwinder.hide({reinterpret_cast<std::uint64_t>(own.dlfo_map_start), reinterpret_cast<std::uint64_t>(own.dlfo_map_end)});
  constexpr std::uint32_t kMalloc = tailback::real::gnu_hash("malloc");
  session.start(environ, {TAILBACK_REAL(sigaction), TAILBACK_REAL(pthread_create), tailback::real::allocator_calls(),
                          tailback::real::defined_before("malloc", kMalloc)});
  if (!session.followed()) return;
  if (!session.is_child()) name_root();
  __register_atfork(before_fork, [] { session.after_fork_in_parent(); }, [] { session.after_fork_in_child(); }, &session);
}

__attribute__((destructor)) void end() { session.end_at_exit(); }

}  // namespace
