// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/look_json.h"

#include "tools/reports/frame_json.h"

namespace tailback::tools {

namespace {

using analyzers::HeldLockLook;
using analyzers::ProcessLook;
using analyzers::ThreadLook;

template <class Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json place_json(const analyzers::Frame& frame) { return frame.function.empty() ? Json(nullptr) : frame_json(frame); }

Json held_json(const HeldLockLook& held) {
  return {{"object", json_text(held.object)}, {"address", held.address}, {"seconds", or_null(held.seconds)}, {"taken", place_json(held.place)}};
}

Json thread_json(const ThreadLook& thread) {
  Json held = Json::array();
  for (const HeldLockLook& lock : thread.held) held.push_back(held_json(lock));
  return {{"tid", thread.tid},
          {"name", json_text(thread.name)},
          {"state", thread.state ? std::string(1, thread.state) : std::string()},
          {"call", thread.call},
          {"object", json_text(thread.object)},
          {"seconds", or_null(thread.seconds)},
          {"owner", or_null(thread.owner)},
          {"owner_took_it", place_json(thread.owner_place)},
          {"holds", std::move(held)},
          {"stack_note", thread.stack_note},
          {"frames", frames_json(thread.frames)}};
}

}  // namespace

std::string look_json(const ProcessLook& look) {
  Json threads = Json::array(), rings = Json::array();
  for (const ThreadLook& thread : look.threads) threads.push_back(thread_json(thread));
  for (const std::vector<std::size_t>& ring : rings_of(look)) {
    Json tids = Json::array();
    for (const std::size_t member : ring) tids.push_back(look.threads[member].tid);
    rings.push_back(std::move(tids));
  }
  const Json json = {{"schema", "tailback.stacks/1"}, {"pid", look.pid}, {"command", json_text(look.command)}, {"through", look.through},
                     {"notes", json_texts(look.notes)}, {"deadlocks", std::move(rings)}, {"threads", std::move(threads)}};
  return json.dump(2) + "\n";
}

}  // namespace tailback::tools
