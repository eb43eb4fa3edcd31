// SPDX-License-Identifier: Apache-2.0
// Clocks of the agent. Signal-safe, no system call in the usual case, no hook or libfaketime in between: CLOCK_MONOTONIC is
// read through the vDSO directly (18 to 35 ns), by a raw system call where there is none.
#pragma once
#include <cstdint>

namespace tailback::capture {


// Finds the vDSO's clock. Call once, early; before that every reading is a raw system call.
void init_clock();

// Visits the vDSO's function symbols (absolute address, size, name): they are in no file on disk.
using SymbolVisitor = void (*)(void* context, std::uint64_t address, std::uint64_t size, const char* name);
void for_each_vdso_symbol(SymbolVisitor visit, void* context);

std::uint64_t monotonic_ns();
std::uint64_t monotonic_ns_once();  // by a system call: in a process that has not read the clock yet, that is less than the vDSO's page faults
std::uint64_t realtime_ns();

// CPU time of the calling thread (245 ns), and of another thread of this process (0 when it is gone).
std::uint64_t thread_cpu_ns();
std::uint64_t thread_cpu_ns(int tid);
std::uint64_t process_cpu_ns();

}  // namespace tailback::capture
