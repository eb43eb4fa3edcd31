// SPDX-License-Identifier: Apache-2.0
#include "tests/support/trace_builder.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>

#include "agent/trace/crc32c.h"

namespace tailback::testing {

namespace {

constexpr std::uint64_t kModuleBytes = 16 << 20;
constexpr std::uint64_t kFunctionBytes = 256;
constexpr double kSamplePeriod = 1.0 / 199;

std::uint64_t nanoseconds(double seconds) { return static_cast<std::uint64_t>(std::llround(seconds * 1e9)); }

template <class T>
T& at(std::vector<std::uint8_t>& bytes, std::size_t offset) { return *reinterpret_cast<T*>(bytes.data() + offset); }

// The committed bytes of a block count only once covered; a sealed block carries their checksum.
void seal(std::vector<std::uint8_t>& bytes, std::size_t block) {
  auto& header = at<trace::BlockHeader>(bytes, block);
  header.crc32c = trace::crc32c(bytes.data() + block + sizeof header, header.committed);
  header.sealed = 1;
}

}  // namespace

DumpImage::DumpImage() : bytes_(trace::kHeaderBytes) {
  auto& header = at<trace::FileHeader>(bytes_, 0);
  std::copy_n(trace::kMagic, sizeof header.magic, header.magic);
  header.version = trace::kVersion;
  header.header_bytes = trace::kHeaderBytes;
  header.block_bytes = trace::kBlockBytes;
  header.pid = 4242;
  begin_block();
}

void DumpImage::begin_block() {
  block_ = bytes_.size();
  bytes_.resize(block_ + sizeof(trace::BlockHeader));
  auto& header = at<trace::BlockHeader>(bytes_, block_);
  header.magic = trace::kBlockMagic;
  header.sequence = ++sequence_;
}

void DumpImage::next_block() {
  seal(bytes_, block_);
  bytes_.resize(block_ + trace::kBlockBytes);
  begin_block();
}

void DumpImage::add_raw(const void* data, std::size_t size) {
  if (size > trace::kBlockBytes - sizeof(trace::BlockHeader)) throw std::length_error("record longer than a block");
  if (bytes_.size() - block_ + size > trace::kBlockBytes) next_block();
  const auto* from = static_cast<const std::uint8_t*>(data);
  bytes_.insert(bytes_.end(), from, from + size);
  at<trace::BlockHeader>(bytes_, block_).committed += static_cast<std::uint32_t>(size);
}

std::vector<std::uint8_t> DumpImage::image(bool ended) const {
  std::vector<std::uint8_t> file = bytes_;
  if (ended) seal(file, block_);
  auto& header = at<trace::FileHeader>(file, 0);
  header.state = static_cast<std::uint32_t>(ended ? trace::FileState::ended : trace::FileState::recording);
  header.used_bytes = ended ? file.size() : block_ + trace::kBlockBytes;
  if (!ended) file.resize(header.used_bytes);
  return file;
}

void write_file(const std::string& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

TraceBuilder::TraceBuilder(unsigned cpus, std::string program) : cpus_(cpus) {
  trace::Session session;
  session.pid = 4242;
  session.parent_pid = 4241;
  session.started_mono_ns = 1000 * kSecond;
  session.started_realtime_ns = 1'767'225'600 * kSecond;
  session.hostname = "host";
  session.program = program;
  const std::string command = program + '\0' + "--flag" + '\0';
  session.command = command;
  session.tool_version = "0.1.0";
  add(session);
  trace::Machine machine;
  machine.cpus_online = machine.cpus_allowed = cpus;
  machine.tick_ns = 4 * kMillisecond;
  machine.page_size = 4096;
  machine.memory_bytes = std::uint64_t{8} << 30;
  machine.run_delay_source = 1;
  machine.kernel = "6.1.0";
  machine.clocksource = "tsc";
  add(machine);
  add(trace::Thread{.id = 1, .tid = 4242, .flags = 1});
  const auto slash = program.rfind('/');
  add(trace::ThreadName{.thread = 1, .name = std::string_view(program).substr(slash == std::string::npos ? 0 : slash + 1)});
  threads_[1];
}

TraceBuilder& TraceBuilder::define(const std::string& function, FunctionSpec spec) {
  functions_[function] = std::move(spec);
  return *this;
}

std::uint64_t TraceBuilder::module(const std::string& name) {
  Module& module = modules_[name];
  if (module.id) return module.id;
  module.id = modules_.size();
  module.start = module.id * 0x10000000;
  const std::string build_id = "0123456789" + std::to_string(module.id);
  const std::string path = name.find('/') == std::string::npos ? "/nonexistent/" + name : name;
  add(trace::Module{.id = module.id, .start = module.start, .end = module.start + kModuleBytes, .bias = module.start,
                    .path = path, .build_id = build_id});
  return module.id;
}

void TraceBuilder::describe(std::uint64_t module, std::uint64_t address, std::uint64_t depth, const std::string& function) {
  const FunctionSpec& spec = functions_[function];
  add(trace::FrameInfo{.module = module, .address = address, .depth = depth, .function = function, .file = spec.file,
                       .line = spec.line});
  if (!spec.inlined_into.empty() && depth < 16) describe(module, address, depth + 1, spec.inlined_into);
}

std::uint64_t TraceBuilder::address_of(const std::string& function) {
  if (auto known = addresses_.find(function); known != addresses_.end()) return known->second;
  const FunctionSpec spec = functions_[function];
  const std::uint64_t id = module(spec.module);
  Module& home = modules_[spec.module];
  const std::uint64_t start = home.start + 0x1000 + home.used;
  home.used += kFunctionBytes;
  add(trace::CodeRange{.module = id, .start = start, .size = kFunctionBytes});
  const std::uint64_t address = start + 16;
  addresses_[function] = address;
  if (!spec.known) return address;
  describe(id, address, 0, function);
  if (spec.inlined_into.empty()) add(trace::Symbol{.module = id, .start = start, .size = kFunctionBytes, .name = function});
  return address;
}

std::uint64_t TraceBuilder::node(std::uint64_t parent, std::uint64_t address, std::uint64_t kind) {
  std::uint64_t& id = nodes_[{parent, address, kind}];
  if (id) return id;
  id = nodes_.size();
  add(trace::StackNode{.id = id, .parent = parent, .address = address, .kind = kind});
  return id;
}

std::uint64_t TraceBuilder::stack(const std::vector<std::string>& functions) {
  std::uint64_t at_node = 0;
  for (const auto& function : functions) at_node = node(at_node, address_of(function));
  return at_node;
}

std::uint64_t TraceBuilder::stack_on(std::uint64_t root_kind, std::uint64_t address, const std::vector<std::string>& functions) {
  std::uint64_t at_node = node(0, address, root_kind);
  for (const auto& function : functions) at_node = node(at_node, address_of(function));
  return at_node;
}

std::uint64_t TraceBuilder::thread(const ThreadSpec& spec) {
  const std::uint64_t id = threads_.rbegin()->first + 1;
  const std::uint64_t creation = spec.creation_stack.empty() ? 0 : stack(spec.creation_stack);
  const std::uint64_t routine = spec.start_routine.empty() ? 0 : address_of(spec.start_routine) - 16;
  add(trace::Thread{.id = id, .tid = 4242 + id, .t = nanoseconds(spec.start), .creator = spec.creator,
                    .creation_stack = creation, .start_routine = routine, .start_argument = spec.start_argument,
                    .flags = spec.flags});
  if (!spec.name.empty()) add(trace::ThreadName{.thread = id, .t = nanoseconds(spec.start), .name = spec.name});
  threads_[id].start = spec.start;
  return id;
}

TraceBuilder& TraceBuilder::end_thread(std::uint64_t thread, double at_second) {
  threads_[thread].end = at_second;
  return *this;
}

TraceBuilder::Second& TraceBuilder::second_of(std::uint64_t thread, std::size_t second) {
  auto& seconds = threads_[thread].seconds;
  if (seconds.size() <= second) seconds.resize(second + 1);
  return seconds[second];
}

TraceBuilder& TraceBuilder::run(std::uint64_t thread, double from, double to, std::uint64_t stack, Load load) {
  for (double begin = from; begin < to - 1e-9;) {
    const double second = std::floor(begin + 1e-9);
    const double length = std::min(to, second + 1) - begin;
    Second& entry = second_of(thread, static_cast<std::size_t>(second));
    const double cpu = load.busy * length;
    entry.cpu += cpu;
    entry.system += load.system * cpu;
    entry.waiting += load.waiting * length;
    entry.switches += load.switches_per_second * length;
    entry.faults += load.faults_per_second * length;
    if (load.sampled && cpu > 0) {
      const double samples = std::max(1.0, std::round(cpu / kSamplePeriod));
      entry.samples += samples;
      entry.sampled += cpu;
      add(trace::CpuAggregate{.end_ms = static_cast<std::uint64_t>(second + 1) * 1000, .span_ms = 1000, .thread = thread,
                              .stack = stack, .samples = static_cast<std::uint64_t>(samples), .weight_ns = nanoseconds(cpu), .lock = load.lock});
    }
    begin = second + 1;
  }
  return *this;
}

void TraceBuilder::write_states(std::uint64_t id, const ThreadLife& life, double end) {
  Second sum;
  for (double second = std::floor(life.start); second < end; ++second) {
    if (static_cast<std::size_t>(second) < life.seconds.size()) {
      const Second& now = life.seconds[static_cast<std::size_t>(second)];
      sum.cpu += now.cpu, sum.system += now.system, sum.waiting += now.waiting, sum.switches += now.switches, sum.faults += now.faults;
      sum.samples += now.samples, sum.sampled += now.sampled;
    }
    const bool last = second + 1 >= end;
    trace::ThreadState state;
    state.thread = id;
    state.t = nanoseconds(std::min(second + 1, end));
    state.ended = last && life.end >= 0;
    state.cpu_ns = nanoseconds(sum.cpu);
    state.system_ns = nanoseconds(sum.system);
    state.user_ns = state.cpu_ns - state.system_ns;
    state.run_delay_ns = nanoseconds(sum.waiting);
    state.voluntary_switches = static_cast<std::uint64_t>(sum.switches);
    state.minor_faults = static_cast<std::uint64_t>(sum.faults);
    state.samples = static_cast<std::uint64_t>(sum.samples);
    state.sampled_ns = nanoseconds(sum.sampled);
    add(state);
  }
}

void TraceBuilder::write_process(double end) {
  double cpu = 0;
  std::uint64_t peak = 0;
  for (double second = 0; second <= end; ++second) {
    std::uint64_t alive = 0;
    for (const auto& [id, life] : threads_) {
      alive += life.start <= second && (life.end < 0 || life.end > second);
      const auto before = static_cast<std::size_t>(second);
      if (before > 0 && before - 1 < life.seconds.size()) cpu += life.seconds[before - 1].cpu;
    }
    const std::uint64_t t = nanoseconds(second);
    const auto resident = resident_ ? static_cast<std::uint64_t>(resident_(second)) : std::uint64_t{64} << 20;
    peak = std::max(peak, resident);
    add(trace::ProcessState{.t = t, .rss_bytes = resident, .rss_peak_bytes = peak, .virtual_bytes = 128 << 20,
                            .threads = alive, .user_ns = nanoseconds(cpu)});
    const double busy = std::min(cpu + others_busy_ * cpus_ * second, cpus_ * second);
    add(trace::SystemState{.t = t, .runnable = alive, .busy_ns = nanoseconds(busy),
                           .idle_ns = nanoseconds(cpus_ * second - busy), .memory_available_bytes = std::uint64_t{4} << 30});
  }
}

TraceBuilder& TraceBuilder::finish(double seconds, std::uint64_t reason) {
  for (const auto& [id, life] : threads_) write_states(id, life, life.end < 0 ? seconds : life.end);
  write_process(seconds);
  return add(trace::SessionEnd{.t = nanoseconds(seconds), .reason = reason});
}

}  // namespace tailback::testing
