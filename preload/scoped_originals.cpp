// SPDX-License-Identifier: Apache-2.0
#include "preload/scoped_originals.h"

#include <dlfcn.h>
#include <link.h>

#include "agent/capture/block_table.h"

namespace tailback::preload {

namespace {

constinit std::atomic<unsigned> unloads_seen{0};
constinit capture::ShardLock keeping;

// A look-up that fails leaves an error for dlerror(), which is no business of the program's.
[[gnu::cold, gnu::noinline]] void* look_up(const char* name, const void* caller) {
  void* function = dlsym(RTLD_NEXT, name);
  if (function) return function;
  dlerror();
  Dl_info info;
  void* scope = dladdr(caller, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : nullptr;
  if (!scope) return nullptr;
  function = dlsym(scope, name);
  dlclose(scope);
  return function;
}

}  // namespace

void forget_scoped_originals() { unloads_seen.fetch_add(1, std::memory_order_acq_rel); }

void* ScopedOriginals::find(const char* name, const void* caller) {
  dl_find_object object;
  if (_dl_find_object(const_cast<void*>(caller), &object) != 0) return look_up(name, caller);
  const void* own = object.dlfo_link_map;
  const unsigned unloads = unloads_seen.load(std::memory_order_acquire);
  for (Entry& entry : entries_) {
    if (entry.object.load(std::memory_order_acquire) != own) continue;
    void* function = entry.function.load(std::memory_order_relaxed);
    const bool valid = entry.unloads.load(std::memory_order_relaxed) == unloads;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (valid && entry.object.load(std::memory_order_relaxed) == own) return function;  // nobody was writing it meanwhile
  }
  void* function = look_up(name, caller);
  if (function) keep(own, function, unloads);
  return function;
}

void ScopedOriginals::keep(const void* object, void* function, unsigned unloads) {
  keeping.lock();
  Entry& entry = entries_[next_.fetch_add(1, std::memory_order_relaxed) % kKept];
  entry.object.store(nullptr, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  entry.function.store(function, std::memory_order_relaxed);
  entry.unloads.store(unloads, std::memory_order_relaxed);
  entry.object.store(object, std::memory_order_release);
  keeping.unlock();
}

}  // namespace tailback::preload
