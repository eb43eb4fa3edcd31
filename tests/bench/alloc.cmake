# SPDX-License-Identifier: Apache-2.0
# The allocating program of alloc_cost.py. Never built with sanitizers: they bring an allocator of their own.
find_package(Threads REQUIRED)
add_executable(alloc_bench ${CMAKE_CURRENT_LIST_DIR}/alloc_bench.cpp)
target_link_libraries(alloc_bench PRIVATE Threads::Threads)
