// SPDX-License-Identifier: Apache-2.0
// A page of memory that is not there until it is provided: whoever touches it, the kernel included, waits. This makes calls on
// plain files wait for a chosen time, which no file system does. Needs the right to use userfaultfd for the kernel's own faults.
#pragma once
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {

class AbsentPage {
 public:
  static constexpr std::size_t kBytes = 4096;

  static bool possible() {
    const int fault = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC));
    if (fault >= 0) close(fault);
    return fault >= 0;
  }
  AbsentPage() : AbsentPage(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  // Takes the page away from private memory.
  explicit AbsentPage(void* page) : page_(page), fault_(static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC))) {
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    uffdio_register area{.range = range(), .mode = UFFDIO_REGISTER_MODE_MISSING, .ioctls = 0};
    require(fault_ >= 0 && ioctl(fault_, UFFDIO_API, &api) == 0, "userfaultfd");
    require(madvise(page_, kBytes, MADV_DONTNEED) == 0 && ioctl(fault_, UFFDIO_REGISTER, &area) == 0, "UFFDIO_REGISTER");
  }
  ~AbsentPage() { close(fault_); }
  AbsentPage(const AbsentPage&) = delete;
  AbsentPage& operator=(const AbsentPage&) = delete;

  void* address() const { return page_; }
  void provide() const {
    uffdio_zeropage zero{.range = range(), .mode = 0, .zeropage = 0};
    require(ioctl(fault_, UFFDIO_ZEROPAGE, &zero) == 0, "UFFDIO_ZEROPAGE");
  }

 private:
  uffdio_range range() const { return {reinterpret_cast<std::uint64_t>(page_), kBytes}; }

  void* page_;
  int fault_;
};

}  // namespace blocking
