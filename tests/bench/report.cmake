# SPDX-License-Identifier: Apache-2.0
# `report` on a dump of ten million single samples: at most 5 s and 500 MiB (report_cost.py says both). The short form of
# it, a hundredth of the samples within a twentieth of the time, runs with the tests.
add_executable(report_bench ${CMAKE_CURRENT_LIST_DIR}/report_bench.cpp)
target_link_libraries(report_bench PRIVATE tailback_test_support)
tailback_sanitize(report_bench)

if(NOT TAILBACK_SANITIZE)
  add_test(NAME bench.report_short COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/report_cost.py
    --generator $<TARGET_FILE:report_bench> --tailback $<TARGET_FILE:tailback> --samples 300000 --nodes 20000 --repeats 1
    --seconds 5 --mebibytes 300)
  set_tests_properties(bench.report_short PROPERTIES TIMEOUT 120 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()
