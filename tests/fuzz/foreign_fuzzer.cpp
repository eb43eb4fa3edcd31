// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry (preset "fuzz"): tests/fuzz/fuzz_foreign -max_len=100000 new_corpus tests/analyzers/foreign/profiles
#include "tests/fuzz/analyze_dump.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tailback::fuzz::analyze_profile({data, size});
  return 0;
}
