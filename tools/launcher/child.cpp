// SPDX-License-Identifier: Apache-2.0
#include "tools/launcher/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>

#include "tools/command.h"

namespace tailback::tools {

namespace {

std::uint64_t now_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t to_ns(const timeval& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(time.tv_usec) * 1000u;
}

std::atomic<pid_t> running_child{0};

// What the kernel sends (a terminal's Ctrl-C, Ctrl-\, hang-up) goes to the whole group: the program has it already.
void pass_on(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const pid_t child = running_child.load(std::memory_order_relaxed);
  if (info->si_code <= 0 && child > 0) ::kill(child, signal);
  errno = error;
}

// While it lives: all signals blocked, and handlers that pass on what may end or steer a program.
class SignalRelay {
 public:
  SignalRelay() {
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, &mask_);
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGWINCH, SIGIO, SIGPWR})
      install(signal);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) install(signal);
    keep_statuses();
  }
  ~SignalRelay() { restore(); }
  SignalRelay(const SignalRelay&) = delete;
  SignalRelay& operator=(const SignalRelay&) = delete;

  // As before construction; in the child before exec, and in the launcher at the end.
  void restore() const {
    for (const auto& [signal, action] : saved_) ::sigaction(signal, &action, nullptr);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  void let_in() { ::sigprocmask(SIG_SETMASK, &mask_, nullptr); }
  void block() {
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
  }

 private:
  void install(int signal) {
    struct sigaction old {
    }, relay{};
    if (::sigaction(signal, nullptr, &old) != 0 || old.sa_handler == SIG_IGN) return;  // nohup and the like stay in force
    relay.sa_sigaction = pass_on;
    relay.sa_flags = SA_SIGINFO | SA_RESTART;
    ::sigfillset(&relay.sa_mask);
    if (::sigaction(signal, &relay, nullptr) == 0) saved_.emplace_back(signal, old);
  }

  // Whoever starts with SIGCHLD ignored, as some supervisors start what they run, is never told how a child ended.
  void keep_statuses() {
    struct sigaction old {
    }, usual{};
    usual.sa_handler = SIG_DFL;
    if (::sigaction(SIGCHLD, nullptr, &old) != 0 || (old.sa_handler != SIG_IGN && !(old.sa_flags & SA_NOCLDWAIT))) return;
    if (::sigaction(SIGCHLD, &usual, nullptr) == 0) saved_.emplace_back(SIGCHLD, old);
  }

  sigset_t mask_{};
  std::vector<std::pair<int, struct sigaction>> saved_;
};

// argv and envp of the child, made before it exists: it shares our memory until it executes, and should change none of it but
// the digits of its own pid.
class ExecImage {
 public:
  explicit ExecImage(const ChildRequest& request) {
    for (char** at = environ; *at; ++at) set(*at);
    for (const auto& [name, value] : request.environment) set(name + '=' + value);
    set(kRootPid + std::string(20, '\0'));
    for (const std::string& argument : request.arguments) arguments_.push_back(const_cast<char*>(argument.c_str()));
    for (std::string& variable : variables_) environment_.push_back(variable.data());
    arguments_.push_back(nullptr);
    environment_.push_back(nullptr);
  }
  void set_root_pid(pid_t pid) {
    std::string& variable = variables_.back();
    std::to_chars(variable.data() + kRootPid.size(), variable.data() + variable.size() - 1, pid);
  }
  char* const* arguments() const { return arguments_.data(); }
  char* const* environment() const { return environment_.data(); }

 private:
  void set(const std::string& variable) {
    const std::string name = variable.substr(0, variable.find('=') + 1);
    std::erase_if(variables_, [&](const std::string& other) { return other.starts_with(name); });
    variables_.push_back(variable);
  }

  inline static const std::string kRootPid = "TAILBACK_ROOT_PID=";
  std::vector<std::string> variables_;
  std::vector<char*> arguments_, environment_;
};

[[noreturn]] void become(const ChildRequest& request, const SignalRelay& relay, ExecImage& image, int error_pipe) {
  const pid_t self = ::getpid();
  image.set_root_pid(self);
  if (request.before_exec) request.before_exec(self);
  relay.restore();
  ::execvpe(request.path.c_str(), image.arguments(), image.environment());
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(error_pipe, &error, sizeof error);
  ::_exit(127);
}

// vfork spares the copy of our page tables. All signals are blocked until the child has put our handlers away.
[[gnu::noinline]] pid_t spawn(const ChildRequest& request, const SignalRelay& relay, ExecImage& image, int error_pipe) {
  const pid_t pid = ::vfork();
  if (pid == 0) become(request, relay, image, error_pipe);
  return pid;
}

// 0 once the exec succeeded (the pipe closes with it), else its errno.
int exec_error_from(int pipe) {
  int error = 0;
  ssize_t got = 0;
  do got = ::read(pipe, &error, sizeof error);
  while (got < 0 && errno == EINTR);
  ::close(pipe);
  return got == static_cast<ssize_t>(sizeof error) ? error : 0;
}

// Tells stops of the child from its end, by SIGCHLD, which is blocked in this process while the child runs.
class StopWatch {
 public:
  StopWatch(pid_t pid, std::vector<ChildStop>& stops) : pid_(pid), stops_(stops) {
    sigset_t child;
    ::sigemptyset(&child);
    ::sigaddset(&child, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &child, &mask_);
    descriptor_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~StopWatch() {
    look();
    if (since_) end_stop(now_ns(CLOCK_MONOTONIC));
    if (descriptor_ >= 0) ::close(descriptor_);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

  int descriptor() const { return descriptor_; }
  void look() {
    signalfd_siginfo told{};
    while (descriptor_ >= 0 && ::read(descriptor_, &told, sizeof told) == static_cast<ssize_t>(sizeof told)) {
    }
    const std::uint64_t now = now_ns(CLOCK_MONOTONIC);
    for (siginfo_t info{}; ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED | WCONTINUED | WNOHANG) == 0 && info.si_pid == pid_; info = {}) {
      if (info.si_code == CLD_CONTINUED) end_stop(now);
      else if (!since_) since_ = now;
    }
  }

 private:
  void end_stop(std::uint64_t now) {
    constexpr std::size_t kMostStops = 1000;
    if (since_ && stops_.size() < kMostStops) stops_.push_back({since_, now});
    since_ = 0;
  }
  pid_t pid_;
  std::vector<ChildStop>& stops_;
  sigset_t mask_{};
  int descriptor_ = -1;
  std::uint64_t since_ = 0;
};

// Until the child has ended; at once where the kernel has no pidfd.
void look_meanwhile(ChildResult& result, const std::function<void(pid_t)>& meanwhile) {
  constexpr std::uint64_t kIntervalMs = 500;
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, result.pid, 0));
  if (process < 0) return;
  StopWatch stops(result.pid, result.stops);
  pollfd events[2] = {{process, POLLIN, 0}, {stops.descriptor(), POLLIN, 0}};
  for (std::uint64_t due = now_ns(CLOCK_MONOTONIC) / 1'000'000 + kIntervalMs;;) {
    const std::uint64_t now = now_ns(CLOCK_MONOTONIC) / 1'000'000;
    const int ready = ::poll(events, 2, !meanwhile ? -1 : now < due ? static_cast<int>(due - now) : 0);
    if (ready < 0 && errno != EINTR) break;
    if (ready > 0 && events[1].revents) stops.look();
    if (ready > 0 && events[0].revents) break;
    if (ready != 0) continue;
    meanwhile(result.pid);
    due = now_ns(CLOCK_MONOTONIC) / 1'000'000 + kIntervalMs;
  }
  ::close(process);
}

void wait_for(ChildResult& result, SignalRelay& relay, const std::function<void(pid_t)>& meanwhile) {
  look_meanwhile(result, meanwhile);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(result.pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  relay.block();  // from here on the pid may be given to another process
  running_child = 0;
  int status = 0;
  rusage usage{};
  while (::wait4(result.pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  result.exited = WIFEXITED(status);
  result.status = result.exited ? WEXITSTATUS(status) : WTERMSIG(status);
  result.user_ns = to_ns(usage.ru_utime);
  result.system_ns = to_ns(usage.ru_stime);
}

}  // namespace

ChildResult run_child(const ChildRequest& request) {
  ChildResult result;
  int error_pipe[2];
  if (::pipe2(error_pipe, O_CLOEXEC) != 0)
    throw Failure(kNotStarted, fmt::format("cannot create a pipe: {}; too many open files (ulimit -n)?", std::strerror(errno)));
  SignalRelay relay;
  result.started_realtime_ns = now_ns(CLOCK_REALTIME);
  const std::uint64_t began = now_ns(CLOCK_MONOTONIC);
  ExecImage image(request);
  result.pid = spawn(request, relay, image, error_pipe[1]);
  const int fork_error = errno;
  ::close(error_pipe[1]);
  if (result.pid < 0) {
    ::close(error_pipe[0]);
    throw Failure(kNotStarted, fmt::format("cannot create a process: {}; is the number of processes limited (ulimit -u)?",
                                           std::strerror(fork_error)));
  }
  running_child = result.pid;
  relay.let_in();
  result.exec_error = exec_error_from(error_pipe[0]);
  wait_for(result, relay, request.meanwhile);
  result.wall_ns = now_ns(CLOCK_MONOTONIC) - began;
  return result;
}

}  // namespace tailback::tools
