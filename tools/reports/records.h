// SPDX-License-Identifier: Apache-2.0
// The raw records of a dump, one line each: kind field=value ... Any input is printed or refused, never trusted.
#pragma once
#include <cstdio>
#include <string>

namespace tailback::tools {

// Prints the records of the dump at `path`, then a comment line (#) with what could not be read. Throws InputError.
void print_records(const std::string& path, std::FILE* out);

}  // namespace tailback::tools
