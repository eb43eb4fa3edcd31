// SPDX-License-Identifier: Apache-2.0
// The one exception of the offline half: input that cannot be analysed at all. what() names the file, the cause and the
// remedy; caught once, in tools/main.cpp. Never thrown for input that is merely damaged: that gives a partial report.
#pragma once
#include <stdexcept>

namespace tailback::analyzers {

class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace tailback::analyzers
