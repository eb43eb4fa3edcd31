// SPDX-License-Identifier: Apache-2.0
// The content of a file as a stream of bytes, decompressed when it is gzip (RFC 1952, RFC 1950) or Zstandard (RFC 8878). Holds a
// bounded window only, however large the content. Damaged or cut compressed data ends the stream; problem() says so.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace tailback::analyzers::foreign {

enum class Compression { none, gzip, zstd };

Compression compression_of(std::span<const std::uint8_t> file);

class InputStream {
 public:
  explicit InputStream(std::span<const std::uint8_t> file);
  ~InputStream();
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;

  // Fills `to` up to `room` bytes; less only at the end of the content.
  std::size_t read(char* to, std::size_t room);
  const std::string& problem() const { return problem_; }  // empty: the content is whole

 private:
  struct Gzip;
  struct Zstd;
  std::size_t read_gzip(char* to, std::size_t room);
  std::size_t read_zstd(char* to, std::size_t room);

  std::span<const std::uint8_t> rest_;  // not yet read
  std::unique_ptr<Gzip> gzip_;
  std::unique_ptr<Zstd> zstd_;
  std::string problem_;
};

}  // namespace tailback::analyzers::foreign
