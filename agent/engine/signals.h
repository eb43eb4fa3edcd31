// SPDX-License-Identifier: Apache-2.0
// Signals as the program believes them to be. The sampling signal's kernel disposition is always the agent's handler and its
// bit is not blocked in the kernel; what the program sets, blocks and reads back is kept here and answered from here. Every
// handler of the program runs with the sampling signal blocked (hidden on read-back), since the kernel's signal frame alone
// may not fit on a small alternate stack. Functions return 0 or an errno value; none of them sets errno.
//
// A program that blocks this signal and not nearly all means it: it is given back, which is to say that it is blocked for real in
// that thread, whose timer rests until the program unblocks the signal. So it is, and sent again, when one arrives that the
// program believes to block with all others. The kernel then keeps it for sigpending, sigwait, signalfd or the unblocking.
//
// None of this depends on the recording being on: what was taken stays virtual until release_signals().
#pragma once
#include <signal.h>

#include <cstddef>

namespace tailback::engine {

// Takes over the signal; keeps the disposition found as the program's. False when the kernel refuses.
bool install_sample_handler(int (*real_sigaction)(int, const struct sigaction*, struct sigaction*));
bool signals_are_virtual();
// Hands the signal over to the program: its disposition, and its mask in the calling thread.
void release_signals();

// sigaction as the program calls it.
int virtual_sigaction(int signal, const struct sigaction* action, struct sigaction* old);
// sigprocmask and pthread_sigmask.
int virtual_sigmask(int how, const sigset_t* set, sigset_t* old);

// The program believes to block the sampling signal in this thread.
bool sample_signal_blocked();
bool has_sample_signal(const sigset_t* set);

// The set to wait for in sigwait*: in the thread's own storage, without the sampling signal until that is given back. To be asked
// for before each wait; after an interrupted one, waiting_set_grew() says that the signal came into it meanwhile.
const sigset_t* waiting_set(const sigset_t* set);
bool waiting_set_grew();

// A signalfd was made with the sampling signal in its set: it is to be left out until it is given back.
const sigset_t* descriptor_set(const sigset_t* set, sigset_t& copy);
void remember_descriptor(int fd, const sigset_t* set);

// A call that waits with another mask (sigsuspend, ppoll, ...), in which the program unblocks the signal: begin, wait, and wait
// once more when end() says so, because the signal came and was given back instead of ending the wait.
bool begin_wait_with_mask(const sigset_t* mask);  // false: nothing to do, call the real function
bool end_wait_with_mask(bool interrupted);

// The program set up an alternate stack of so many bytes. One too small for the kernel's signal frame and the handler keeps the
// sampling signal off alternate stacks from now on.
void alternate_stack_of(std::size_t bytes);

// Around exec and the making of processes: the next image inherits what the program believes. Also in vfork children.
void signals_before_exec();
void signals_after_failed_exec();
void signals_after_fork();  // in the child
// After the timer of a new thread was armed: the thread that made it had given the signal back.
void signals_in_new_thread(bool given_back);

}  // namespace tailback::engine
