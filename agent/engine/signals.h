// SPDX-License-Identifier: Apache-2.0
// Signals as the program believes them to be. The sampling signal's kernel disposition is always the agent's handler and its
// bit is never blocked in the kernel; what the program sets, blocks and reads back is kept here and answered from here. Every
// handler of the program runs with the sampling signal blocked (hidden on read-back), since the kernel's signal frame alone
// may not fit on a small alternate stack. Functions return 0 or an errno value; none of them sets errno.
#pragma once
#include <signal.h>

namespace tailback::engine {

// Takes over the signal; keeps the disposition found as the program's. False when the kernel refuses.
bool install_sample_handler(int (*real_sigaction)(int, const struct sigaction*, struct sigaction*));

// sigaction as the program calls it.
int virtual_sigaction(int signal, const struct sigaction* action, struct sigaction* old);
// sigprocmask and pthread_sigmask.
int virtual_sigmask(int how, const sigset_t* set, sigset_t* old);
// The program's pending signals: the kernel's, and ours where it waits for the program to unblock it.
int virtual_sigpending(sigset_t* set);
// A set handed to sigwait*, signalfd: `copy`, filled with the set less the sampling signal; a null set stays null.
const sigset_t* without_sample_signal(const sigset_t* set, sigset_t& copy);

}  // namespace tailback::engine
