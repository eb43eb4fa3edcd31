// SPDX-License-Identifier: Apache-2.0
// Requests that need one setting: bad opens and reads the settings file for each of them, fixed keeps what it read.
#include <fcntl.h>

#include <cstdlib>
#include <string>

#include "tests/workloads/measure.h"
#include "tests/workloads/scratch_file.h"

namespace {

constexpr std::uint64_t kRequests = 400'000;
constexpr int kSettings = 400;

void write_settings(int file) {
  std::string text = "scale=7\n";
  for (int i = 0; i < kSettings; ++i) text += "setting_" + std::to_string(i) + "=" + std::to_string(i * 31) + "\n";
  workload::require(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write");
}

[[gnu::noinline]] std::string read_settings(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  workload::require(file >= 0, "open");
  std::string text(16 * 1024, '\0');
  const ssize_t got = read(file, text.data(), text.size());
  workload::require(got > 0, "read");
  close(file);
  text.resize(static_cast<std::size_t>(got));
  return text;
}

// The setting wanted stands first: looking for it costs nothing beside reading it.
std::uint64_t scale_in(const std::string& settings) {
  return static_cast<std::uint64_t>(std::atoi(settings.c_str() + settings.find('=') + 1));
}

[[gnu::noinline]] std::uint64_t answer(std::uint64_t request, std::uint64_t scale) {
  for (int i = 0; i < 250; ++i) request = workload::mix(request * scale + static_cast<std::uint64_t>(i));
  return request;
}

template <class Scale>
std::uint64_t serve(Scale scale) {
  std::uint64_t checksum = 0;
  for (std::uint64_t request = 0; request < kRequests; ++request) checksum ^= answer(request, scale());
  return checksum;
}

std::uint64_t serve_rereading() {
  const workload::ScratchFile file;
  write_settings(file.descriptor());
  return serve([&] { return scale_in(read_settings(file.path())); });
}

std::uint64_t serve_remembering() {
  const workload::ScratchFile file;
  write_settings(file.descriptor());
  const std::uint64_t scale = scale_in(read_settings(file.path()));
  return serve([&] { return scale; });
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return serve_rereading(); }, [](double&) { return serve_remembering(); });
}
