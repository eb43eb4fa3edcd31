// SPDX-License-Identifier: Apache-2.0
// One function or line dominates CPU time. Blames the program's own function, not the library leaf under it, and says what
// kind of work it is when the libraries used give that away. Work that is simply the program's purpose never exceeds medium.
#include <algorithm>

#include <fmt/format.h>

#include "analyzers/model/gain.h"
#include "analyzers/rules/rules.h"
#include "analyzers/rules/wording.h"

namespace tailback::analyzers {
namespace {

constexpr std::size_t kMostFindings = 5;
constexpr double kWorthSaying = 0.10, kLow = 0.25, kMedium = 0.50;  // of CPU time, for work of any kind
constexpr double kWastefulMedium = 0.10, kWastefulHigh = 0.30;      // for patterns that are seldom needed
constexpr double kOneOfSeveral = 0.05;  // functions that share a pattern are named together from here on
constexpr double kIdle = 0.10;          // of wall time on one CPU: below it CPU time hardly matters
constexpr double kFewestSeconds = 0.2;  // of CPU time at the site

double share_of(const Model& model, std::uint64_t ns) {
  return static_cast<double>(ns) / static_cast<double>(std::max<std::uint64_t>(model.cpu.cpu_ns, 1));
}

Severity lowered(Severity severity) { return severity == Severity::info ? severity : static_cast<Severity>(static_cast<int>(severity) - 1); }

// A linear search that is hot must pass over the same data again and again when the process never held that much.
struct Rescan {
  double times = 0;  // at least this often over all of memory and input; 0 unknown
};

Rescan rescan_of(const Model& model, std::uint64_t ns) {
  constexpr double kSlowestScan = 0.25e9;  // bytes a second: pointer chasing through cold memory passes more
  double resident = 0, input = 0;
  for (const trace::ProcessState& state : model.recording.process) {
    resident = std::max(resident, static_cast<double>(std::max(state.rss_bytes, state.rss_peak_bytes)));
    input = std::max(input, static_cast<double>(state.read_chars));
  }
  return resident > 0 ? Rescan{static_cast<double>(ns) * 1e-9 * kSlowestScan / (resident + input)} : Rescan{};
}

constexpr double kRescanned = 4;
constexpr double kLongSearches = 0.8;  // of the function's time inside the search: few entries, many steps

// A small process loses little by fork: starting others is what it is for, as of a shell.
bool is_large(const Model& model) {
  constexpr std::uint64_t kLarge = 64 << 20;  // bytes resident: from here on copying the page tables takes most of a fork
  return std::any_of(model.recording.process.begin(), model.recording.process.end(), [](const trace::ProcessState& state) { return state.rss_bytes >= kLarge; });
}

Nature nature_of(const Model& model, PatternId id) {
  if (id == PatternId::none) return Nature::usual;
  return id == PatternId::fork && !is_large(model) ? Nature::kernel : pattern(id).nature;
}

Severity severity_of(const Model& model, const CpuSite& site, const Rescan& rescan) {
  const double share = share_of(model, site.pattern_ns), seconds = static_cast<double>(site.pattern_ns) * 1e-9;
  const Nature nature = nature_of(model, site.pattern);
  Severity severity = share >= kMedium ? Severity::medium : share >= kLow ? Severity::low : Severity::info;
  if (nature == Nature::kernel) severity = lowered(severity);
  if (nature == Nature::wasteful) severity = share >= kWastefulHigh ? Severity::high : share >= kWastefulMedium ? Severity::medium : Severity::low;
  // A single pass would be no waste; nor need short searches be, as a compressor makes by the million.
  const bool long_and_often = rescan.times >= kRescanned && static_cast<double>(site.pattern_ns) >= kLongSearches * static_cast<double>(site.ns);
  if (site.pattern == PatternId::linear_search && !long_and_often) severity = std::min(severity, Severity::medium);
  const bool hardly_matters = seconds < kFewestSeconds || seconds < kIdle * model.timeline.wall_seconds;
  return hardly_matters ? std::min(lowered(severity), Severity::low) : severity;
}

std::string title_of(const Model& model, const CpuSite& site) {
  const std::string share = percent(share_of(model, site.pattern_ns));
  if (site.pattern == PatternId::none) return fmt::format("{} takes {} of CPU time", site.culprit.function, share);
  if (site.hosts.size() == 1) return fmt::format("{} spends {} of CPU time {}", site.culprit.function, share, pattern(site.pattern).doing);
  return fmt::format("{} and {} spend {} of CPU time {}", site.culprit.function, plural(site.hosts.size() - 1, "other function"), share, pattern(site.pattern).doing);
}

// The function that calls the culprit most.
std::string caller_of(const Model& model, const CpuSite& site) {
  if (site.stacks.empty()) return {};
  const std::vector<Frame> frames = model.symbols->stack(site.stacks.front().stack);
  const auto culprit = std::find_if(frames.begin(), frames.end(), [&](const Frame& f) { return f.function == site.culprit.function; });
  for (auto frame = culprit; frame != frames.end(); ++frame)
    if (frame->function != site.culprit.function && !is_runtime_code(bare_name(frame->full_name.empty() ? frame->function : frame->full_name), frame->module))
      return frame->function;
  return {};
}

std::vector<Evidence> evidence_of(const Model& model, const CpuSite& site, const Rescan& rescan) {
  std::vector<Evidence> evidence;
  if (site.pattern != PatternId::none) evidence.push_back(text_evidence("pattern", pattern(site.pattern).name));
  evidence.push_back(seconds_evidence(site.pattern == PatternId::none ? "CPU time" : "CPU time of this pattern", static_cast<double>(site.pattern_ns) * 1e-9));
  evidence.push_back(fraction_evidence("share of CPU time", share_of(model, site.pattern_ns)));
  if (site.ns != site.pattern_ns) evidence.push_back(seconds_evidence("all CPU time of the function, with libraries below it", static_cast<double>(site.ns) * 1e-9));
  if (site.entry && site.pattern != PatternId::none) evidence.push_back(text_evidence("library function called", model.symbols->function_name(site.entry)));
  if (const std::string caller = caller_of(model, site); !caller.empty()) evidence.push_back(text_evidence("called from", caller));
  if (site.pattern == PatternId::linear_search && rescan.times >= kRescanned)
    evidence.push_back(count_evidence("passes over all the data it ever held, at least", std::floor(rescan.times), "times"));
  for (std::size_t i = 1; i < site.hosts.size() && i < 4; ++i) evidence.push_back(text_evidence("also in", model.symbols->function_name(site.hosts[i])));
  for (const auto& [also, ns] : site.also)
    if (share_of(model, ns) >= 0.05) evidence.push_back(seconds_evidence(fmt::format("also {}", pattern(also).doing), static_cast<double>(ns) * 1e-9));
  evidence.push_back(count_evidence("samples", static_cast<double>(site.samples), "count"));
  return evidence;
}

Gain gain_of(const Model& model, const CpuSite& site) {
  std::vector<bool> stacks(model.recording.nodes.size());
  for (const StackWeight& weight : site.stacks) stacks[weight.stack] = true;
  if (site.pattern == PatternId::none)
    return gain_of_cpu_time(model, stacks, {0, 0.5, 1, "what making the function twice as fast would save; how much of its work is needless a profile cannot tell"});
  const Pattern& known = pattern(site.pattern);
  Gain gain = gain_of_cpu_time(model, stacks, {known.low, known.expected, known.high, known.why});
  if (known.nature == Nature::kernel || site.ns == site.pattern_ns) return gain;
  // What else the function does may be there for the pattern's sake: copies are also searched, allocated and freed.
  for (const StackId stack : site.all_stacks) stacks[stack] = true;
  gain.high = std::max(gain.high, gain_of_cpu_time(model, stacks, {0, 1, 1, ""}).high);
  return bounded(gain);
}

double confidence_of(const CpuSite& site, const Rescan& rescan, bool by_name) {
  const double sampling = site.samples >= 100 ? 1.0 : 0.7;
  if (site.pattern == PatternId::none) return 0.45 * sampling;  // that it is hot is sure; that it could be less, nobody knows
  if (site.pattern == PatternId::linear_search) return (rescan.times >= kRescanned ? 0.75 : 0.5) * (by_name ? 1.15 : 1) * sampling;
  return (pattern(site.pattern).nature == Nature::wasteful ? 0.9 : 0.7) * sampling;
}

std::vector<std::string> advice_for(const CpuSite& site) {
  if (site.pattern != PatternId::none) return {pattern(site.pattern).advice.begin(), pattern(site.pattern).advice.end()};
  const std::string where = site.culprit.line ? fmt::format("{}:{}", site.culprit.file, site.culprit.line) : site.culprit.function;
  return {fmt::format("look at {} first: call it less often (cache, batch, leave early), or do less per call (better algorithm, contiguous data, vectorisation)", where)};
}

Finding finding_of(const Model& model, const CpuSite& site) {
  const bool by_name = site.entry != 0;
  const Rescan rescan = site.pattern == PatternId::linear_search ? rescan_of(model, site.pattern_ns) : Rescan{};
  Finding finding;
  finding.rule = "cpu-hotspot";
  finding.category = Category::cpu;
  finding.severity = severity_of(model, site, rescan);
  finding.title = title_of(model, site);
  finding.confidence = std::min(confidence_of(site, rescan, by_name), 0.95);
  finding.gain = gain_of(model, site);
  finding.cpu_seconds = static_cast<double>(site.pattern_ns) * 1e-9;
  finding.culprit = site.culprit;
  finding.evidence = evidence_of(model, site, rescan);
  finding.stacks = cpu_stacks(model, site.stacks, 3);
  finding.advice = advice_for(site);
  const double seconds = static_cast<double>(site.pattern_ns) * 1e-9, kept = site.pattern == PatternId::none ? 0.5 : 1 - pattern(site.pattern).expected;
  finding.verify = fmt::format("{}; the CPU time of {} should fall from {} to about {}", record_again(model), site.culprit.function, duration(seconds), duration(seconds * kept));
  return finding;
}

}  // namespace

RuleResult cpu_hotspot(const Model& model) {
  if (const std::string because = too_few_samples(model); !because.empty()) return RuleResult::cannot(because);
  LoopIndex loops(model.recording);
  std::vector<CpuSite> sites = cpu_sites(model.cpu.stacks, *model.symbols, *model.attribution, loops, model.spinning.stacks);
  merge_same_pattern(sites, *model.symbols, static_cast<std::uint64_t>(kOneOfSeveral * static_cast<double>(model.cpu.cpu_ns)));
  RuleResult result;
  for (const CpuSite& site : sites) {
    if (result.findings.size() >= kMostFindings || share_of(model, site.ns) < kWorthSaying) break;
    if (share_of(model, site.pattern_ns) < kWorthSaying) continue;
    result.findings.push_back(finding_of(model, site));
  }
  if (!result.findings.empty() || sites.empty()) return result;
  result.fine = fmt::format("CPU time is spread: the busiest function, {}, takes {}", sites.front().culprit.function, percent(share_of(model, sites.front().ns)));
  return result;
}

}  // namespace tailback::analyzers
