// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/recording.h"

#include <sys/mman.h>

#include <algorithm>

#include "analyzers/input_error.h"
#include "analyzers/model/mapped_input.h"
#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kDropBytes = 16 << 20;  // pages read are let go in steps of this size

[[noreturn]] void refuse(const std::string& path, const std::string& cause, const std::string& remedy) {
  throw InputError(path + ": " + cause + "; " + remedy);
}

template <class Event>
bool decode_fields(const trace::RawRecord& record, Event& event) {
  trace::FieldReader reader(record.fields);
  trace::for_each_field(event, reader);
  return reader.ok();
}

// Feeds every record to the reader; `passed` hears how far the image has been read.
template <class Passed>
trace::DecodeResult feed(std::span<const std::uint8_t> image, RecordingReader& reader, Passed&& passed) {
  std::uint64_t unknown = 0, damaged = 0;
  trace::Decoder decoder(image);
  trace::DecodeResult result = decoder.for_each_record([&](const trace::RawRecord& record) {
    passed(record.fields.data());
    const bool known = trace::with_event_of(record.kind, [&](auto event) {
      if (decode_fields(record, event)) reader(event);
      else ++damaged;
    });
    if (!known) ++unknown;
  });
  result.unknown_records += unknown;
  result.damaged_records += damaged;
  return result;
}

template <class Passed>
Recording read_image(std::span<const std::uint8_t> image, const std::string& name, const ReadOptions& options, Passed&& passed) {
  Recording recording;
  recording.path = name;
  recording.file_bytes = image.size();
  RecordingReader reader(recording, options);
  recording.quality = feed(image, reader, passed);
  if (!recording.quality.error.empty())
    refuse(name, recording.quality.error, "give a .tbk file that 'tailback record' of this version wrote, or a profile of heaptrack, gperftools, jemalloc, pprof or folded stacks");
  if (!recording.quality.records)
    refuse(name, "holds no readable record", "the recording ended before its first write, or the file is damaged: record again");
  recording.complete = recording.quality.ended && recording.end.has_value();
  reader.finish();
  return recording;
}

}  // namespace

const ThreadTable::Row* ThreadTable::find(ThreadId id) const {
  const auto at = std::lower_bound(rows.begin(), rows.end(), id, [](const Row& row, ThreadId value) { return row.id < value; });
  return at != rows.end() && at->id == id ? &*at : nullptr;
}

Recording read_recording(const std::string& path, const ReadOptions& options) {
  const MappedInput file(path);
  const std::uint8_t* kept = file.bytes().data();
  return read_image(file.bytes(), path, options, [&kept](const std::uint8_t* at) {
    if (static_cast<std::size_t>(at - kept) < 2 * kDropBytes) return;
    madvise(const_cast<std::uint8_t*>(kept), kDropBytes, MADV_DONTNEED);
    kept += kDropBytes;
  });
}

Recording read_recording_image(std::span<const std::uint8_t> image, const std::string& name, const ReadOptions& options) {
  return read_image(image, name, options, [](const std::uint8_t*) {});
}

}  // namespace tailback::analyzers
