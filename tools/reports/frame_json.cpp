// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/frame_json.h"

#include "tools/reports/format.h"

namespace tailback::tools {

std::string json_text(const std::string& value) { return valid_utf8(value); }

Json json_texts(const std::vector<std::string>& values) {
  Json array = Json::array();
  for (const std::string& value : values) array.push_back(json_text(value));
  return array;
}

Json frame_json(const analyzers::Frame& frame) {
  Json json = {{"function", json_text(frame.function)}, {"file", json_text(frame.file)}, {"line", frame.line},
               {"module", json_text(frame.module)},     {"address", frame.address},      {"inlined", frame.inlined}};
  if (!frame.full_name.empty() && frame.full_name != frame.function) json["full_name"] = json_text(frame.full_name);
  return json;
}

Json frames_json(const std::vector<analyzers::Frame>& frames) {
  Json array = Json::array();
  for (const analyzers::Frame& frame : frames) array.push_back(frame_json(frame));
  return array;
}

}  // namespace tailback::tools
