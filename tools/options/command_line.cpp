// SPDX-License-Identifier: Apache-2.0
#include "tools/options/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

namespace tailback::tools {

namespace {

bool takes_value(const CLI::App& app, const std::string& name) {
  const CLI::Option* option = app.get_option_no_throw(name);
  return option && option->get_items_expected_min() > 0;
}

// True when the argument behind this one belongs to it: "--output x", "-o x", "-qo x", but not "--output=x" or "-ox".
bool value_follows(const CLI::App& app, const std::string& argument) {
  if (argument.starts_with("--")) return argument.find('=') == std::string::npos && takes_value(app, argument);
  for (std::size_t i = 1; i < argument.size(); ++i)
    if (takes_value(app, std::string("-") + argument[i])) return i + 1 == argument.size();
  return false;
}

class OwnUsage : public CLI::Formatter {
 public:
  explicit OwnUsage(std::string text) : text_(std::move(text)) { column_width(34); }
  std::string make_usage(const CLI::App* app, std::string) const override {
    return "Usage: tailback " + app->get_name() + " " + text_ + "\n";
  }

 private:
  std::string text_;
};

}  // namespace

void set_usage(CLI::App& app, const std::string& text) { app.formatter(std::make_shared<OwnUsage>(text)); }

std::pair<Arguments, Arguments> split_target_command(const CLI::App& app, const Arguments& arguments) {
  std::size_t at = 0;
  while (at < arguments.size() && arguments[at].size() > 1 && arguments[at][0] == '-' && arguments[at] != "--")
    at += value_follows(app, arguments[at]) ? 2 : 1;
  at = std::min(at, arguments.size());
  const auto begin = arguments.begin();
  const auto middle = begin + static_cast<std::ptrdiff_t>(at);
  const bool dashes = at < arguments.size() && arguments[at] == "--";
  return {Arguments(begin, middle), Arguments(dashes ? middle + 1 : middle, arguments.end())};
}

std::optional<int> parse(CLI::App& app, const Arguments& arguments) {
  try {
    app.parse(Arguments(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return kDone;
  } catch (const CLI::ParseError& error) {
    throw Failure(kWrongUsage, std::string(error.what()) + "; 'tailback " + app.get_name() + " --help' lists the options");
  }
  return std::nullopt;
}

}  // namespace tailback::tools
