// SPDX-License-Identifier: Apache-2.0
// link: -lfmt
// Ride dispatch: ride requests pass through a chain of coroutine stages
// (geofence, matching, fare, notification) on one Boost.Asio loop.
#include <utility>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kRiders = 10;
constexpr int kRidesPerRider = 200;
constexpr int kDrivers = 5000;

enum class Wakeup { interval, on_push };

struct Point {
  double lat, lon;
};

struct Ride {
  int rider = 0;
  int seq = 0;
  Point from{}, to{};
  int zone = -1;
  int driver = -1;
  double pickup_km = 0;
  long fare_cents = 0;
  std::string receipt;
};
using RidePtr = std::unique_ptr<Ride>;

// Queue between two coroutines of the same loop.
template <class T>
class Mailbox {
 public:
  Mailbox(asio::io_context& io, Wakeup w) : timer_(io), wakeup_(w) { timer_.expires_at(Clock::time_point::max()); }

  void put(T item) {
    items_.push_back(std::move(item));
    if (wakeup_ == Wakeup::on_push) timer_.cancel_one();
  }

  awaitable<T> get() {
    while (items_.empty()) {
      if (wakeup_ == Wakeup::interval) {
        timer_.expires_after(10ms);
        co_await timer_.async_wait(use_awaitable);
      } else {
        boost::system::error_code ec;
        co_await timer_.async_wait(asio::redirect_error(use_awaitable, ec));
      }
    }
    T item = std::move(items_.front());
    items_.pop_front();
    co_return item;
  }

 private:
  asio::steady_timer timer_;
  Wakeup wakeup_;
  std::deque<T> items_;
};

double distance_km(Point a, Point b) {
  constexpr double rad = M_PI / 180;
  double dlat = (b.lat - a.lat) * rad, dlon = (b.lon - a.lon) * rad;
  double h = std::pow(std::sin(dlat / 2), 2) + std::cos(a.lat * rad) * std::cos(b.lat * rad) * std::pow(std::sin(dlon / 2), 2);
  return 12742 * std::asin(std::sqrt(h));
}

struct Rng {
  std::uint64_t s;
  std::uint64_t next() {
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return s;
  }
  double unit() { return (next() >> 11) * 0x1p-53; }
};

class City {
 public:
  City() {
    Rng rng{0x1234567};
    for (auto& d : drivers_) d = {48.0 + rng.unit() * 0.5, 11.3 + rng.unit() * 0.6};
    for (int z = 0; z < 40; ++z) {
      std::vector<Point> poly;
      Point c{48.0 + rng.unit() * 0.5, 11.3 + rng.unit() * 0.6};
      for (int k = 0; k < 24; ++k) {
        double r = 0.03 + 0.04 * rng.unit(), a = k * M_PI / 12;
        poly.push_back({c.lat + r * std::cos(a), c.lon + r * std::sin(a)});
      }
      zones_.push_back(std::move(poly));
    }
  }

  int zone_of(Point p) const {
    for (std::size_t z = 0; z < zones_.size(); ++z) {
      bool in = false;
      const auto& poly = zones_[z];
      for (std::size_t i = 0, j = poly.size() - 1; i < poly.size(); j = i++) {
        if ((poly[i].lon > p.lon) != (poly[j].lon > p.lon) &&
            p.lat < (poly[j].lat - poly[i].lat) * (p.lon - poly[i].lon) / (poly[j].lon - poly[i].lon) + poly[i].lat)
          in = !in;
      }
      if (in) return int(z);
    }
    return -1;
  }

  std::pair<int, double> nearest_driver(Point p) const {
    int best = -1;
    double best_km = 1e9;
    for (int i = 0; i < kDrivers; ++i) {
      double km = distance_km(drivers_[i], p);
      if (km < best_km) best_km = km, best = i;
    }
    return {best, best_km};
  }

 private:
  std::array<Point, kDrivers> drivers_;
  std::vector<std::vector<Point>> zones_;
};

class Dispatcher {
 public:
  Dispatcher(asio::io_context& io, Wakeup w)
      : io_(io), geofence_(io, w), matching_(io, w), fares_(io, w), notify_(io, w) {
    for (int i = 0; i < kRiders; ++i) done_.push_back(std::make_unique<Mailbox<RidePtr>>(io, w));
  }

  void start() {
    asio::co_spawn(io_, geofence_stage(), asio::detached);
    asio::co_spawn(io_, match_stage(), asio::detached);
    asio::co_spawn(io_, fare_stage(), asio::detached);
    asio::co_spawn(io_, notify_stage(), asio::detached);
    for (int i = 0; i < kRiders; ++i) asio::co_spawn(io_, rider(i), asio::detached);
  }

  std::uint64_t digest() const { return digest_; }
  int completed() const { return completed_; }

 private:
  awaitable<void> geofence_stage() {
    for (;;) {
      RidePtr r = co_await geofence_.get();
      r->zone = city_.zone_of(r->from);
      matching_.put(std::move(r));
    }
  }

  awaitable<void> match_stage() {
    for (;;) {
      RidePtr r = co_await matching_.get();
      std::tie(r->driver, r->pickup_km) = city_.nearest_driver(r->from);
      fares_.put(std::move(r));
    }
  }

  awaitable<void> fare_stage() {
    for (;;) {
      RidePtr r = co_await fares_.get();
      double km = distance_km(r->from, r->to);
      double surge = 1.0;
      for (int minute = 0; minute < 600; ++minute) surge += 1e-4 * std::sin(minute * 0.1 + r->zone);
      r->fare_cents = std::lround((250 + 140 * km + 20 * r->pickup_km) * surge);
      notify_.put(std::move(r));
    }
  }

  awaitable<void> notify_stage() {
    for (;;) {
      RidePtr r = co_await notify_.get();
      r->receipt = fmt::format("ride {}/{} zone {} driver {} pickup {:.2f} km fare {}.{:02}", r->rider, r->seq, r->zone,
                               r->driver, r->pickup_km, r->fare_cents / 100, r->fare_cents % 100);
      Mailbox<RidePtr>& box = *done_[r->rider];
      box.put(std::move(r));
    }
  }

  awaitable<void> rider(int id) {
    Rng rng{0x9e3779b97f4a7c15ull * (id + 1)};
    for (int seq = 0; seq < kRidesPerRider; ++seq) {
      auto r = std::make_unique<Ride>();
      r->rider = id;
      r->seq = seq;
      r->from = {48.0 + rng.unit() * 0.5, 11.3 + rng.unit() * 0.6};
      r->to = {48.0 + rng.unit() * 0.5, 11.3 + rng.unit() * 0.6};
      geofence_.put(std::move(r));
      RidePtr back = co_await done_[id]->get();
      for (char c : back->receipt) digest_ += std::uint64_t(c) * (1 + seq);
      ++completed_;
    }
    if (++riders_done_ == kRiders) io_.stop();
  }

  asio::io_context& io_;
  City city_;
  Mailbox<RidePtr> geofence_, matching_, fares_, notify_;
  std::vector<std::unique_ptr<Mailbox<RidePtr>>> done_;
  std::uint64_t digest_ = 0;
  int completed_ = 0, riders_done_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Wakeup wakeup = argc > 1 && std::strcmp(argv[1], "fixed") == 0 ? Wakeup::on_push : Wakeup::interval;
  asio::io_context io(1);
  const auto t0 = Clock::now();
  auto d = std::make_unique<Dispatcher>(io, wakeup);
  d->start();
  io.run();
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();
  fmt::print("rides={} digest={:x}\n", d->completed(), d->digest());
  fmt::print("seconds={:.3f}\n", secs);
}
