// SPDX-License-Identifier: Apache-2.0
// What a descriptor of another process stands for: a path, the peer of a socket, what an epoll instance watches.
#pragma once
#include <string>

namespace tailback::tools {

std::string descriptor_object(const std::string& task_folder, int descriptor);  // "/var/log/x", "127.0.0.1:80", "pipe:[123]"
std::string epoll_object(const std::string& task_folder, int descriptor);       // "3 descriptors"

// The socket with that inode as one of the tables of /proc/PID/net says; empty when it is not in it.
std::string internet_socket(const std::string& table, const std::string& inode);
std::string unix_socket(const std::string& table, const std::string& inode);

}  // namespace tailback::tools
