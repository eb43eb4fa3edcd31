// SPDX-License-Identifier: Apache-2.0
// One reader for each foreign format: recognises its content, fills a Recording. Input is never believed: what makes no sense is left out
// and counted, tables have limits. A reader throws InputError only when nothing of the file can be used.
#pragma once
#include <string_view>

#include "analyzers/foreign/input_stream.h"
#include "analyzers/model/recording.h"

namespace tailback::analyzers::foreign {

struct ProfileReader {
  const char* format;                        // "heaptrack file"
  bool (*recognises)(std::string_view head); // the first bytes of the decompressed content, 4 KiB at most
  void (*read)(InputStream& in, Recording& recording);
};

bool is_heaptrack(std::string_view head);
bool is_heap_text(std::string_view head);      // gperftools: heap, growth and sampled heap profiles
bool is_jemalloc_heap(std::string_view head);
bool is_pprof(std::string_view head);
bool is_folded(std::string_view head);

void read_heaptrack(InputStream& in, Recording& recording);
void read_heap_text(InputStream& in, Recording& recording);
void read_jemalloc_heap(InputStream& in, Recording& recording);
void read_pprof(InputStream& in, Recording& recording);
void read_folded(InputStream& in, Recording& recording);

}  // namespace tailback::analyzers::foreign
