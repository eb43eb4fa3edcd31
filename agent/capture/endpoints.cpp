// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/endpoints.h"

#include "agent/capture/pages.h"

namespace tailback::capture {

namespace {

std::uint32_t hash_of(EndpointKind kind, const char* name, std::uint32_t bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u ^ static_cast<std::uint64_t>(kind);  // FNV-1a
  for (std::uint32_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<unsigned char>(name[i])) * 0x100000001b3u;
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

}  // namespace

bool Endpoints::init() {
  entries_ = static_cast<Endpoint*>(map_own_pages((kMost + 1) * sizeof(Endpoint)));
  slots_ = static_cast<std::atomic<std::uint32_t>*>(map_own_pages(kSlots * sizeof *slots_));
  names_ = static_cast<char*>(map_own_pages(kNameBytes));
  return entries_ && slots_ && names_;
}

void Endpoints::after_fork() {
  claimed_.store(0);
  names_used_.store(0);
}

bool Endpoints::same(EndpointId id, EndpointKind kind, const char* name, std::uint32_t bytes) const {
  const Endpoint& entry = entries_[id];
  if (entry.kind != kind || entry.name_bytes != bytes) return false;
  const char* own = names_ + entry.name_offset;
  for (std::uint32_t i = 0; i < bytes; ++i)
    if (own[i] != name[i]) return false;
  return true;
}

EndpointId Endpoints::claim(EndpointKind kind, const char* name, std::uint32_t bytes, std::uint32_t flags) {
  std::uint32_t used = names_used_.load(std::memory_order_relaxed);
  do {
    if (bytes > kNameBytes - used) return 0;
  } while (!names_used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  std::uint32_t id = claimed_.load(std::memory_order_relaxed);
  do {
    if (id >= kMost) return 0;
  } while (!claimed_.compare_exchange_weak(id, id + 1, std::memory_order_acq_rel));
  Endpoint& entry = entries_[++id];
  for (std::uint32_t i = 0; i < bytes; ++i) names_[used + i] = name[i];
  entry.name_offset = used;
  entry.name_bytes = bytes;
  entry.kind = kind;
  entry.flags.store(flags, std::memory_order_relaxed);
  entry.ready.store(1, std::memory_order_release);
  return id;
}

EndpointId Endpoints::intern(EndpointKind kind, const char* name, std::uint32_t bytes, std::uint32_t flags) {
  EndpointId own = 0;
  std::uint32_t slot = hash_of(kind, name, bytes) % kSlots;
  for (std::uint32_t tries = 0; tries < kSlots; ++tries, slot = (slot + 1) % kSlots) {
    std::uint32_t id = slots_[slot].load(std::memory_order_acquire);
    if (id == 0) {
      if (!own && !(own = claim(kind, name, bytes, flags))) return 0;
      if (slots_[slot].compare_exchange_strong(id, own, std::memory_order_acq_rel)) return own;
    }
    if (!same(id, kind, name, bytes)) continue;
    if (flags & ~entries_[id].flags.load(std::memory_order_relaxed)) entries_[id].flags.fetch_or(flags, std::memory_order_relaxed);
    return id;
  }
  return 0;
}

EndpointId Endpoints::find(EndpointKind kind, const char* name, std::uint32_t bytes) const {
  std::uint32_t slot = hash_of(kind, name, bytes) % kSlots;
  for (std::uint32_t tries = 0; tries < kSlots; ++tries, slot = (slot + 1) % kSlots) {
    const std::uint32_t id = slots_[slot].load(std::memory_order_acquire);
    if (id == 0 || same(id, kind, name, bytes)) return id;
  }
  return 0;
}

bool Descriptors::init() {
  entries_ = static_cast<Descriptor*>(map_own_pages(kMost * sizeof(Descriptor)));
  return entries_ != nullptr;
}

void Descriptors::set(int fd, EndpointId endpoint, bool is_stream) {
  Descriptor* entry = at(fd);
  if (!entry) return;
  // Cleared without being touched first: a program that closes all numbers it could have must not make a table of them resident.
  if (endpoint == 0 && static_cast<std::uint32_t>(fd) > highest_.load(std::memory_order_relaxed)) return;
  std::uint32_t highest = highest_.load(std::memory_order_relaxed);
  while (static_cast<std::uint32_t>(fd) > highest && !highest_.compare_exchange_weak(highest, static_cast<std::uint32_t>(fd), std::memory_order_relaxed)) {
  }
  entry->writes = entry->small_writes = 0;
  entry->is_stream = is_stream;
  entry->endpoint.store(endpoint, std::memory_order_release);
}

void Descriptors::forget_range(std::uint32_t first, std::uint32_t last) {
  const std::uint32_t highest = highest_.load(std::memory_order_relaxed);
  for (std::uint32_t fd = first; fd <= last && fd <= highest; ++fd) forget(static_cast<int>(fd));
}

}  // namespace tailback::capture
