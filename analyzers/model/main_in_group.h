// SPDX-License-Identifier: Apache-2.0
// Whether the main thread does the same work as a group of threads, as in OpenMP, where it is one of the team.
#pragma once
#include "analyzers/model/model.h"

namespace tailback::analyzers {

// It does where most of its own time passes in the function that most of the group's begins with (the body of an OpenMP loop). What both
// merely call, like a hash, tells nothing. That part of its time without spinning, from a half to 1; 0: it does not.
double part_of_main(const Model& model, const ThreadGroup& group);

}  // namespace tailback::analyzers
