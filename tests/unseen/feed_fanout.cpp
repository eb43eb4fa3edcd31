// SPDX-License-Identifier: Apache-2.0
// link: -lfmt -lz
// Market data fan-out: publishers push framed ticks over TCP, the hub keeps a
// per-instrument summary and relays encoded frames to topic subscribers.
#include <utility>

#include <boost/asio.hpp>
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace asio = boost::asio;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kPublishers = 4;
constexpr int kSubscribers = 8;
constexpr int kTopics = 4;
constexpr int kTicksPerPublisher = 580000;
constexpr std::size_t kQueueLimit = 4096;

#pragma pack(push, 1)
struct Tick {
  std::uint32_t seq;
  std::uint16_t topic;
  std::uint16_t instrument;
  std::int64_t price;
  std::uint32_t volume;
  std::uint32_t crc;
};
#pragma pack(pop)

std::uint32_t tick_crc(const Tick& t) {
  return std::uint32_t(crc32(0, reinterpret_cast<const Bytef*>(&t), offsetof(Tick, crc)));
}

using Frame = std::shared_ptr<const std::string>;

// ---------------------------------------------------------------------- hub
class Subscriber {
 public:
  Subscriber(tcp::socket s) : sock_(std::move(s)), ready_(sock_.get_executor()), room_(sock_.get_executor()) {
    ready_.expires_at(Clock::time_point::max());
    room_.expires_at(Clock::time_point::max());
  }

  void enqueue(const Frame& f) {
    queue_.push_back(f);
    if (idle_) ready_.cancel_one();
  }

  void finish() {
    finished_ = true;
    ready_.cancel_one();
  }

  awaitable<void> wait_room() {
    boost::system::error_code ec;
    while (queue_.size() > kQueueLimit) co_await room_.async_wait(redirect_error(use_awaitable, ec));
  }

  awaitable<void> writer() {
    boost::system::error_code ec;
    std::vector<Frame> batch;
    std::vector<asio::const_buffer> bufs;
    for (;;) {
      while (queue_.empty() && !finished_) {
        idle_ = true;
        co_await ready_.async_wait(redirect_error(use_awaitable, ec));
        idle_ = false;
      }
      if (queue_.empty()) break;
      const std::size_t n = std::min<std::size_t>(queue_.size(), 64);
      batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.begin() + n));
      queue_.erase(queue_.begin(), queue_.begin() + n);
      bufs.clear();
      for (const auto& f : batch) bufs.push_back(asio::buffer(*f));
      co_await asio::async_write(sock_, bufs, redirect_error(use_awaitable, ec));
      if (queue_.size() <= kQueueLimit / 2) room_.cancel();
      if (ec) break;
    }
    sock_.shutdown(tcp::socket::shutdown_both, ec);
  }

 private:
  tcp::socket sock_;
  asio::steady_timer ready_, room_;
  std::deque<Frame> queue_;
  bool idle_ = false, finished_ = false;
};

struct Summary {
  std::int64_t low = INT64_MAX, high = INT64_MIN;
  double turnover = 0, ewma = 0;
  std::uint64_t volume = 0;

  void add(const Tick& t) {
    low = std::min(low, t.price);
    high = std::max(high, t.price);
    volume += t.volume;
    turnover += double(t.price) * t.volume;
    ewma += 0.05 * (double(t.price) - ewma);
  }
};

class Hub {
 public:
  explicit Hub(asio::io_context& io) : io_(io), acc_(io, {asio::ip::address_v4::loopback(), 0}) {}
  tcp::endpoint endpoint() const { return acc_.local_endpoint(); }

  // First byte of a connection: 'P' publisher, otherwise the topic digit.
  awaitable<void> accept_all() {
    for (int i = 0; i < kPublishers + kSubscribers; ++i) {
      tcp::socket s = co_await acc_.async_accept(use_awaitable);
      s.set_option(tcp::no_delay(true));
      char role = 0;
      co_await asio::async_read(s, asio::buffer(&role, 1), use_awaitable);
      if (role == 'P') {
        asio::co_spawn(io_, publisher(std::move(s)), asio::detached);
      } else {
        auto sub = std::make_shared<Subscriber>(std::move(s));
        topics_[role - '0'].push_back(sub);
        asio::co_spawn(io_, [sub]() -> awaitable<void> { co_await sub->writer(); }, asio::detached);
      }
    }
  }

  std::uint64_t rejected() const { return rejected_; }
  const std::array<Summary, 256>& summaries() const { return summaries_; }

 private:
  awaitable<void> publisher(tcp::socket s) {
    boost::system::error_code ec;
    std::vector<char> buf(48 * 1024);
    std::size_t have = 0;
    for (;;) {
      have += co_await s.async_read_some(asio::buffer(buf.data() + have, buf.size() - have), redirect_error(use_awaitable, ec));
      if (ec) break;
      std::size_t pos = 0;
      for (; have - pos >= sizeof(Tick); pos += sizeof(Tick)) {
        Tick t;
        std::memcpy(&t, buf.data() + pos, sizeof t);
        relay(t);
      }
      std::memmove(buf.data(), buf.data() + pos, have - pos);
      have -= pos;
      for (auto& topic : topics_)
        for (auto& sub : topic) co_await sub->wait_room();
    }
    if (++finished_ == kPublishers)
      for (auto& topic : topics_)
        for (auto& sub : topic) sub->finish();
  }

  void relay(const Tick& t) {
    if (t.crc != tick_crc(t) || t.topic >= kTopics) {
      ++rejected_;
      return;
    }
    Summary& s = summaries_[t.instrument % summaries_.size()];
    s.add(t);
    fmt::memory_buffer out;
    fmt::format_to(std::back_inserter(out), "{},{},{},{},{}\n", t.topic, t.instrument, t.seq, t.price, t.volume);
    const Frame frame = std::make_shared<const std::string>(out.data(), out.size());
    for (auto& sub : topics_[t.topic]) sub->enqueue(frame);
  }

  asio::io_context& io_;
  tcp::acceptor acc_;
  std::array<std::vector<std::shared_ptr<Subscriber>>, kTopics> topics_;
  std::array<Summary, 256> summaries_;
  std::uint64_t rejected_ = 0;
  int finished_ = 0;
};

// ------------------------------------------------------------------ clients
struct Received {
  std::uint64_t lines = 0, price_sum = 0;
};

awaitable<void> subscribe(tcp::socket s, Received& r) {
  boost::system::error_code ec;
  std::vector<char> buf(64 * 1024);
  std::string tail;
  for (;;) {
    const std::size_t n = co_await s.async_read_some(asio::buffer(buf), redirect_error(use_awaitable, ec));
    if (ec) co_return;
    std::string_view chunk(buf.data(), n);
    for (;;) {
      const auto eol = chunk.find('\n');
      if (eol == chunk.npos) break;
      std::string_view line = chunk.substr(0, eol);
      if (!tail.empty()) line = tail.append(line);
      std::array<std::uint64_t, 5> f{};
      std::size_t k = 0;
      for (char c : line) c == ',' ? void(++k) : void(f[k] = f[k] * 10 + (c - '0'));
      ++r.lines;
      r.price_sum += f[3] * f[4];
      tail.clear();
      chunk.remove_prefix(eol + 1);
    }
    tail.append(chunk);
  }
}

awaitable<void> publish(tcp::socket s, int id) {
  std::mt19937 rng(300 + id);
  std::vector<Tick> block;
  std::int64_t price = 100000 + id * 1000;
  for (int seq = 0; seq < kTicksPerPublisher;) {
    block.clear();
    for (int i = 0; i < 200 && seq < kTicksPerPublisher; ++i, ++seq) {
      price += std::int64_t(rng() % 21) - 10;
      Tick t{std::uint32_t(seq), std::uint16_t(rng() % kTopics), std::uint16_t(rng() % 256), price, 1 + std::uint32_t(rng() % 500), 0};
      t.crc = tick_crc(t);
      block.push_back(t);
    }
    co_await asio::async_write(s, asio::buffer(block), use_awaitable);
  }
  s.shutdown(tcp::socket::shutdown_send);
}

tcp::socket dial(asio::io_context& io, const tcp::endpoint& ep, char role) {
  tcp::socket s(io);
  s.connect(ep);
  s.set_option(tcp::no_delay(true));
  asio::write(s, asio::buffer(&role, 1));
  return s;
}

}  // namespace

int main() {
  const auto t0 = Clock::now();
  asio::io_context hub_io(1), client_io(1);
  Hub hub(hub_io);
  asio::co_spawn(hub_io, hub.accept_all(), asio::detached);
  std::thread hub_thread([&] { hub_io.run(); });

  std::array<Received, kSubscribers> received;
  for (int i = 0; i < kSubscribers; ++i)
    asio::co_spawn(client_io, subscribe(dial(client_io, hub.endpoint(), char('0' + i % kTopics)), received[i]), asio::detached);
  for (int i = 0; i < kPublishers; ++i)
    asio::co_spawn(client_io, publish(dial(client_io, hub.endpoint(), 'P'), i), asio::detached);
  client_io.run();
  hub_thread.join();

  Received sum;
  for (const auto& r : received) {
    sum.lines += r.lines;
    sum.price_sum += r.price_sum;
  }
  std::uint64_t volume = 0;
  for (const auto& s : hub.summaries()) volume += s.volume;
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();
  fmt::print("lines={} price_sum={} volume={} rejected={}\n", sum.lines, sum.price_sum, volume, hub.rejected());
  fmt::print("seconds={:.3f}\n", secs);
}
