// SPDX-License-Identifier: Apache-2.0
// What people call the things that threads wait for.
#pragma once
#include <string>

#include "analyzers/model/model.h"

namespace tailback::analyzers {

std::string endpoint_name(const EndpointRow& endpoint);  // path or peer; never empty
// "mutex Registry::lock_" where it has a symbol, else "mutex".
std::string lock_name(const Model& model, std::uint64_t address, trace::Call kind);

}  // namespace tailback::analyzers
