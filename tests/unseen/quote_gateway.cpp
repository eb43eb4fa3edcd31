// SPDX-License-Identifier: Apache-2.0
// link: -lfmt
// Quote gateway: line protocol front end (QUOTE / RESERVE) over Boost.Asio,
// with the stock reservations kept by a separate warehouse process.
#include <utility>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kClients = 20;
constexpr int kRequestsPerClient = 200;
constexpr int kReserveEvery = 30;

// ---------------------------------------------------------------- warehouse
// Runs in its own process; each booking goes to the (remote) stock system.
void warehouse_session(tcp::socket sock) {
  asio::streambuf in;
  boost::system::error_code ec;
  for (;;) {
    asio::read_until(sock, in, '\n', ec);
    if (ec) return;
    std::istream is(&in);
    std::string verb, sku;
    int qty = 0;
    is >> verb >> sku >> qty;
    is.ignore(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(14));
    std::string out = fmt::format("OK {} {}\n", sku, qty * 10 + 1);
    asio::write(sock, asio::buffer(out), ec);
    if (ec) return;
  }
}

void warehouse_main(int listen_fd, int expected) {
  asio::io_context io;
  tcp::acceptor acc(io, tcp::v4(), listen_fd);
  std::vector<std::thread> sessions;
  for (int i = 0; i < expected; ++i) sessions.emplace_back(warehouse_session, acc.accept());
  for (auto& t : sessions) t.join();
}

class WarehouseLink {
 public:
  WarehouseLink(const tcp::endpoint& peer) : sock_(io_) {
    sock_.connect(peer);
    sock_.set_option(tcp::no_delay(true));
  }

  int book(const std::string& sku, int qty) {
    std::string line = fmt::format("BOOK {} {}\n", sku, qty);
    asio::write(sock_, asio::buffer(line));
    asio::read_until(sock_, in_, '\n');
    std::istream is(&in_);
    std::string status, got;
    int ticket = 0;
    is >> status >> got >> ticket;
    is.ignore(1);
    return ticket;
  }

 private:
  asio::io_context io_;
  tcp::socket sock_;
  asio::streambuf in_;
};

// Hands out idle links, so that one link serves one caller at a time.
class LinkPool {
 public:
  LinkPool(const tcp::endpoint& peer, int n) {
    for (int i = 0; i < n; ++i) idle_.push_back(std::make_unique<WarehouseLink>(peer));
  }
  std::unique_ptr<WarehouseLink> take() {
    std::lock_guard lk(mx_);
    auto l = std::move(idle_.back());
    idle_.pop_back();
    return l;
  }
  void give(std::unique_ptr<WarehouseLink> l) {
    std::lock_guard lk(mx_);
    idle_.push_back(std::move(l));
  }

 private:
  std::mutex mx_;
  std::vector<std::unique_ptr<WarehouseLink>> idle_;
};

// ------------------------------------------------------------------ pricing
class PriceBook {
 public:
  PriceBook() {
    for (int i = 0; i < 2000; ++i) {
      base_.emplace(fmt::format("SKU{:05}", i), 100 + (i * 37) % 900);
    }
  }
  long quote(std::string_view sku, int qty) const {
    auto it = base_.find(std::string(sku));
    if (it == base_.end()) return -1;
    double unit = it->second;
    for (int tier = 1; tier <= 60; ++tier) unit -= std::sqrt(unit) * 0.0001 * tier / (1 + qty % 7);
    return std::lround(unit * qty * 100);
  }

 private:
  std::unordered_map<std::string, int> base_;
};

// ------------------------------------------------------------------- server
struct Gateway {
  asio::io_context& io;
  PriceBook book;
  LinkPool links;
  std::unique_ptr<asio::thread_pool> workers;  // null: bookings made in place
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket s, Gateway& gw) : sock_(std::move(s)), gw_(gw) {}
  void start() { read_line(); }

 private:
  void read_line() {
    asio::async_read_until(sock_, asio::dynamic_buffer(in_), '\n',
                           [self = shared_from_this()](boost::system::error_code ec, std::size_t n) {
                             if (!ec) self->on_line(n);
                           });
  }

  void on_line(std::size_t n) {
    std::string line = in_.substr(0, n - 1);
    in_.erase(0, n);
    auto sp1 = line.find(' '), sp2 = line.rfind(' ');
    std::string sku = line.substr(sp1 + 1, sp2 - sp1 - 1);
    int qty = std::stoi(line.substr(sp2 + 1));
    if (line.starts_with("QUOTE")) {
      reply(fmt::format("PRICE {} {}\n", sku, gw_.book.quote(sku, qty)));
    } else if (gw_.workers) {
      asio::post(*gw_.workers, [self = shared_from_this(), sku, qty] {
        int ticket = self->reserve(sku, qty);
        asio::post(self->gw_.io, [self, sku, ticket] { self->reply(fmt::format("TICKET {} {}\n", sku, ticket)); });
      });
    } else {
      int ticket = reserve(sku, qty);
      reply(fmt::format("TICKET {} {}\n", sku, ticket));
    }
  }

  int reserve(const std::string& sku, int qty) {
    auto link = gw_.links.take();
    int ticket = link->book(sku, qty);
    gw_.links.give(std::move(link));
    return ticket;
  }

  void reply(std::string text) {
    out_ = std::move(text);
    asio::async_write(sock_, asio::buffer(out_), [self = shared_from_this()](boost::system::error_code ec, std::size_t) {
      if (!ec) self->read_line();
    });
  }

  tcp::socket sock_;
  Gateway& gw_;
  std::string in_, out_;
};

void accept_loop(tcp::acceptor& acc, Gateway& gw) {
  acc.async_accept([&](boost::system::error_code ec, tcp::socket s) {
    if (ec) return;
    s.set_option(tcp::no_delay(true));
    std::make_shared<Session>(std::move(s), gw)->start();
    accept_loop(acc, gw);
  });
}

// ------------------------------------------------------------------ clients
struct Client {
  Client(asio::io_context& io, const tcp::endpoint& ep, int id) : sock(io), pause(io), id(id) {
    sock.connect(ep);
    sock.set_option(tcp::no_delay(true));
  }
  void send() {
    if (seq == kRequestsPerClient) {
      sock.close();
      return;
    }
    quoting = (seq + id * 7) % kReserveEvery != 0;
    out = fmt::format("{} SKU{:05} {}\n", quoting ? "QUOTE" : "RESERVE", (seq * 131 + id * 17) % 2000, 1 + seq % 40);
    sent = Clock::now();
    asio::write(sock, asio::buffer(out));
    asio::async_read_until(sock, asio::dynamic_buffer(in), '\n', [this](boost::system::error_code ec, std::size_t n) {
      if (!ec) receive(n);
    });
  }
  void receive(std::size_t n) {
    if (quoting) latency_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - sent).count());
    checksum = checksum * 31 + std::stoll(in.substr(in.rfind(' ', n) + 1, n));
    in.erase(0, n);
    ++seq;
    pause.expires_after(std::chrono::milliseconds(6 + (seq + id) % 5));
    pause.async_wait([this](boost::system::error_code) { send(); });
  }

  tcp::socket sock;
  asio::steady_timer pause;
  int id, seq = 0;
  bool quoting = true;
  std::string in, out;
  Clock::time_point sent;
  unsigned long long checksum = 7;
  std::vector<double> latency_ms;
};

}  // namespace

int main(int argc, char** argv) {
  const bool pooled = argc > 1 && std::strcmp(argv[1], "fixed") == 0;
  const int n_links = pooled ? 4 : 1;

  asio::io_context setup;
  tcp::acceptor stock(setup, {asio::ip::address_v4::loopback(), 0});
  const tcp::endpoint stock_ep = stock.local_endpoint();
  const pid_t child = fork();
  if (child == 0) {
    warehouse_main(::dup(stock.native_handle()), n_links);
    _exit(0);
  }
  stock.close();

  const auto t0 = Clock::now();
  unsigned long long checksum = 0;
  std::vector<double> lat;
  {
    asio::io_context io;
    Gateway gw{io, {}, LinkPool(stock_ep, n_links), pooled ? std::make_unique<asio::thread_pool>(4) : nullptr};
    tcp::acceptor acc(io, {asio::ip::address_v4::loopback(), 0});
    accept_loop(acc, gw);
    const auto ep = acc.local_endpoint();
    std::thread server([&] { io.run(); });

    asio::io_context cio;
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < kClients; ++i) clients.push_back(std::make_unique<Client>(cio, ep, i));
    for (auto& c : clients) c->send();
    cio.run();
    io.stop();
    server.join();
    if (gw.workers) gw.workers->join();
    for (auto& c : clients) {
      checksum ^= c->checksum;
      lat.insert(lat.end(), c->latency_ms.begin(), c->latency_ms.end());
    }
  }
  waitpid(child, nullptr, 0);
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();
  std::sort(lat.begin(), lat.end());
  fmt::print("quotes={} checksum={:x}\n", lat.size(), checksum);
  fmt::print("seconds={:.3f} p99_ms={:.1f}\n", secs, lat[lat.size() * 99 / 100]);
}
