# SPDX-License-Identifier: Apache-2.0
# Cost of a walk against other unwinders. Two programs: libunwind replaces libgcc's symbols wherever it is linked.
find_library(TAILBACK_LIBUNWIND unwind REQUIRED)
add_executable(unwind_bench ${CMAKE_CURRENT_LIST_DIR}/unwind_bench.cpp)
target_link_libraries(unwind_bench PRIVATE tailback_agent ${CMAKE_DL_LIBS})
add_executable(unwind_bench_libunwind ${CMAKE_CURRENT_LIST_DIR}/unwind_bench.cpp)
target_compile_definitions(unwind_bench_libunwind PRIVATE TAILBACK_BENCH_LIBUNWIND)
target_link_libraries(unwind_bench_libunwind PRIVATE tailback_agent ${TAILBACK_LIBUNWIND})
foreach(program unwind_bench unwind_bench_libunwind)
  tailback_sanitize(${program})
  add_test(NAME ${program}_runs COMMAND ${program} 1)
  set_tests_properties(${program}_runs PROPERTIES TIMEOUT 60)
endforeach()
