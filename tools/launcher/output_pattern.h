// SPDX-License-Identifier: Apache-2.0
// The pattern of a dump's path: %p pid, %e program, %h host, %% a percent sign. Made absolute here, expanded in each recorded
// process, recognised again afterwards. Throws Failure for patterns that cannot work.
#pragma once
#include <string>

namespace tailback::tools {

class OutputPattern {
 public:
  // `given`: as the person wrote it, empty for the default; a folder stands for the default name inside it.
  explicit OutputPattern(const std::string& given);

  const std::string& text() const { return pattern_; }  // absolute, for TAILBACK_OUTPUT
  std::string folder() const;                           // where all dumps lie, expanded
  std::string expanded(const std::string& program, long pid) const;
  bool is_fixed() const;  // the same name for every process
  // Whether a file of that name in folder() may be a dump of this pattern, suffixes .1, .2, ... included.
  bool matches(const std::string& file_name) const;

  void check_folder() const;  // that it is there and can be written to

 private:
  std::string pattern_;
};

}  // namespace tailback::tools
