// SPDX-License-Identifier: Apache-2.0
// The machine code of recorded programs, read from their files when these are still the recorded ones (same build id).
// Never guesses: a missing or different file gives nothing. Lazy; one object serves one recording and one thread.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "analyzers/model/recording.h"

namespace tailback::analyzers {

class ElfFile;

class ProgramCode {
 public:
  explicit ProgramCode(const Recording& recording);
  ~ProgramCode();
  ProgramCode(const ProgramCode&) = delete;
  ProgramCode& operator=(const ProgramCode&) = delete;

  struct Function {
    std::uint64_t start = 0;              // absolute, as in the recording
    std::span<const std::uint8_t> bytes;  // of the mapped file, valid as long as this object
  };
  // The unwind range around the address of a stack node; nullptr when it or its code is not known.
  const Function* function_at(StackId node);

 private:
  const ElfFile* file_of(const ModuleRow& module);

  const Recording& recording_;
  std::map<ModuleId, std::unique_ptr<ElfFile>> files_;
  std::map<std::pair<ModuleId, std::uint64_t>, Function> functions_;
};

}  // namespace tailback::analyzers
