// SPDX-License-Identifier: Apache-2.0
// A loop that answers requests: bad forgets a malformed request where it returns early, fixed has an owner for each.
#include <array>
#include <memory>

#include "tests/workloads/arrivals.h"
#include "tests/workloads/measure.h"

namespace {

constexpr std::uint64_t kRequests = 100'000;
constexpr std::uint64_t kMalformedOneIn = 4;

struct Request {
  std::uint64_t number;
  std::array<std::uint64_t, 500> body;
};

[[gnu::noinline]] Request* read_request(std::uint64_t number) {
  Request* request = new Request;
  request->number = number;
  for (std::uint64_t& word : request->body) word = workload::mix(number += 0x9e3779b97f4a7c15ull);
  return request;
}

bool is_malformed(const Request& request) { return request.number % kMalformedOneIn == 0; }

[[gnu::noinline]] std::uint64_t answer(const Request& request) {
  std::uint64_t reply = request.number;
  for (int round = 0; round < 5; ++round)
    for (const std::uint64_t word : request.body) reply = workload::mix(reply ^ word);
  return reply;
}

[[gnu::noinline]] std::uint64_t handle_with_early_return(std::uint64_t number) {
  Request* request = read_request(number);
  if (is_malformed(*request)) return request->body[0];
  const std::uint64_t reply = answer(*request);
  delete request;
  return reply;
}

[[gnu::noinline]] std::uint64_t handle_with_owner(std::uint64_t number) {
  const std::unique_ptr<Request> request{read_request(number)};
  return is_malformed(*request) ? request->body[0] : answer(*request);
}

template <class Handle>
std::uint64_t serve(Handle handle) {
  std::uint64_t checksum = 0;
  workload::Arrivals arrivals(kRequests);
  for (std::uint64_t number; arrivals.next(number);) checksum ^= handle(number);
  return checksum;
}

}  // namespace

int main(int argc, char** argv) {
  return workload::run(argc, argv, [](double&) { return serve(handle_with_early_return); }, [](double&) { return serve(handle_with_owner); });
}
