// SPDX-License-Identifier: Apache-2.0
// The C library's streams. Most calls only move bytes between the caller and a buffer and cost a few nanoseconds, so nothing is timed
// until the buffer says that the call will reach the kernel: full or line-wise on output, empty on input.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "preload/call_timer.h"
#include "preload/real.h"

using tailback::preload::CallTimer;
using tailback::preload::EndpointId;
using tailback::trace::Call;
namespace preload = tailback::preload;

namespace {

// glibc's FILE (bits/types/struct_FILE.h), of which only the layout is stable.
constexpr int kUnbuffered = 0x2, kLineBuffered = 0x200;

std::size_t pending(const FILE* stream) { return static_cast<std::size_t>(stream->_IO_write_ptr - stream->_IO_write_base); }
bool has_room(const FILE* stream, std::size_t bytes) {
  return stream->_IO_write_ptr < stream->_IO_write_end && static_cast<std::size_t>(stream->_IO_write_end - stream->_IO_write_ptr) > bytes;
}
bool has_input(const FILE* stream, std::size_t bytes) { return static_cast<std::size_t>(stream->_IO_read_end - stream->_IO_read_ptr) >= bytes; }

std::uint64_t endpoint_of(const FILE* stream) { return tailback::capture::recording() && stream->_fileno >= 0 ? preload::endpoint_of(stream->_fileno) : 0; }

// Output that may reach the kernel: counted when bytes left the buffer.
class WriteTimer : public CallTimer {
 public:
  WriteTimer(const FILE* stream, Call call = Call::stdio_write)
      : CallTimer(call, tailback::capture::timing_calls() ? endpoint_of(stream) : 0), stream_(stream), before_(pending(stream)) {}
  void done(std::size_t bytes, bool failed = false) const {
    const std::size_t left = before_ + bytes - pending(stream_);
    if (on() && (left > 0 || failed)) finish_now(thread_, kind_, object_, begin_, {failed ? 0 : left, failed, false, 0});
    else leave();
  }

 private:
  const FILE* stream_;
  std::size_t before_;
};

class ReadTimer : public CallTimer {
 public:
  explicit ReadTimer(const FILE* stream) : CallTimer(Call::stdio_read, tailback::capture::timing_calls() ? endpoint_of(stream) : 0) {}
  void done(std::size_t bytes) const {
    if (on()) finish_now(thread_, kind_, object_, begin_, {bytes, false, bytes == 0, 0});
  }
};

template <class Write>
auto write_text(FILE* stream, std::size_t bytes, Write&& write) {
  if (!tailback::capture::timing_calls() || has_room(stream, bytes)) return write();
  const WriteTimer timer(stream);
  const auto result = write();
  timer.done(bytes, result == static_cast<decltype(result)>(EOF));
  return result;
}

// Formatted output: how much it is shows afterwards.
template <class Print>
int print(FILE* stream, Print&& formatted) {
  if (!tailback::capture::timing_calls()) return formatted();
  const WriteTimer timer(stream);
  const int written = formatted();
  timer.done(written > 0 ? static_cast<std::size_t>(written) : 0, written < 0);
  return written;
}

template <class Read>
std::size_t read_items(FILE* stream, std::size_t size, std::size_t count, Read&& read) {
  if (!tailback::capture::timing_calls() || has_input(stream, size * count)) return read();
  const ReadTimer timer(stream);
  const std::size_t items = read();
  timer.done(items * size);
  return items;
}

template <class Read>
std::size_t write_items(FILE* stream, std::size_t size, std::size_t count, Read&& write) {
  if (!tailback::capture::timing_calls() || has_room(stream, size * count)) return write();
  const WriteTimer timer(stream);
  const std::size_t items = write();
  timer.done(items * size, items < count);
  return items;
}

template <class Read>
char* read_line(FILE* stream, Read&& read) {
  if (!tailback::capture::timing_calls() || has_input(stream, 1)) return read();
  const ReadTimer timer(stream);
  char* const line = read();
  timer.done(line ? strlen(line) : 0);
  return line;
}

template <class Read>
ssize_t read_to(FILE* stream, Read&& read) {
  if (!tailback::capture::timing_calls() || has_input(stream, 1)) return read();
  const ReadTimer timer(stream);
  const ssize_t bytes = read();
  timer.done(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return bytes;
}

template <class Read>
int read_character(FILE* stream, Read&& read) {
  if (!tailback::capture::timing_calls() || has_input(stream, 1)) return read();
  const ReadTimer timer(stream);
  const int character = read();
  timer.done(character != EOF);
  return character;
}

}  // namespace

TAILBACK_HOOK std::size_t fwrite(const void* from, std::size_t size, std::size_t count, FILE* stream) {
  return write_items(stream, size, count, [&, real_write = TAILBACK_REAL(fwrite)] { return real_write(from, size, count, stream); });
}
TAILBACK_HOOK std::size_t fwrite_unlocked(const void* from, std::size_t size, std::size_t count, FILE* stream) {
  return write_items(stream, size, count, [&, real_write = TAILBACK_REAL(fwrite_unlocked)] { return real_write(from, size, count, stream); });
}
TAILBACK_HOOK int fputs(const char* text, FILE* stream) {
  return write_text(stream, strlen(text), [&, real_put = TAILBACK_REAL(fputs)] { return real_put(text, stream); });
}
TAILBACK_HOOK int fputs_unlocked(const char* text, FILE* stream) {
  return write_text(stream, strlen(text), [&, real_put = TAILBACK_REAL(fputs_unlocked)] { return real_put(text, stream); });
}
TAILBACK_HOOK int puts(const char* text) {
  return write_text(stdout, strlen(text) + 1, [&, real_put = TAILBACK_REAL(puts)] { return real_put(text); });
}
TAILBACK_HOOK int fputc(int character, FILE* stream) {
  return write_text(stream, 1, [&, real_put = TAILBACK_REAL(fputc)] { return real_put(character, stream); });
}
TAILBACK_HOOK int putc(int character, FILE* stream) {
  return write_text(stream, 1, [&, real_put = TAILBACK_REAL(putc)] { return real_put(character, stream); });
}
TAILBACK_HOOK int putchar(int character) {
  return write_text(stdout, 1, [&, real_put = TAILBACK_REAL(putchar)] { return real_put(character); });
}

TAILBACK_HOOK int vfprintf(FILE* stream, const char* format, va_list arguments) {
  return print(stream, [&, real_print = TAILBACK_REAL(vfprintf)] { return real_print(stream, format, arguments); });
}
TAILBACK_HOOK int vprintf(const char* format, va_list arguments) { return vfprintf(stdout, format, arguments); }
TAILBACK_HOOK int __vfprintf_chk(FILE* stream, int flag, const char* format, va_list arguments) {
  return print(stream, [&, real_print = TAILBACK_REAL(__vfprintf_chk)] { return real_print(stream, flag, format, arguments); });
}
TAILBACK_HOOK int __vprintf_chk(int flag, const char* format, va_list arguments) { return __vfprintf_chk(stdout, flag, format, arguments); }
TAILBACK_HOOK int fprintf(FILE* stream, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = vfprintf(stream, format, arguments);
  va_end(arguments);
  return written;
}
TAILBACK_HOOK int printf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = vfprintf(stdout, format, arguments);
  va_end(arguments);
  return written;
}
TAILBACK_HOOK int __fprintf_chk(FILE* stream, int flag, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = __vfprintf_chk(stream, flag, format, arguments);
  va_end(arguments);
  return written;
}
TAILBACK_HOOK int __printf_chk(int flag, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int written = __vfprintf_chk(stdout, flag, format, arguments);
  va_end(arguments);
  return written;
}

TAILBACK_HOOK int fflush(FILE* stream) {
  const auto real_flush = TAILBACK_REAL(fflush);
  if (!stream || !tailback::capture::timing_calls() || pending(stream) == 0) return real_flush(stream);
  const WriteTimer timer(stream, Call::stdio_flush);
  const int result = real_flush(stream);
  timer.done(0, result != 0);
  return result;
}
TAILBACK_HOOK int fflush_unlocked(FILE* stream) {
  const auto real_flush = TAILBACK_REAL(fflush_unlocked);
  if (!stream || !tailback::capture::timing_calls() || pending(stream) == 0) return real_flush(stream);
  const WriteTimer timer(stream, Call::stdio_flush);
  const int result = real_flush(stream);
  timer.done(0, result != 0);
  return result;
}

TAILBACK_HOOK std::size_t fread(void* into, std::size_t size, std::size_t count, FILE* stream) {
  return read_items(stream, size, count, [&, real_read = TAILBACK_REAL(fread)] { return real_read(into, size, count, stream); });
}
TAILBACK_HOOK std::size_t fread_unlocked(void* into, std::size_t size, std::size_t count, FILE* stream) {
  return read_items(stream, size, count, [&, real_read = TAILBACK_REAL(fread_unlocked)] { return real_read(into, size, count, stream); });
}
TAILBACK_HOOK std::size_t __fread_chk(void* into, std::size_t room, std::size_t size, std::size_t count, FILE* stream) {
  return read_items(stream, size, count, [&, real_read = TAILBACK_REAL(__fread_chk)] { return real_read(into, room, size, count, stream); });
}
TAILBACK_HOOK char* fgets(char* into, int size, FILE* stream) {
  return read_line(stream, [&, real_get = TAILBACK_REAL(fgets)] { return real_get(into, size, stream); });
}
TAILBACK_HOOK char* __fgets_chk(char* into, std::size_t room, int size, FILE* stream) {
  return read_line(stream, [&, real_get = TAILBACK_REAL(__fgets_chk)] { return real_get(into, room, size, stream); });
}
TAILBACK_HOOK ssize_t getline(char** line, std::size_t* size, FILE* stream) {
  return read_to(stream, [&, real_get = TAILBACK_REAL(getline)] { return real_get(line, size, stream); });
}
TAILBACK_HOOK ssize_t getdelim(char** line, std::size_t* size, int end, FILE* stream) {
  return read_to(stream, [&, real_get = TAILBACK_REAL(getdelim)] { return real_get(line, size, end, stream); });
}
TAILBACK_HOOK ssize_t __getdelim(char** line, std::size_t* size, int end, FILE* stream) {
  return read_to(stream, [&, real_get = TAILBACK_REAL(__getdelim)] { return real_get(line, size, end, stream); });
}
// The scanf of the standard, as which programs since C99 are compiled.
TAILBACK_HOOK int __isoc99_vfscanf(FILE* stream, const char* format, va_list arguments) {
  return read_character(stream, [&, real_scan = TAILBACK_REAL(__isoc99_vfscanf)] { return real_scan(stream, format, arguments); });
}
TAILBACK_HOOK int __isoc99_fscanf(FILE* stream, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int items = __isoc99_vfscanf(stream, format, arguments);
  va_end(arguments);
  return items;
}
TAILBACK_HOOK int fgetc(FILE* stream) {
  return read_character(stream, [&, real_get = TAILBACK_REAL(fgetc)] { return real_get(stream); });
}
TAILBACK_HOOK int getc(FILE* stream) {
  return read_character(stream, [&, real_get = TAILBACK_REAL(getc)] { return real_get(stream); });
}

// Waits for the child, once the pipe is closed.
TAILBACK_HOOK int pclose(FILE* stream) {
  const auto real_close = TAILBACK_REAL(pclose);
  if (tailback::capture::timing_calls() && stream->_fileno >= 0) preload::closing(stream->_fileno);
  const CallTimer timer(Call::wait_child);
  const int status = real_close(stream);
  timer.done(status);
  return status;
}

// What is buffered goes out, and the descriptor may mean something else right after.
TAILBACK_HOOK int fclose(FILE* stream) {
  const auto real_close = TAILBACK_REAL(fclose);
  if (!tailback::capture::timing_calls()) return real_close(stream);
  const std::size_t bytes = pending(stream);
  const std::uint64_t object = bytes ? endpoint_of(stream) : 0;
  if (stream->_fileno >= 0) preload::closing(stream->_fileno);
  const CallTimer timer(Call::stdio_flush, object);
  const int result = real_close(stream);
  if (bytes) timer.done(result, bytes);
  else timer.leave();
  return result;
}
