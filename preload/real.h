// SPDX-License-Identifier: Apache-2.0
// The originals of the hooked functions: real::pthread_create(...) and so on, typed by their declarations. Each is
// resolved when its hook is called for the first time, to the next definition after this library. A hook does not know how it was
// reached; when it is reached without preloading (patched import slots), the next definition is libc's just the same.
// A function that this libc lacks is nullptr and its hook cannot have been called.
#pragma once
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <cstdint>
#include <type_traits>

#include "preload/symbol_lookup.h"

extern "C" {
// Declared by <signal.h> under other feature macros only.
sighandler_t bsd_signal(int signal, sighandler_t handler);
int execveat(int dir, const char* path, char* const arguments[], char* const environment[], int flags);
// What _FORTIFY_SOURCE makes of others; declared in their own headers only while it is on.
ssize_t __read_chk(int fd, void* buffer, std::size_t size, std::size_t room);
ssize_t __pread_chk(int fd, void* buffer, std::size_t size, off_t at, std::size_t room);
ssize_t __pread64_chk(int fd, void* buffer, std::size_t size, off64_t at, std::size_t room);
ssize_t __recv_chk(int fd, void* buffer, std::size_t size, std::size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void* buffer, std::size_t size, std::size_t room, int flags, sockaddr* from, socklen_t* from_size);
int __poll_chk(pollfd* descriptors, nfds_t count, int timeout, std::size_t room);
ssize_t __getdelim(char** line, std::size_t* size, int end, FILE* stream);
int __isoc99_vfscanf(FILE* stream, const char* format, va_list arguments);
int __isoc99_fscanf(FILE* stream, const char* format, ...);
std::size_t __fread_chk(void* into, std::size_t room, std::size_t size, std::size_t count, FILE* stream);
char* __fgets_chk(char* into, std::size_t room, int size, FILE* stream);
int __fprintf_chk(FILE* stream, int flag, const char* format, ...);
int __printf_chk(int flag, const char* format, ...);
int __vfprintf_chk(FILE* stream, int flag, const char* format, va_list arguments);
int __vprintf_chk(int flag, const char* format, va_list arguments);
int __open_2(const char* path, int flags);
int __open64_2(const char* path, int flags);
int __openat_2(int dir, const char* path, int flags);
int __openat64_2(int dir, const char* path, int flags);
// operator new and delete by their mangled names: the hooks are no C++ operators of this library.
void* _Znwm(std::size_t bytes);
void* _Znam(std::size_t bytes);
void* _ZnwmRKSt9nothrow_t(std::size_t bytes, const void* nothrow);
void* _ZnamRKSt9nothrow_t(std::size_t bytes, const void* nothrow);
void* _ZnwmSt11align_val_t(std::size_t bytes, std::size_t alignment);
void* _ZnamSt11align_val_t(std::size_t bytes, std::size_t alignment);
void* _ZnwmSt11align_val_tRKSt9nothrow_t(std::size_t bytes, std::size_t alignment, const void* nothrow);
void* _ZnamSt11align_val_tRKSt9nothrow_t(std::size_t bytes, std::size_t alignment, const void* nothrow);
void _ZdlPv(void* block);
void _ZdaPv(void* block);
void _ZdlPvm(void* block, std::size_t bytes);
void _ZdaPvm(void* block, std::size_t bytes);
void _ZdlPvRKSt9nothrow_t(void* block, const void* nothrow);
void _ZdaPvRKSt9nothrow_t(void* block, const void* nothrow);
void _ZdlPvSt11align_val_t(void* block, std::size_t alignment);
void _ZdaPvSt11align_val_t(void* block, std::size_t alignment);
void _ZdlPvmSt11align_val_t(void* block, std::size_t bytes, std::size_t alignment);
void _ZdaPvmSt11align_val_t(void* block, std::size_t bytes, std::size_t alignment);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void* block, std::size_t alignment, const void* nothrow);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void* block, std::size_t alignment, const void* nothrow);
}

namespace tailback::real {

#define HOOK(name) extern __attribute__((visibility("hidden"))) decltype(&::name) name##_;  // hidden: reached without a look at a table
#include "preload/hooks.def"
#undef HOOK

// The next definition of a name; asked once for each hook that is called. No lock of the loader's where an object that was there from
// the start has it, which is nearly always.
void* resolve(const char* name, std::uint32_t hash);

template <class Function>
Function original(Function& kept, const char* name, std::uint32_t hash) {
  Function function = __atomic_load_n(&kept, __ATOMIC_RELAXED);
  if (__builtin_expect(function == nullptr, 0)) {
    function = reinterpret_cast<Function>(resolve(name, hash));
    __atomic_store_n(&kept, function, __ATOMIC_RELAXED);
  }
  return function;
}

}  // namespace tailback::real

// The original of a hook.
#define TAILBACK_REAL(name) ::tailback::real::original(::tailback::real::name##_, #name, std::integral_constant<std::uint32_t, ::tailback::real::gnu_hash(#name)>::value)

// The same where it has been asked for before, else nullptr: for hooks whose instructions count. One that may have to ask keeps its arguments
// in a frame of its own meanwhile; this one leaves that to another function.
#define TAILBACK_KNOWN(name) __atomic_load_n(&::tailback::real::name##_, __ATOMIC_RELAXED)

// A function that has no hook, found in the same way and only where it is called: what the library imports by its name, the loader
// looks up in every process that starts.
#define TAILBACK_REAL_OF(name)                                                                                                       \
  ([] {                                                                                                                              \
    static constinit decltype(&::name) kept = nullptr;                                                                               \
    return ::tailback::real::original(kept, #name, std::integral_constant<std::uint32_t, ::tailback::real::gnu_hash(#name)>::value); \
  }())

#define TAILBACK_HOOK extern "C" __attribute__((visibility("default")))
