// SPDX-License-Identifier: Apache-2.0
// Blocks once for 50 ms in each call that may wait, each time in a thread named after the call. Prints a line for each: the name, the
// kind as agent/trace/calls.def has it, whether it came back as it should; with the argument "times" also microseconds.
#include <string_view>

#include "tests/torture/programs/blocking/stage.h"

int main(int argc, char** argv) {
  blocking::Stage stage(argc > 1 && std::string_view(argv[1]) == "times");
  blocking::block_on_time(stage);  // first: it decides which signals the threads block
  blocking::block_on_locks(stage);
  blocking::block_on_threads(stage);
  blocking::block_on_descriptors(stage);
  blocking::block_on_connections(stage);
  blocking::block_on_files(stage);
  blocking::block_on_stdio(stage);
  blocking::block_on_processes(stage);
  blocking::block_on_names(stage);
  return stage.good() ? 0 : 1;
}
