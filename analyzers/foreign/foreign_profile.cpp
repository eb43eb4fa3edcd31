// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/foreign_profile.h"

#include <algorithm>

#include "analyzers/foreign/profile_reader.h"
#include "analyzers/input_error.h"
#include "analyzers/model/mapped_input.h"

namespace tailback::analyzers {

namespace {

using namespace foreign;

// The strictest first.
constexpr ProfileReader kReaders[] = {
    {"heaptrack file", is_heaptrack, read_heaptrack},
    {"gperftools profile", is_heap_text, read_heap_text},
    {"jemalloc heap dump", is_jemalloc_heap, read_jemalloc_heap},
    {"pprof profile", is_pprof, read_pprof},
    {"file of folded stacks", is_folded, read_folded},
};

const ProfileReader* reader_of(std::span<const std::uint8_t> image) {
  constexpr std::size_t kHead = 4096;
  char head[kHead];
  InputStream in(image);
  const std::string_view content(head, in.read(head, kHead));
  const auto reader = std::find_if(std::begin(kReaders), std::end(kReaders), [&](const ProfileReader& one) { return one.recognises(content); });
  return reader == std::end(kReaders) ? nullptr : reader;
}

}  // namespace

std::optional<Recording> read_foreign_image(std::span<const std::uint8_t> image, const std::string& name, const ReadOptions& options) {
  const ProfileReader* reader = reader_of(image);
  if (!reader) return std::nullopt;
  if (options.from_ns || options.to_ns || !options.thread.empty())
    throw InputError(name + ": a " + reader->format + " is read as a whole; leave out --from, --to and --thread, or take a dump of 'tailback record'");
  Recording recording;
  recording.path = name;
  recording.file_bytes = image.size();
  InputStream in(image);
  try {
    reader->read(in, recording);
  } catch (const InputError& error) {
    throw InputError(name + ": " + error.what());
  }
  return recording;
}

std::optional<Recording> read_foreign_profile(const std::string& path, const ReadOptions& options) {
  const MappedInput file(path);
  return read_foreign_image(file.bytes(), path, options);
}

}  // namespace tailback::analyzers
