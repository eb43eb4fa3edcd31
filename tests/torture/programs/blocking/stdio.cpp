// SPDX-License-Identifier: Apache-2.0
// The C library's streams on pipes: one byte to read that comes late, no room to write.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/torture/programs/blocking/stage.h"
#include "tests/torture/programs/ends.h"

namespace blocking {
namespace {

void input(Stage& stage, const char* name, const std::function<bool(FILE*)>& call) {
  const Ends ends = Ends::of_pipe();
  FILE* const stream = fdopen(ends.reader, "r");
  stage.block(name, "stdio_read", [&] { return call(stream); }, [&](pthread_t) {
    ends.give("7\n", 2);
    close(ends.writer);
  });
  fclose(stream);
}

void inputs(Stage& stage) {
  input(stage, "fread", [](FILE* in) { char got[2]; return fread(got, 1, 2, in) == 2; });
  input(stage, "fgets", [](FILE* in) { char got[8]; return fgets(got, sizeof got, in) == got; });
  input(stage, "fgetc", [](FILE* in) { return fgetc(in) == '7'; });
  input(stage, "getc", [](FILE* in) { return getc(in) == '7'; });
  input(stage, "fscanf", [](FILE* in) { int number = 0; return fscanf(in, "%d", &number) == 1 && number == 7; });
  input(stage, "getline", [](FILE* in) {
    char* line = nullptr;
    std::size_t size = 0;
    const bool right = getline(&line, &size, in) == 2;
    std::free(line);
    return right;
  });
  input(stage, "getdelim", [](FILE* in) {
    char* line = nullptr;
    std::size_t size = 0;
    const bool right = getdelim(&line, &size, '\n', in) == 2;
    std::free(line);
    return right;
  });
}

// A full pipe; what waits in the stream's buffer before the call is what the call must bring out.
void output(Stage& stage, const char* name, const char* kind, const char* waiting, int buffering, const std::function<bool(FILE*)>& call,
            bool closes = false) {
  const Ends ends = Ends::of_pipe();
  ends.fill();
  FILE* const stream = fdopen(ends.writer, "w");
  setvbuf(stream, nullptr, buffering, BUFSIZ);
  std::fputs(waiting, stream);
  stage.block(name, kind, [&] { return call(stream); }, [&](pthread_t) { ends.drain(); });
  if (!closes) fclose(stream);
  close(ends.reader);
}

void outputs(Stage& stage) {
  output(stage, "fwrite", "stdio_write", "", _IONBF, [](FILE* out) { return fwrite("x", 1, 1, out) == 1; });
  output(stage, "fputs", "stdio_write", "", _IONBF, [](FILE* out) { return fputs("xy", out) >= 0; });
  output(stage, "fputc", "stdio_write", "", _IONBF, [](FILE* out) { return fputc('x', out) == 'x'; });
  output(stage, "putc", "stdio_write", "", _IONBF, [](FILE* out) { return putc('x', out) == 'x'; });
  output(stage, "fprintf", "stdio_write", "", _IOLBF, [](FILE* out) { return fprintf(out, "%d\n", 12) == 3; });
  output(stage, "fflush", "stdio_flush", "waiting", _IOFBF, [](FILE* out) { return fflush(out) == 0; });
  output(stage, "fclose", "stdio_flush|close", "waiting", _IOFBF, [](FILE* out) { return fclose(out) == 0; }, true);
}

// Streams of C++ call read and writev themselves.
void standard_streams(Stage& stage) {
  const Scratch scratch;
  const std::string path = scratch.path("fifo");
  require(mkfifo(path.c_str(), 0600) == 0, "mkfifo");
  const int writer = open(path.c_str(), O_RDWR);
  std::ifstream in(path);
  stage.block(
      "ifstream", "read",
      [&] {
        int number = 0;
        return static_cast<bool>(in >> number);
      },
      [&](pthread_t) { require(write(writer, "7\n", 2) == 2, "write"); });
  close(writer);
}

}  // namespace

void block_on_stdio(Stage& stage) {
  inputs(stage);
  outputs(stage);
  standard_streams(stage);
}

}  // namespace blocking
