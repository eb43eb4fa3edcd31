// SPDX-License-Identifier: Apache-2.0
// One input of a fuzzer: any bytes as a dump, or as a profile of another tool, read and analysed in full. Must end in a report or an InputError.
#pragma once
#include <cstdint>
#include <span>

namespace tailback::fuzz {

// False: the bytes were refused as no dump at all.
bool analyze_dump(std::span<const std::uint8_t> bytes);
// The same for any bytes as a profile of another tool. `in_full`: with debug data of the modules named in it and the report, which asks
// the package database; without them it takes a hundredth of the time.
bool analyze_profile(std::span<const std::uint8_t> bytes, bool in_full = true);

}  // namespace tailback::fuzz
