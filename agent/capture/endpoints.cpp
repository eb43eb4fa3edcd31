// SPDX-License-Identifier: Apache-2.0
#include "agent/capture/endpoints.h"

#include "agent/capture/pages.h"

namespace tailback::capture {

namespace {

constexpr std::uint32_t kWord = sizeof(std::uint64_t);

std::uint64_t word_at(const char* text) {
  std::uint64_t word;
  __builtin_memcpy(&word, text, kWord);
  return word;
}

// A word at a time: servers open a file by its name for each request.
std::uint32_t hash_of(EndpointKind kind, const char* name, std::uint32_t bytes) {
  std::uint64_t hash = std::uint64_t{bytes} << 8 | static_cast<std::uint64_t>(kind);
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;  // 2^64 over the golden ratio
    hash ^= hash >> 32;
  };
  std::uint32_t at = 0;
  for (; at + kWord <= bytes; at += kWord) mix(word_at(name + at));
  std::uint64_t rest = 0;
  for (; at < bytes; ++at) rest = rest << 8 | static_cast<unsigned char>(name[at]);
  mix(rest);
  return static_cast<std::uint32_t>(hash);
}

bool same_text(const char* one, const char* other, std::uint32_t bytes) {
  std::uint32_t at = 0;
  for (; at + kWord <= bytes; at += kWord)
    if (word_at(one + at) != word_at(other + at)) return false;
  for (; at < bytes; ++at)
    if (one[at] != other[at]) return false;
  return true;
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
  return entry.kind == kind && entry.name_bytes == bytes && same_text(names_ + entry.name_offset, name, bytes);
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
  entry->begin_turn();
  entry->is_stream = is_stream;
  entry->answered = false;
  entry->endpoint.store(endpoint, std::memory_order_release);
}

void Descriptors::forget_range(std::uint32_t first, std::uint32_t last) {
  const std::uint32_t highest = highest_.load(std::memory_order_relaxed);
  for (std::uint32_t fd = first; fd <= last && fd <= highest; ++fd) forget(static_cast<int>(fd));
}

}  // namespace tailback::capture
