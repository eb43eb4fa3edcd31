// SPDX-License-Identifier: Apache-2.0
// For bugs in the command itself: on a crash or an unhandled exception its own stack goes to stderr, then it dies of the
// signal as it would have. Only in the tailback process, never in a recorded one.
#pragma once

namespace tailback::tools {

void install_crash_report();

}  // namespace tailback::tools
