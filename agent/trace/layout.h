// SPDX-License-Identifier: Apache-2.0
// Framing of a dump: one page of header, then blocks of fixed size, each a sequence of records (encode.h).
//
//   file   = FileHeader (padded to kHeaderBytes), block, block, ...       little-endian throughout
//   block  = BlockHeader, `committed` bytes of records, unused rest       kBlockBytes long; the last may be cut short
//   record = kind (varint), length of the fields (varint), fields
//
// Written by plain stores into a shared mapping: a record counts once `committed` covers it (release store), so the file
// is readable at any moment, whatever kills the writer. A full block is sealed with a CRC32C of its committed bytes.
// A reader trusts a sealed block by its CRC, an open one up to `committed`; a block that fails is skipped by its size.
#pragma once
#include <cstdint>

namespace tailback::trace {

inline constexpr char kMagic[8] = {'T', 'A', 'I', 'L', 'B', 'A', 'C', 'K'};
inline constexpr std::uint16_t kVersion = 1;             // raised only when old readers must refuse
inline constexpr std::uint32_t kHeaderBytes = 4096;
inline constexpr std::uint32_t kBlockBytes = 64 * 1024;
inline constexpr std::uint32_t kBlockMagic = 0x4b4c4254;  // "TBLK"
inline constexpr std::uint32_t kMaxStringBytes = 8 * 1024;  // longer strings are cut by the writer

// What whoever may write the dump of a live process can ask of the agent in it: he adds one to `wanted` of a request, in a mapping of his
// own, and it has been served once `done` has come as far. No descriptor, no signal, nothing the program could close, see or miss.
enum class RequestKind : std::uint32_t {
  flush,  // all that is known goes to the dump
  look,   // a thread_look record for each live thread
  stop,   // the recording ends, as after --duration
};
inline constexpr std::uint32_t kRequestKinds = 3;

struct Request {
  std::uint32_t wanted;  // of whoever asks
  std::uint32_t done;    // of the agent
};

struct FileHeader {
  char magic[8];
  std::uint16_t version;
  std::uint16_t flags;         // FileFlag
  std::uint32_t header_bytes;  // kHeaderBytes
  std::uint32_t block_bytes;   // kBlockBytes
  std::uint32_t pid;
  std::uint64_t started_realtime_ns;
  std::uint64_t used_bytes;    // end of the last block begun; bytes behind it mean nothing
  std::uint32_t state;         // FileState
  std::uint32_t deadlocks;     // found so far, for whoever watches the file while it grows
  Request requests[kRequestKinds];
};
static_assert(sizeof(FileHeader) == 72);

enum class FileState : std::uint32_t { recording = 0, ended = 1 };

struct BlockHeader {
  std::uint32_t magic;
  std::uint32_t committed;  // bytes of records that may be read
  std::uint32_t crc32c;     // of these bytes, once sealed
  std::uint32_t sealed;     // 0 open, 1 sealed
  std::uint64_t sequence;   // ascending over the file
  std::uint32_t writer;     // 0 the engine, else the thread that owns the block
  std::uint32_t reserved;
};
static_assert(sizeof(BlockHeader) == 32);

}  // namespace tailback::trace
