// SPDX-License-Identifier: Apache-2.0
// Originals of operators that are not among what the program was started with: each object that calls one has its own, which lies in the
// scope that the object was loaded with (two plugins may each have brought a C++ library). Kept for a few objects, until one is unloaded.
// Any thread; not from signal handlers, as what they stand for.
#pragma once
#include <atomic>

namespace tailback::preload {

class ScopedOriginals {
 public:
  // The definition that the object around `caller` sees; nullptr when it sees none.
  void* find(const char* name, const void* caller);
  // Whether one was found before.
  bool used() const { return next_.load(std::memory_order_relaxed) != 0; }

 private:
  static constexpr int kKept = 4;
  struct Entry {
    std::atomic<const void*> object{nullptr};
    std::atomic<void*> function{nullptr};
    std::atomic<unsigned> unloads{0};
  };
  void keep(const void* object, void* function, unsigned unloads);

  Entry entries_[kKept];
  std::atomic<unsigned> next_{0};
};

// An object may have been unloaded.
void forget_scoped_originals();

}  // namespace tailback::preload
