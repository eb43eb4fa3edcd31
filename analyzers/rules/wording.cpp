// SPDX-License-Identifier: Apache-2.0
// Figures rounded to what they can bear; one form for each kind.
#include "analyzers/rules/wording.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "analyzers/model/thread_load.h"

namespace tailback::analyzers {
namespace {

// An argument as a shell would need it.
std::string shell_word(std::string_view word) {
  static constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

std::string percent(double fraction) {
  const double value = fraction * 100;
  return value < 1 && value > 0 ? fmt::format("{:.1f} %", value) : fmt::format("{:.0f} %", value);
}

std::string duration(double seconds) {
  if (seconds >= 10) return fmt::format("{:.0f} s", seconds);
  if (seconds >= 1) return fmt::format("{:.1f} s", seconds);
  const bool ms = seconds >= 0.9995e-3, us = seconds >= 0.9995e-6 || seconds <= 0;
  const double value = seconds * (ms ? 1e3 : us ? 1e6 : 1e9);
  return fmt::format("{:.{}f} {}", value, value < 9.95 && std::fabs(value - std::round(value)) >= 0.05 ? 1 : 0, ms ? "ms" : us ? "us" : "ns");
}

std::string plural(std::uint64_t count, const std::string& noun) { return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s"); }

std::string bytes_text(double bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{:.0f} bytes", bytes);
  std::size_t unit = 0;
  for (bytes /= 1024; bytes >= 1023.5 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, bytes < 9.95 ? 1 : 0, kUnits[unit]);
}

std::string each_second(double bytes) { return bytes_text(bytes) + "/s"; }

Evidence bytes_evidence(std::string label, double bytes) { return {std::move(label), bytes, "bytes"}; }
Evidence seconds_evidence(std::string label, double seconds) { return {std::move(label), seconds, "seconds"}; }
Evidence fraction_evidence(std::string label, double fraction) { return {std::move(label), fraction, "fraction"}; }
Evidence count_evidence(std::string label, double count, std::string unit) { return {std::move(label), count, std::move(unit)}; }
Evidence text_evidence(std::string label, std::string text) { return {std::move(label), std::move(text), ""}; }

std::vector<StackEvidence> cpu_stacks(const Model& model, std::span<const StackWeight> stacks, std::size_t most) {
  std::vector<StackEvidence> evidence;
  for (const StackWeight& weight : stacks.first(std::min(most, stacks.size())))
    evidence.push_back({"cpu", static_cast<double>(weight.ns) * 1e-9, "seconds", model.symbols->stack(weight.stack)});
  return evidence;
}

std::vector<StackEvidence> creator_stack(const Model& model, StackId stack, double weight, const std::string& unit) {
  if (stack == 0) return {};
  return {{"creator", weight, unit, model.symbols->stack(stack)}};
}

Frame frame_at(const Model& model, std::uint64_t address) {
  Frame frame;
  frame.address = address;
  const auto frames = model.symbols->frames_at(address);
  if (address == 0 || frames.empty()) return frame;
  const SymbolFrame& outer = frames.back();
  frame.function = model.symbols->function_name(outer.function);
  frame.full_name = model.symbols->full_name(outer.function);
  frame.module = model.symbols->module_name(outer.function);
  frame.file = model.symbols->file_name(outer.file);
  frame.line = outer.line;
  return frame;
}

std::string record_again(const Model& model) {
  std::string command = "tailback record --";
  std::string_view rest = model.recording.session.command;
  if (rest.empty()) return command + " PROGRAM";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    command += " " + shell_word(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return command;
}

std::string too_few_samples(const Model& model) {
  if (model.cpu.samples >= kFewestSamples) return {};
  if (model.cpu.samples == 0) return fmt::format("no CPU samples were taken ({} of CPU time)", duration(static_cast<double>(model.cpu.cpu_ns) * 1e-9));
  return fmt::format("only {} were taken; {} are needed (record longer, or with a higher --frequency)",
                     plural(model.cpu.samples, "CPU sample"), kFewestSamples);
}

}  // namespace tailback::analyzers
