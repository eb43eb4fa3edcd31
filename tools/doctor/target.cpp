// SPDX-License-Identifier: Apache-2.0
// Whether libtailback.so can be loaded, and what can be seen of a program: will it be preloaded into, will names show.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tools/doctor/check.h"
#include "tools/elf_check/program_check.h"
#include "tools/launcher/library.h"

namespace tailback::tools {

namespace {

// Empty when the library loads; in a child, because it is made never to be unloaded.
std::string load_error(const std::string& path) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "no pipe for the self-test";
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("TAILBACK_ENABLED", "0", 1);
    const char* error = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) ? "" : ::dlerror();
    [[maybe_unused]] const ssize_t written = ::write(ends[1], error, std::strlen(error));
    ::_exit(0);
  }
  ::close(ends[1]);
  char text[1024];
  const ssize_t got = ::read(ends[0], text, sizeof text);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (got > 0) return std::string(text, static_cast<std::size_t>(got));
  return WIFEXITED(status) ? "" : fmt::format("signal {} while loading", WTERMSIG(status));
}

bool is_there(const std::string& path) { return ::access(path.c_str(), R_OK) == 0; }

std::string debug_file_of(const ElfFacts& elf) {
  if (elf.build_id.size() < 4) return "";
  const std::string path = fmt::format("/usr/lib/debug/.build-id/{}/{}.debug", elf.build_id.substr(0, 2), elf.build_id.substr(2));
  return is_there(path) ? path : "";
}

DoctorCheck preloading(const ProgramCheck& program) {
  std::string found = program.image;
  if (!program.scripts.empty()) found += ", which runs the script " + program.scripts.front();
  if (!program.drops_preload)
    return {"preload", Verdict::ok, found + fmt::format(": {} ELF, loaded by {}", program.elf.machine, program.elf.interpreter),
            "", ""};
  const Remark& remark = program.remarks.front();
  return {"preload", Verdict::broken, remark.what, "", remark.remedy};
}

DoctorCheck symbols(const ProgramCheck& program) {
  const ElfFacts& elf = program.elf;
  const std::string debug = debug_file_of(elf);
  if (elf.has_debug_info)
    return {"symbols", Verdict::ok, "debug information in the file: functions, lines, inlined calls", "", ""};
  if (!debug.empty()) return {"symbols", Verdict::ok, "debug information in " + debug, "", ""};
  const std::string remedy =
      "build with -g (it costs no speed), or install the package's -dbgsym, or set DEBUGINFOD_URLS and use 'report --debuginfod'";
  if (elf.has_symtab)
    return {"symbols", Verdict::limited, "a symbol table, no debug information",
            "functions have names, lines and inlined calls are missing", remedy};
  return {"symbols", Verdict::limited, "stripped",
          "functions of the program itself show as module+0x..., exported ones have names", remedy};
}

DoctorCheck build_id(const ProgramCheck& program) {
  if (!program.elf.build_id.empty()) return {"build_id", Verdict::ok, program.elf.build_id, "", ""};
  return {"build_id", Verdict::limited, "none", "separate debug files cannot be matched to the recording",
          "link with -Wl,--build-id"};
}

DoctorCheck unwind_table(const ProgramCheck& program) {
  if (program.elf.has_unwind_table) return {"unwind", Verdict::ok, "unwind tables (.eh_frame)", "", ""};
  return {"unwind", Verdict::limited, "no unwind tables", "stacks through the program may end early",
          "build with -fasynchronous-unwind-tables"};
}

}  // namespace

DoctorChecks check_library() {
  const Library library = find_library();
  if (library.path.empty())
    return {{"library", Verdict::broken, "libtailback.so is not there", "nothing can be recorded",
             "install it, or name it by TAILBACK_LIBRARY=/path/to/libtailback.so"}};
  if (const std::string error = load_error(library.path); !error.empty())
    return {{"library", Verdict::broken, fmt::format("{} does not load: {}", library.path, error), "nothing can be recorded",
             "install the version that belongs to this tailback"}};
  return {{"library", Verdict::ok, library.path + " loads", "", ""}};
}

DoctorChecks check_target(const std::string& program) {
  const ProgramCheck check = check_program(program);
  if (check.found.empty() || check.not_executable)
    return {{"program", Verdict::broken,
             fmt::format("{}: {}", program, check.found.empty() ? "not found" : std::strerror(check.not_executable)), "",
             "check the spelling, or give its path"}};
  DoctorChecks checks = {preloading(check)};
  if (!check.elf.is_elf) return checks;
  for (std::size_t i = check.drops_preload ? 1 : 0; i < check.remarks.size(); ++i)
    checks.push_back({"remark", Verdict::limited, check.remarks[i].what, "", check.remarks[i].remedy});
  for (const DoctorCheck& further : {symbols(check), build_id(check), unwind_table(check)}) checks.push_back(further);
  return checks;
}

}  // namespace tailback::tools
