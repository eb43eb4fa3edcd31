// SPDX-License-Identifier: Apache-2.0
// What every subcommand is: a function from its arguments to an exit status. Trouble is thrown as Failure (or InputError of
// the analysis) and caught once, in main.cpp; the message names the thing, the cause and the remedy.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "analyzers/pipeline.h"

namespace tailback::tools {

enum ExitStatus : int {
  kDone = 0,
  kFailed = 1,
  kWrongUsage = 2,
  kFindingsStand = 3,    // --fail-on met
  kNotStarted = 125,     // record: failed before the program began
  kNotExecutable = 126,  // record: the program cannot be executed
  kNotFound = 127,
};

class Failure : public analyzers::InputError {
 public:
  Failure(int status, const std::string& message) : InputError(message), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

using Arguments = std::vector<std::string>;  // without the command's and the subcommand's name

struct Subcommand {
  const char* name;
  const char* alias;  // may be nullptr
  const char* says;
  int (*run)(const Arguments& arguments);
};

int cmd_record(const Arguments& arguments);
int cmd_report(const Arguments& arguments);
int cmd_export(const Arguments& arguments);
int cmd_stacks(const Arguments& arguments);
int cmd_stop(const Arguments& arguments);
int cmd_dump(const Arguments& arguments);
int cmd_doctor(const Arguments& arguments);

}  // namespace tailback::tools
