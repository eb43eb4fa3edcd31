// SPDX-License-Identifier: Apache-2.0
// Which tier keeps an event besides the aggregates: tier 2, windows chosen at random (200 ms in every 5 s, more often in the first 5 s, so
// that programs that end soon have some), and tier 3, the last samples before an anomaly, kept in memory until something calls for them.
// Under the drain lock; signal-safe.
#pragma once
#include <cstdint>

#include "agent/capture/ring.h"
#include "agent/engine/dump_file.h"

namespace tailback::engine {

inline constexpr std::uint64_t kWindowNs = 200'000'000;
inline constexpr std::uint64_t kWindowCycleNs = 5'000'000'000;
inline constexpr std::uint64_t kWindowDrainNs = 5'000'000;  // while one is open: a thread has room for 512 events
inline constexpr std::uint64_t kWindowDrainIdleNs = 50'000'000;  // likewise, of a program that uses little of a CPU

class Detail {
 public:
  bool init();
  // A sample that went into the aggregate: kept singly when it lies in a window, and remembered for tier 3.
  void keep(DumpFile& dump, std::uint64_t thread, const capture::Sample& sample);
  // Writes the records of windows that are over and whose events are in the dump; `all`: nothing comes any more.
  void close_windows(DumpFile& dump, std::uint64_t now_ns, bool all = false);
  // An event behind this moment was lost: the window around it ends here.
  void cut(std::uint64_t at_ns);
  // Something out of the ordinary happened in [begin, end]: what is remembered from then goes to the dump, at most once in
  // ten seconds.
  void anomaly(DumpFile& dump, std::uint64_t begin_ns, std::uint64_t end_ns, const char* cause);
  // The thread did something out of the ordinary in [begin, end], and nobody else: what is remembered of it goes to the dump.
  void keep_thread(DumpFile& dump, std::uint64_t thread, std::uint64_t begin_ns, std::uint64_t end_ns);
  // The window that is open or comes next, nanoseconds since the start; false: none are kept.
  bool next_window(std::uint64_t now_ns, std::uint64_t& begin, std::uint64_t& end) const;
  // Whether single events of that moment are kept.
  bool in_window(std::uint64_t t) const;
  void set_windows(bool on) { windows_on_ = on; }  // off when the dump nears its limit
  void reset();

 private:
  struct Kept {
    std::uint64_t thread;
    capture::Sample sample;
    bool written;  // singly
  };
  static constexpr std::uint32_t kKept = 2048;
  static constexpr std::uint32_t kOpen = 4;  // windows that may be open or not yet closed at a time

  std::uint64_t window_begin(std::uint64_t number) const;
  std::uint64_t window_end(std::uint64_t number) const;
  static void write(DumpFile& dump, Kept& kept);

  Kept* kept_ = nullptr;
  std::uint64_t next_ = 0;
  std::uint64_t closed_ = 0;                // windows
  std::uint64_t cuts_[kOpen] = {};          // by number; 0: not cut
  std::uint64_t last_anomaly_ns_ = 0;
  bool windows_on_ = true;
};

}  // namespace tailback::engine
