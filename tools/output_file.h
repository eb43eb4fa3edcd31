// SPDX-License-Identifier: Apache-2.0
// Where results go: "-" is standard output, anything else a new file. An existing file is never overwritten without force;
// a result that could not be written whole is removed again.
#pragma once
#include <string>
#include <string_view>

namespace tailback::tools {

// Writes `content`; throws Failure naming the file, the cause and the remedy.
void write_result(const std::string& path, std::string_view content, bool force);

}  // namespace tailback::tools
