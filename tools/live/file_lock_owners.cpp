// SPDX-License-Identifier: Apache-2.0
#include "tools/live/file_lock_owners.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <set>
#include <sstream>

#include "tools/live/proc_files.h"

namespace tailback::tools {

namespace {

bool waits_for_file_lock(const analyzers::ThreadLook& thread) { return thread.call == "flock" || thread.call == "fcntl" || thread.call == "fcntl_lock"; }

// By the file where it can be reached from here.
bool may_be_of(const FileLockWait& wait, pid_t pid, const std::string& path) {
  struct stat status {};
  return wait.waiter == pid && (::stat(path.c_str(), &status) != 0 || status.st_ino == wait.inode);
}

}  // namespace

// "5: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF"; who waits for it follows: "5: -> FLOCK  ADVISORY  WRITE 1235 fd:00:5678 0 EOF".
std::vector<FileLockWait> file_lock_waits(const std::string& locks) {
  std::vector<FileLockWait> waits;
  std::istringstream in(locks);
  pid_t owner = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string number, kind, strictness, access, file;
    FileLockWait wait;
    words >> number >> kind;
    const bool is_wait = kind == "->";
    if (is_wait) words >> kind;
    if (!(words >> strictness >> access >> wait.waiter >> file)) continue;
    if (!is_wait) {
      owner = wait.waiter;
      continue;
    }
    wait.owner = owner;
    std::istringstream(file.substr(file.rfind(':') + 1)) >> wait.inode;
    waits.push_back(wait);
  }
  return waits;
}

void name_file_lock_owners(analyzers::ProcessLook& look) {
  std::vector<FileLockWait> waits;
  for (analyzers::ThreadLook& thread : look.threads) {
    if (!waits_for_file_lock(thread)) continue;
    if (waits.empty()) waits = file_lock_waits(file_text("/proc/locks"));
    std::set<pid_t> owners;
    for (const FileLockWait& wait : waits)
      if (may_be_of(wait, look.pid, thread.object)) owners.insert(wait.owner);
    if (owners.size() != 1 || *owners.begin() <= 0 || *owners.begin() == look.pid) continue;  // the kernel has -1 for an open file's lock
    thread.object += fmt::format("{}held by process {}", thread.object.empty() ? "" : ", ", *owners.begin());
  }
}

}  // namespace tailback::tools
