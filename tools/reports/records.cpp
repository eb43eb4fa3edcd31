// SPDX-License-Identifier: Apache-2.0
#include "tools/reports/records.h"

#include <fmt/format.h>

#include "agent/trace/decode.h"
#include "analyzers/model/mapped_input.h"
#include "analyzers/pipeline.h"

namespace tailback::tools {

namespace {

// Quoted, with everything outside printable ASCII as \xNN: a line stays a line, whatever the bytes are.
void append_quoted(std::string& line, std::string_view text) {
  line += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      line += '\\', line += c;
    else if (byte < 0x20 || byte >= 0x7f)
      line += fmt::format("\\x{:02x}", byte);
    else
      line += c;
  }
  line += '"';
}

struct LineOf {
  std::string& line;
  void operator()(const char* field, trace::u64 value) { line += fmt::format(" {}={}", field, value); }
  void operator()(const char* field, trace::i64 value) { line += fmt::format(" {}={}", field, value); }
  void operator()(const char* field, trace::str value) {
    line += fmt::format(" {}=", field);
    append_quoted(line, value);
  }
};

}  // namespace

void print_records(const std::string& path, std::FILE* out) {
  const analyzers::MappedInput file(path);
  trace::Decoder decoder(file.bytes());
  std::string line;
  const trace::DecodeResult result = decoder.for_each_event([&](const auto& event) {
    line = std::remove_cvref_t<decltype(event)>::kName;
    trace::for_each_field(event, LineOf{line});
    line += '\n';
    std::fwrite(line.data(), 1, line.size(), out);
  });
  if (!result.error.empty())
    throw analyzers::InputError(path + ": " + result.error +
                                "; 'tailback record' writes dumps, foreign profiles have no records");
  fmt::print(out, "# {} blocks, {} records; unreadable: {} blocks, {} records; of a newer version: {}; {}\n", result.blocks,
             result.records, result.damaged_blocks, result.damaged_records, result.unknown_records,
             result.ended ? "ended in order" : "not ended in order");
}

}  // namespace tailback::tools
