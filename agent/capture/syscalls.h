// SPDX-License-Identifier: Apache-2.0
// Raw system calls for the safe zone: they leave errno alone, are no cancellation points and cross no hook.
// Every function returns the kernel's value: a result, or a negative errno. Signal-safe.
#pragma once
#include <asm/unistd.h>

#include <cstddef>
#include <cstdint>

namespace tailback::capture::sys {

inline bool failed(long result) { return static_cast<unsigned long>(result) > -4096UL; }

#if defined(__x86_64__)
inline long call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
#else
#error "only x86-64 so far"
#endif

template <class T>
long arg(T* pointer) {
  return reinterpret_cast<long>(pointer);
}

inline long getpid() { return call(__NR_getpid); }
inline long gettid() { return call(__NR_gettid); }
inline long close(int fd) { return call(__NR_close, fd); }
inline long read(int fd, void* buffer, std::size_t size) { return call(__NR_read, fd, arg(buffer), static_cast<long>(size)); }
inline long openat(int dir, const char* path, int flags, int mode = 0) { return call(__NR_openat, dir, arg(path), flags, mode); }
inline long mmap(void* at, std::size_t size, int protection, int flags, int fd, long offset) {
  return call(__NR_mmap, arg(at), static_cast<long>(size), protection, flags, fd, offset);
}
inline long munmap(void* at, std::size_t size) { return call(__NR_munmap, arg(at), static_cast<long>(size)); }
inline long madvise(void* at, std::size_t size, int advice) { return call(__NR_madvise, arg(at), static_cast<long>(size), advice); }
// `local`, `remote`: struct iovec arrays.
inline long process_vm_readv(long pid, const void* local, long local_count, const void* remote, long remote_count) {
  return call(__NR_process_vm_readv, pid, arg(local), local_count, arg(remote), remote_count, 0);
}

}  // namespace tailback::capture::sys
