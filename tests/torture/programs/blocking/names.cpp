// SPDX-License-Identifier: Apache-2.0
// Looking up names, with a name server on loopback that takes its time to say that there is no such name.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "tests/torture/programs/blocking/stage.h"

namespace blocking {
namespace {

class NameServer {
 public:
  NameServer() : socket_(socket(AF_INET, SOCK_DGRAM, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    require(bind(socket_, reinterpret_cast<sockaddr*>(&address_), size) == 0, "bind");
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address_), &size);
  }
  ~NameServer() { close(socket_); }
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  // The calling thread asks this server from now on, and no other.
  void use() const {
    res_init();
    _res.nscount = 1;
    _res.nsaddr_list[0] = address_;
    _res.options &= ~static_cast<unsigned long>(RES_DNSRCH | RES_DEFNAMES);
  }
  void deny_one() const {
    unsigned char query[512];
    sockaddr_in client{};
    socklen_t size = sizeof client;
    const ssize_t got = recvfrom(socket_, query, sizeof query, 0, reinterpret_cast<sockaddr*>(&client), &size);
    require(got > 4, "recvfrom");
    query[2] |= 0x80, query[3] = 0x83;  // an answer, recursion available, no such name
    sendto(socket_, query, static_cast<std::size_t>(got), 0, reinterpret_cast<const sockaddr*>(&client), size);
  }

 private:
  int socket_;
  sockaddr_in address_{};
};

bool asks_name_servers() {
  std::ifstream switches("/etc/nsswitch.conf");
  if (!switches) return true;
  for (std::string line; std::getline(switches, line);)
    if (line.rfind("hosts:", 0) == 0) return line.find("dns") != std::string::npos;
  return true;
}

void look_up(Stage& stage, const char* name, const std::function<bool()>& call) {
  const NameServer server;
  stage.block(name, "name_lookup", [&] { server.use(); return call(); }, [&](pthread_t) { server.deny_one(); });
}

bool has_no_name(const in_addr& host) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr = host;
  char found[256];
  return getnameinfo(reinterpret_cast<const sockaddr*>(&address), sizeof address, found, sizeof found, nullptr, 0, NI_NAMEREQD) ==
         EAI_NONAME;
}

}  // namespace

void block_on_names(Stage& stage) {
  if (!asks_name_servers()) return stage.skip("names", "this machine asks no name servers");
  static const in_addr host{htonl(0xC0000205)};  // 192.0.2.5, of a network for examples
  look_up(stage, "getaddrinfo", [] {
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = AF_INET, hints.ai_socktype = SOCK_STREAM;
    return getaddrinfo("nobody.invalid.", nullptr, &hints, &found) == EAI_NONAME;
  });
  look_up(stage, "getnameinfo", [] { return has_no_name(host); });
  look_up(stage, "gethostbyname", [] { return gethostbyname("nobody.invalid.") == nullptr && h_errno == HOST_NOT_FOUND; });
  look_up(stage, "gethostbyname_r", [] {
    hostent entry{}, *found = nullptr;
    char memory[1024];
    int error = 0;
    gethostbyname_r("nobody.invalid.", &entry, memory, sizeof memory, &found, &error);
    return !found && error == HOST_NOT_FOUND;
  });
  look_up(stage, "gethostbyname2", [] { return gethostbyname2("nobody.invalid.", AF_INET) == nullptr; });
  look_up(stage, "gethostbyaddr", [] { return gethostbyaddr(&host, sizeof host, AF_INET) == nullptr; });
}

}  // namespace blocking
