// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/object_names.h"

#include <fmt/format.h>

namespace tailback::analyzers {

std::string endpoint_name(const EndpointRow& endpoint) {
  return endpoint.name.empty() ? fmt::format("({} without a name)", trace::name_of(endpoint.kind)) : endpoint.name;
}

std::string lock_name(const Model& model, std::uint64_t address, trace::Call kind) {
  const std::string symbol = kind == trace::Call::cond_wait ? "" : model.symbols->data_symbol(address);  // a part of the interpreter's state
  return symbol.empty() ? kind_of_lock(kind) : fmt::format("{} {}", kind_of_lock(kind), symbol);
}

}  // namespace tailback::analyzers
