// SPDX-License-Identifier: Apache-2.0
// The lock that lets one thread of an interpreter run at a time (CPython's GIL), which is no lock to the C library: threads wait on a
// condition until another gives it up. Found by what is there in stripped binaries too: a condition that threads wait for right below exported
// functions that take the lock, in a function of the same object, and that the same threads signal.
#pragma once
#include "analyzers/model/model.h"

namespace tailback::analyzers {

// Adds it to model.locks, of kind cond_wait; its users are where it is given up.
void add_interpreter_lock(Model& model);

// Whether a wait for a condition from that stack is one for an interpreter's lock.
bool takes_interpreter_lock(const Recording& recording, const Symbols& symbols, StackId stack);

}  // namespace tailback::analyzers
