# SPDX-License-Identifier: Apache-2.0
# What-if on a recording of ten million single calls and wakes: at most 5 s and 1 GiB. The short form, a hundredth of them, runs with the
# tests, without a limit of time.
add_executable(what_if_bench ${CMAKE_CURRENT_LIST_DIR}/what_if_bench.cpp)
target_link_libraries(what_if_bench PRIVATE tailback_analyzers tailback_test_support)
tailback_sanitize(what_if_bench)
add_test(NAME bench.what_if_short COMMAND sh -c "\"$1\" write \"$2\" 100000 && \"$1\" measure \"$2\"; status=$?; rm -f \"$2\"; exit $status" sh
  $<TARGET_FILE:what_if_bench> ${PROJECT_BINARY_DIR}/what_if_short.tbk)
set_tests_properties(bench.what_if_short PROPERTIES TIMEOUT 120)
