// SPDX-License-Identifier: Apache-2.0
// A picture of 4 MiB for each request: bad allocates it each time, fixed keeps one. The program asks for large blocks to be mapped,
// as servers do that want them given back: each new one is a mapping whose pages fault anew.
#include <malloc.h>

#include <cstring>
#include <memory>

#include "tests/workloads/measure.h"

namespace {

constexpr std::size_t kPictureBytes = 4 << 20;
constexpr std::uint64_t kRequests = 1'500;
constexpr int kMappedFrom = 1 << 20;

// Every 64 bytes only: what counts is that each page is touched.
[[gnu::noinline]] std::uint64_t draw(unsigned char* picture, std::uint64_t request) {
  std::uint64_t colour = request;
  for (std::size_t at = 0; at < kPictureBytes; at += 64) {
    colour = workload::mix(colour + at);
    std::memcpy(picture + at, &colour, sizeof colour);
  }
  return colour;
}

[[gnu::noinline]] std::uint64_t answer_with_new_picture(std::uint64_t request) {
  const std::unique_ptr<unsigned char[]> picture{new unsigned char[kPictureBytes]};
  return draw(picture.get(), request);
}

[[gnu::noinline]] std::uint64_t answer_with_kept_picture(std::uint64_t request) {
  static const std::unique_ptr<unsigned char[]> picture{new unsigned char[kPictureBytes]};
  return draw(picture.get(), request);
}

template <class Answer>
std::uint64_t serve(Answer answer) {
  workload::require(mallopt(M_MMAP_THRESHOLD, kMappedFrom) == 1, "mallopt");
  std::uint64_t checksum = 0;
  for (std::uint64_t request = 0; request < kRequests; ++request) checksum ^= answer(request);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return serve(answer_with_new_picture); }, [](double&) { return serve(answer_with_kept_picture); });
}
