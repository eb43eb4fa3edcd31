// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/recording.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "analyzers/input_error.h"
#include "analyzers/model/recording_reader.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kDropBytes = 16 << 20;  // pages read are let go in steps of this size

[[noreturn]] void refuse(const std::string& path, const std::string& cause, const std::string& remedy) {
  throw InputError(path + ": " + cause + "; " + remedy);
}

// A file mapped for reading, whose pages leave memory once read.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) refuse(path, std::strerror(errno), "give the .tbk file that 'tailback record' wrote");
    struct stat status {};
    const bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (regular && status.st_size > 0) {
      size_ = static_cast<std::size_t>(status.st_size);
      void* memory = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (memory != MAP_FAILED) data_ = static_cast<const std::uint8_t*>(memory);
    }
    const int error = errno;
    close(fd);
    if (!regular) refuse(path, "not a regular file", "give the .tbk file that 'tailback record' wrote");
    if (size_ && !data_) refuse(path, std::string("cannot be mapped: ") + std::strerror(error), "free some memory or address space");
    if (size_) madvise(const_cast<std::uint8_t*>(data_), size_, MADV_SEQUENTIAL);
  }
  ~MappedFile() {
    if (data_) munmap(const_cast<std::uint8_t*>(data_), size_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

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
    refuse(name, recording.quality.error, "give a .tbk file that 'tailback record' of this version wrote");
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
  const MappedFile file(path);
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
