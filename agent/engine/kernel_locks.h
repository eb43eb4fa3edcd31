// SPDX-License-Identifier: Apache-2.0
// What the kernel says of locks of whole files (flock): who has one, and who waits for it. Files of /proc alone; on the helper thread.
#pragma once
#include <cstdint>

namespace tailback::engine {

// Whether the open file behind a descriptor of this process has one.
bool has_file_lock(int fd);

// A process with a single thread of its own that has a lock which this process waits for, and waits itself for the one behind `fd`; 0: none.
std::uint32_t process_waiting_in_turn(int fd);

}  // namespace tailback::engine
