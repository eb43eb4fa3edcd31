// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry (preset "fuzz"): tests/fuzz/fuzz_dump -max_len=200000 new_corpus tests/fuzz/corpus
#include "tests/fuzz/analyze_dump.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tailback::fuzz::analyze_dump({data, size});
  return 0;
}
