// SPDX-License-Identifier: Apache-2.0
// The process and the machine about once a second: memory, CPU, I/O, load, cgroup limits and throttling. Files are opened,
// read and closed each time; what is missing stays 0. Signal-safe.
#pragma once
#include <cstdint>

#include "agent/engine/dump_file.h"

namespace tailback::engine {

struct MachineFacts {
  std::uint64_t cpus_online, cpus_allowed, memory_bytes;
};

MachineFacts read_machine_facts();

class SystemSampler {
 public:
  // Finds the cgroup of the process (version 1 or 2) and, of it and its parents, the ones with the tightest limits.
  void init();
  void sample(DumpFile& dump, std::uint64_t now_ns, std::uint64_t live_threads);
  // By the cgroup's quota so far; and taken by the host, on all CPUs. From any thread; 0 where it is not known.
  std::uint64_t throttled_ns() const;
  std::uint64_t steal_ns() const;

 private:
  void process(DumpFile& dump, std::uint64_t now_ns, std::uint64_t live_threads);
  void machine(DumpFile& dump, std::uint64_t now_ns);
  void cgroup(DumpFile& dump, std::uint64_t now_ns);
  void find_cgroup_v2(const char* mount, std::string_view path);
  void find_cgroup_v1(std::string_view table);

  enum class Version { none, one, two };
  Version version_ = Version::none;
  char cpu_folder_[1024] = {};     // where the tightest CPU limit is
  char memory_folder_[1024] = {};  // likewise for memory
};

}  // namespace tailback::engine
