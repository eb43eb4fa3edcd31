# SPDX-License-Identifier: Apache-2.0
# Symbolisation of a big binary; the binary itself is made at the first full run.
add_executable(bench_symbols ${CMAKE_CURRENT_LIST_DIR}/symbols_bench.cpp)
target_link_libraries(bench_symbols PRIVATE tailback_analyzers)
target_compile_definitions(bench_symbols PRIVATE TAILBACK_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
tailback_sanitize(bench_symbols)
