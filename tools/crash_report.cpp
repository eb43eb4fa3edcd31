// SPDX-License-Identifier: Apache-2.0
#include "tools/crash_report.h"

#define BOOST_STACKTRACE_USE_BACKTRACE
#include <signal.h>
#include <unistd.h>

#include <boost/stacktrace.hpp>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sstream>

namespace tailback::tools {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr unsigned kSecondsToPrint = 5;  // naming frames allocates, which may hang in a broken process

void say(const std::string& text) { [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size()); }

void print_own_stack(const char* cause) {
  say(std::string("tailback ") + TAILBACK_VERSION + ": " + cause +
      "; this is a bug in tailback, please report it with these lines:\n");
  std::ostringstream stack;
  stack << boost::stacktrace::stacktrace();
  say(stack.str());
}

void on_signal(int signal) {
  for (const int other : kSignals) ::signal(other, SIG_DFL);
  ::signal(SIGALRM, SIG_DFL);
  ::alarm(kSecondsToPrint);
  print_own_stack(::strsignal(signal));
  ::raise(signal);
}

[[noreturn]] void on_terminate() {
  ::signal(SIGABRT, SIG_DFL);
  print_own_stack("unhandled exception");
  std::abort();
}

}  // namespace

void install_crash_report() {
  static char alternative_stack[256 * 1024];  // a stack overflow leaves no room on the stack itself
  stack_t stack{};
  stack.ss_sp = alternative_stack;
  stack.ss_size = sizeof alternative_stack;
  ::sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK | SA_NODEFER | static_cast<int>(SA_RESETHAND);
  for (const int signal : kSignals) ::sigaction(signal, &action, nullptr);
  std::set_terminate(on_terminate);
}

}  // namespace tailback::tools
