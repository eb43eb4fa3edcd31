// SPDX-License-Identifier: Apache-2.0
// The records of a dump as plain structs, derived from events.def. Depends on nothing; safe in signal handlers.
// Strings are views: they must outlive the struct (in the agent: static or stack memory; offline: the mapped file).
#pragma once
#include <cstdint>
#include <string_view>

namespace tailback::trace {

using u64 = std::uint64_t;
using i64 = std::int64_t;
using str = std::string_view;

enum class Kind : std::uint32_t {
#define EVENT_BEGIN(name, Type, id, doc) name = id,
#define FIELD(type, name, doc)
#define EVENT_END(name, Type)
#include "agent/trace/events.def"
#undef EVENT_BEGIN
#undef FIELD
#undef EVENT_END
};

#define EVENT_BEGIN(name, Type, id, doc) \
  struct Type {                          \
    static constexpr Kind kKind = Kind::name; \
    static constexpr const char* kName = #name;
#define FIELD(type, name, doc) type name{};
#define EVENT_END(name, Type) };
#include "agent/trace/events.def"
#undef EVENT_BEGIN
#undef FIELD
#undef EVENT_END

// Calls visit(field_name, field) for each field, in the order of the schema. Const and mutable alike.
#define EVENT_BEGIN(name, Type, id, doc)                  \
  template <class Visit>                                  \
  constexpr void for_each_field(Type& event, Visit&& visit) { \
    (void)event, (void)visit;
#define FIELD(type, name, doc) visit(#name, event.name);
#define EVENT_END(name, Type)                                     \
  }                                                               \
  template <class Visit>                                          \
  constexpr void for_each_field(const Type& event, Visit&& visit) { \
    for_each_field(const_cast<Type&>(event), [&](const char* field, const auto& value) { visit(field, value); }); \
  }
#include "agent/trace/events.def"
#undef EVENT_BEGIN
#undef FIELD
#undef EVENT_END

// Calls make(Type{}) for the event type of a kind; false when the kind is unknown (a newer writer).
template <class Make>
constexpr bool with_event_of(Kind kind, Make&& make) {
  switch (kind) {
#define EVENT_BEGIN(name, Type, id, doc) \
  case Kind::name:                       \
    make(Type{});                        \
    return true;
#define FIELD(type, name, doc)
#define EVENT_END(name, Type)
#include "agent/trace/events.def"
#undef EVENT_BEGIN
#undef FIELD
#undef EVENT_END
  }
  return false;
}

}  // namespace tailback::trace
