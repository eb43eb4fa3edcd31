// SPDX-License-Identifier: Apache-2.0
// Endpoints: one for each name, found again from any thread; descriptors looked up in a real kernel.
#include "agent/capture/endpoints.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace tailback::capture {
namespace {

class EndpointsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(endpoints_.init()); }
  std::string name(EndpointId id) {
    const Endpoint* endpoint = endpoints_.at(id);
    return endpoint ? std::string(endpoints_.name(*endpoint), endpoint->name_bytes) : "";
  }
  EndpointId file(const std::string& path) { return endpoints_.intern(EndpointKind::file, path.data(), static_cast<std::uint32_t>(path.size()), 0); }

  Endpoints endpoints_;
};

TEST_F(EndpointsTest, OneForEachName) {
  const EndpointId a = file("/a"), b = file("/b");
  EXPECT_NE(a, b);
  EXPECT_EQ(file("/a"), a);
  EXPECT_EQ(endpoints_.find(EndpointKind::file, "/a", 2), a);
  EXPECT_EQ(endpoints_.find(EndpointKind::file, "/c", 2), 0u);
  EXPECT_NE(endpoints_.intern(EndpointKind::directory, "/a", 2, 0), a);
  EXPECT_EQ(name(b), "/b");
}

TEST_F(EndpointsTest, FlagsAreAdded) {
  const EndpointId a = endpoints_.intern(EndpointKind::tcp_peer, "x", 1, trace::kLoopback);
  endpoints_.intern(EndpointKind::tcp_peer, "x", 1, trace::kNoDelay);
  EXPECT_EQ(endpoints_.at(a)->flags, trace::kLoopback | trace::kNoDelay);
}

TEST_F(EndpointsTest, ThreadsAgree) {
  constexpr int kThreads = 4, kNames = 500;
  std::vector<std::vector<EndpointId>> seen(kThreads, std::vector<EndpointId>(kNames));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kNames; ++i) seen[static_cast<std::size_t>(t)][static_cast<std::size_t>(i)] = file("/name/" + std::to_string(i));
    });
  for (auto& thread : threads) thread.join();
  for (int t = 1; t < kThreads; ++t) EXPECT_EQ(seen[static_cast<std::size_t>(t)], seen[0]);
}

TEST_F(EndpointsTest, WhenFullNothingIsKnown) {
  for (std::uint32_t i = 0; i < Endpoints::kMost + 10; ++i) file("/f" + std::to_string(i));
  EXPECT_EQ(file("/one more"), 0u);
  EXPECT_EQ(name(file("/f1")), "/f1");
}

TEST_F(EndpointsTest, FilesPipesAndTheRest) {
  char path[] = "/tmp/tailback_endpoint_XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "12345", 5), 5);
  const EndpointId id = look_up_descriptor(endpoints_, fd);
  EXPECT_EQ(name(id), path);
  EXPECT_EQ(endpoints_.at(id)->kind, EndpointKind::file);
  EXPECT_EQ(endpoints_.at(id)->size_bytes, 5u);
  EXPECT_EQ(look_up_opened(endpoints_, fd, path, static_cast<std::uint32_t>(sizeof path - 1), 0), id);
  close(fd);
  unlink(path);

  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(look_up_descriptor(endpoints_, ends[0]), look_up_descriptor(endpoints_, ends[1]));
  EXPECT_EQ(endpoints_.at(look_up_descriptor(endpoints_, ends[0]))->kind, EndpointKind::pipe);
  close(ends[0]), close(ends[1]);

  const int event = eventfd(0, 0), folder = open("/", O_RDONLY), null = open("/dev/null", O_WRONLY);
  EXPECT_EQ(endpoints_.at(look_up_descriptor(endpoints_, event))->kind, EndpointKind::eventfd);
  EXPECT_EQ(endpoints_.at(look_up_descriptor(endpoints_, folder))->kind, EndpointKind::directory);
  EXPECT_EQ(endpoints_.at(look_up_descriptor(endpoints_, null))->kind, EndpointKind::device);
  close(event), close(folder), close(null);
  EXPECT_EQ(look_up_descriptor(endpoints_, -1), 0u);
}

TEST_F(EndpointsTest, BothSidesOfAConnection) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(look_up_descriptor(endpoints_, client), 0u);  // connected to nobody
  ASSERT_EQ(connect(client, reinterpret_cast<sockaddr*>(&address), size), 0);
  const std::string expected = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(endpoints_.at(look_up_descriptor(endpoints_, listener))->kind, EndpointKind::tcp_listening);
  EXPECT_EQ(name(look_up_descriptor(endpoints_, listener)), expected);
  EXPECT_TRUE(endpoints_.at(look_up_descriptor(endpoints_, listener))->flags & trace::kLoopback);
  close(client), close(listener);
}

TEST(SocketName, FamiliesAndDamage) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(80);
  v6.sin6_addr = in6addr_loopback;
  const SocketName loopback = name_of_address(&v6, sizeof v6);
  EXPECT_EQ(std::string(loopback.text, loopback.bytes), "[0:0:0:0:0:0:0:1]:80");
  EXPECT_TRUE(loopback.loopback);
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  std::snprintf(path.sun_path, sizeof path.sun_path, "/run/x");
  const SocketName local = name_of_address(&path, sizeof path);
  EXPECT_EQ(std::string(local.text, local.bytes), "/run/x");
  EXPECT_EQ(name_of_address(&path, 1).bytes, 0u);
  EXPECT_EQ(name_of_address(&v6, 4).bytes, 0u);  // cut short
}

TEST(Descriptors, NumbersAreReused) {
  Descriptors descriptors;
  ASSERT_TRUE(descriptors.init());
  descriptors.set(5, 3, true);
  descriptors.at(5)->writes = 2;
  EXPECT_EQ(descriptors.at(5)->endpoint, 3u);
  descriptors.set(5, 4, false);
  EXPECT_EQ(descriptors.at(5)->writes, 0u);
  descriptors.set(9, 1, false);
  descriptors.forget_range(6, ~0u);
  EXPECT_EQ(descriptors.at(9)->endpoint, 0u);
  EXPECT_EQ(descriptors.at(5)->endpoint, 4u);
  EXPECT_EQ(descriptors.at(-1), nullptr);
  EXPECT_EQ(descriptors.at(1 << 30), nullptr);
}

}  // namespace
}  // namespace tailback::capture
