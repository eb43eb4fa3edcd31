// SPDX-License-Identifier: Apache-2.0
// Calls on descriptors that move bytes or bring them to storage: how long, how much, on what.
#include "preload/call_timer.h"
#include "preload/real.h"

using tailback::preload::DescriptorTimer;
using tailback::trace::Call;

#define DESCRIPTOR_CALL(result_type, name, call, parameters, arguments) \
  TAILBACK_HOOK result_type name parameters {                           \
    const auto real_call = TAILBACK_REAL(name);                         \
    const DescriptorTimer timer(Call::call, fd);                        \
    const result_type result = real_call arguments;                     \
    timer.done(result);                                                 \
    return result;                                                      \
  }
#include "preload/hooks_descriptors.def"
#undef DESCRIPTOR_CALL
