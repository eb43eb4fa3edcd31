// SPDX-License-Identifier: Apache-2.0
#include "analyzers/foreign/input_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

namespace tailback::analyzers::foreign {

struct InputStream::Gzip {
  z_stream stream{};
  bool between_members = false;  // files may be concatenated
  Gzip() {
    constexpr int kZlibOrGzip = 15 + 32;
    if (::inflateInit2(&stream, kZlibOrGzip) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() { ::inflateEnd(&stream); }
};

struct InputStream::Zstd {
  ZSTD_DStream* stream = ::ZSTD_createDStream();
  bool between_frames = false;
  Zstd() {
    if (!stream) throw std::bad_alloc();
  }
  ~Zstd() { ::ZSTD_freeDStream(stream); }
};

Compression compression_of(std::span<const std::uint8_t> file) {
  constexpr std::uint8_t kZstd[] = {0x28, 0xb5, 0x2f, 0xfd}, kGzip[] = {0x1f, 0x8b};
  if (file.size() >= sizeof kZstd && std::equal(std::begin(kZstd), std::end(kZstd), file.begin())) return Compression::zstd;
  if (file.size() >= sizeof kGzip && std::equal(std::begin(kGzip), std::end(kGzip), file.begin())) return Compression::gzip;
  return Compression::none;
}

InputStream::InputStream(std::span<const std::uint8_t> file) : rest_(file) {
  const Compression compression = compression_of(file);
  if (compression == Compression::gzip) gzip_ = std::make_unique<Gzip>();
  if (compression == Compression::zstd) zstd_ = std::make_unique<Zstd>();
}

InputStream::~InputStream() = default;

std::size_t InputStream::read(char* to, std::size_t room) {
  if (!problem_.empty()) return 0;
  if (gzip_) return read_gzip(to, room);
  if (zstd_) return read_zstd(to, room);
  const std::size_t part = std::min(room, rest_.size());
  if (part) std::memcpy(to, rest_.data(), part);
  rest_ = rest_.subspan(part);
  return part;
}

std::size_t InputStream::read_gzip(char* to, std::size_t room) {
  constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
  z_stream& stream = gzip_->stream;
  std::size_t done = 0;
  while (done < room) {
    if (rest_.empty() && gzip_->between_members) break;
    if (gzip_->between_members && ::inflateReset(&stream) != Z_OK) break;
    gzip_->between_members = false;
    stream.next_in = const_cast<Bytef*>(rest_.data());
    stream.avail_in = static_cast<uInt>(std::min(rest_.size(), kMost));
    stream.next_out = reinterpret_cast<Bytef*>(to + done);
    stream.avail_out = static_cast<uInt>(std::min(room - done, kMost));
    const uInt in = stream.avail_in, out = stream.avail_out;
    const int state = ::inflate(&stream, Z_NO_FLUSH);
    rest_ = rest_.subspan(in - stream.avail_in);
    done += out - stream.avail_out;
    gzip_->between_members = state == Z_STREAM_END;
    if (state != Z_OK && state != Z_STREAM_END) {
      problem_ = rest_.empty() ? "its compressed data breaks off" : "its compressed data (gzip) is damaged";
      break;
    }
  }
  return done;
}

std::size_t InputStream::read_zstd(char* to, std::size_t room) {
  ZSTD_outBuffer out{to, room, 0};
  while (out.pos < room) {
    if (rest_.empty() && zstd_->between_frames) break;
    ZSTD_inBuffer in{rest_.data(), rest_.size(), 0};
    const std::size_t before = out.pos, left = ::ZSTD_decompressStream(zstd_->stream, &out, &in);
    rest_ = rest_.subspan(in.pos);
    if (::ZSTD_isError(left)) {
      problem_ = std::string("its compressed data (zstd) is damaged: ") + ::ZSTD_getErrorName(left);
      break;
    }
    zstd_->between_frames = left == 0;
    if (left && in.pos == 0 && out.pos == before) {  // wants more than there is
      problem_ = "its compressed data breaks off";
      break;
    }
  }
  return out.pos;
}

}  // namespace tailback::analyzers::foreign
