// SPDX-License-Identifier: Apache-2.0
#include "tools/exports/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace tailback::tools {

std::string gzipped(const std::string& bytes) {
  constexpr int kGzipWindow = 15 + 16;
  z_stream stream{};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib cannot compress: out of memory; close other programs and try again");
  std::string out;
  std::size_t taken = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    const std::size_t part = std::min<std::size_t>(bytes.size() - taken, std::numeric_limits<uInt>::max() / 2);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + taken));
    stream.avail_in = static_cast<uInt>(part);
    char buffer[64 * 1024];
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer);
      stream.avail_out = sizeof buffer;
      state = ::deflate(&stream, taken + part == bytes.size() ? Z_FINISH : Z_NO_FLUSH);
      out.append(buffer, sizeof buffer - stream.avail_out);
    } while (state == Z_OK && stream.avail_out == 0);
    taken += part - stream.avail_in;
  }
  ::deflateEnd(&stream);
  if (state != Z_STREAM_END)
    throw std::runtime_error("zlib could not finish the compression; this is a bug in tailback, please report it");
  return out;
}

}  // namespace tailback::tools
