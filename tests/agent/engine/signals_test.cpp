// SPDX-License-Identifier: Apache-2.0
// What the program sees of signals while the agent owns one of them: exactly what it would see without the agent.
#include "agent/engine/signals.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/capture/sampling.h"
#include "agent/engine/session.h"

namespace tailback::engine {
namespace {

using capture::kSampleSignal;

volatile sig_atomic_t handled = 0;
void count(int) { handled = handled + 1; }

// Each case in a child: dispositions and masks are the process's.
template <class Body>
void in_child(Body body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    session.set_real({&::sigaction, &::pthread_create});
    if (!install_sample_handler(&::sigaction)) _exit(100);
    _exit(body());
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "check number";
}

bool blocked_in_kernel(int signal) {
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  return sigismember(&now, signal) == 1;
}

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

TEST(VirtualSignals, DispositionIsTheProgramsAndTheKernelsStaysOurs) {
  in_child([] {
    struct sigaction action {}, old {};
    if (virtual_sigaction(kSampleSignal, nullptr, &old) != 0 || old.sa_handler != SIG_DFL) return 1;
    action.sa_handler = count;
    action.sa_flags = SA_RESTART;
    if (virtual_sigaction(kSampleSignal, &action, nullptr) != 0) return 2;
    if (virtual_sigaction(kSampleSignal, nullptr, &old) != 0 || old.sa_handler != count || old.sa_flags != SA_RESTART) return 3;
    struct sigaction kernel {};
    ::sigaction(kSampleSignal, nullptr, &kernel);
    if (kernel.sa_sigaction != capture::on_sample_signal) return 4;
    raise(kSampleSignal);  // not from our timer: the program's
    if (handled != 1) return 5;
    action.sa_handler = SIG_IGN;
    virtual_sigaction(kSampleSignal, &action, nullptr);
    raise(kSampleSignal);
    return handled == 1 ? 0 : 6;
  });
}

TEST(VirtualSignals, HandlersRunWithTheSampleSignalBlockedButDoNotKnow) {
  in_child([] {
    struct sigaction action {}, old {};
    static volatile sig_atomic_t blocked = 0;
    action.sa_handler = [](int) { blocked = blocked_in_kernel(kSampleSignal); };
    action.sa_mask = set_of({SIGUSR2});
    if (virtual_sigaction(SIGUSR1, &action, nullptr) != 0) return 1;
    raise(SIGUSR1);
    if (!blocked) return 2;
    virtual_sigaction(SIGUSR1, nullptr, &old);
    if (sigismember(&old.sa_mask, kSampleSignal) || !sigismember(&old.sa_mask, SIGUSR2)) return 3;
    action.sa_mask = set_of({kSampleSignal});
    virtual_sigaction(SIGUSR1, &action, &old);
    if (sigismember(&old.sa_mask, kSampleSignal)) return 4;
    virtual_sigaction(SIGUSR1, nullptr, &old);
    return sigismember(&old.sa_mask, kSampleSignal) ? 0 : 5;
  });
}

TEST(VirtualSignals, TheMaskReadsBackAsSetAndTheKernelDoesNotBlockOurs) {
  in_child([] {
    sigset_t all, old;
    sigfillset(&all);
    if (virtual_sigmask(SIG_SETMASK, &all, &old) != 0 || sigismember(&old, kSampleSignal)) return 1;
    if (blocked_in_kernel(kSampleSignal) || !blocked_in_kernel(SIGTERM)) return 2;
    if (virtual_sigmask(SIG_BLOCK, nullptr, &old) != 0 || !sigismember(&old, kSampleSignal) || !sigismember(&old, SIGTERM)) return 3;
    const sigset_t ours = set_of({kSampleSignal});
    if (virtual_sigmask(SIG_UNBLOCK, &ours, nullptr) != 0) return 4;
    virtual_sigmask(SIG_BLOCK, nullptr, &old);
    if (sigismember(&old, kSampleSignal) || !sigismember(&old, SIGTERM)) return 5;
    virtual_sigmask(SIG_BLOCK, &all, nullptr);
    const sigset_t none = set_of({});
    virtual_sigmask(SIG_SETMASK, &none, &old);
    if (!sigismember(&old, kSampleSignal)) return 6;
    virtual_sigmask(SIG_BLOCK, nullptr, &old);
    if (sigismember(&old, kSampleSignal) || sigismember(&old, SIGTERM)) return 7;
    return virtual_sigmask(42, &none, nullptr) == EINVAL ? 0 : 8;
  });
}

TEST(VirtualSignals, ErrorsAreTheKernels) {
  in_child([] {
    struct sigaction action {};
    action.sa_handler = count;
    if (virtual_sigaction(SIGKILL, &action, nullptr) != EINVAL) return 1;
    if (virtual_sigaction(0, nullptr, nullptr) != EINVAL) return 2;
    return virtual_sigaction(1000, &action, nullptr) == EINVAL ? 0 : 3;
  });
}

TEST(VirtualSignals, SetsToWaitForLoseOnlyOurSignalUntilItIsGivenBack) {
  in_child([] {
    sigset_t all;
    sigfillset(&all);
    virtual_sigmask(SIG_BLOCK, &all, nullptr);
    const sigset_t* given = waiting_set(&all);
    if (sigismember(given, kSampleSignal) || !sigismember(given, SIGUSR1) || waiting_set_grew()) return 1;
    kill(getpid(), kSampleSignal);  // sent although the program blocks it
    if (!waiting_set_grew() || !sigismember(given, kSampleSignal)) return 2;
    if (!blocked_in_kernel(kSampleSignal)) return 3;
    sigset_t pending;
    sigpending(&pending);
    if (!sigismember(&pending, kSampleSignal)) return 4;
    int number = 0;
    if (::sigwait(waiting_set(&all), &number) != 0 || number != kSampleSignal) return 5;
    const sigset_t none = set_of({});
    virtual_sigmask(SIG_SETMASK, &none, nullptr);
    return blocked_in_kernel(kSampleSignal) ? 6 : 0;
  });
}

TEST(VirtualSignals, BlockedByItselfItIsGivenBackAtOnce) {
  in_child([] {
    const sigset_t ours = set_of({kSampleSignal});
    sigset_t old;
    virtual_sigmask(SIG_BLOCK, &ours, nullptr);
    if (!blocked_in_kernel(kSampleSignal)) return 1;
    handled = 0;
    struct sigaction action {};
    action.sa_handler = count;
    virtual_sigaction(kSampleSignal, &action, nullptr);
    raise(kSampleSignal);
    if (handled != 0) return 2;
    virtual_sigmask(SIG_UNBLOCK, &ours, &old);
    usleep(1000);  // ThreadSanitizer holds handlers back until the next call that may sleep
    return handled == 1 && sigismember(&old, kSampleSignal) && !blocked_in_kernel(kSampleSignal) ? 0 : 3;
  });
}

TEST(VirtualSignals, DescriptorsLeaveOurSignalOutOnlyWhereItIsNotMeant) {
  sigset_t copy, all;
  sigfillset(&all);
  const sigset_t few = set_of({kSampleSignal, SIGUSR1});
  EXPECT_EQ(descriptor_set(&few, copy), &few);
  const sigset_t* given = descriptor_set(&all, copy);
  EXPECT_FALSE(sigismember(given, kSampleSignal));
  EXPECT_TRUE(sigismember(given, SIGUSR1));
  EXPECT_EQ(descriptor_set(nullptr, copy), nullptr);
}

}  // namespace
}  // namespace tailback::engine
