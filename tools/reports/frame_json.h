// SPDX-License-Identifier: Apache-2.0
// Frames and texts as JSON, the same in every document.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "analyzers/finding.h"

namespace tailback::tools {

using Json = nlohmann::ordered_json;

std::string json_text(const std::string& value);  // broken UTF-8 replaced
Json json_texts(const std::vector<std::string>& values);
Json frame_json(const analyzers::Frame& frame);
Json frames_json(const std::vector<analyzers::Frame>& frames);

}  // namespace tailback::tools
