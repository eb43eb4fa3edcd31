// SPDX-License-Identifier: Apache-2.0
// One input of the fuzzer: any bytes as a dump, read and analysed in full. Must end in a report or an InputError.
#pragma once
#include <cstdint>
#include <span>

namespace tailback::fuzz {

// False: the bytes were refused as no dump at all.
bool analyze_dump(std::span<const std::uint8_t> bytes);

}  // namespace tailback::fuzz
