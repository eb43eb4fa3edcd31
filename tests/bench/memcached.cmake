# SPDX-License-Identifier: Apache-2.0
# The client of servers_under_load.py for memcached.
add_executable(memcached_load ${CMAKE_CURRENT_LIST_DIR}/memcached_load.cpp)
