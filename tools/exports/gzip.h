// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace tailback::tools {

// The bytes as a gzip file (RFC 1952), without name and time: equal input gives equal output. Throws std::runtime_error.
std::string gzipped(const std::string& bytes);

}  // namespace tailback::tools
