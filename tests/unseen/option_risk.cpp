// SPDX-License-Identifier: Apache-2.0
// link: -lfmt
// End-of-day risk: revalues an option book under market scenarios and reports
// value at risk and expected shortfall per desk.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <future>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kPositions = 400;
constexpr int kScenarios = 120;
constexpr int kDesks = 6;

enum class Kind : std::uint8_t { call, put, barrier };

struct Position {
  int desk;
  int underlying;
  Kind kind;
  double strike;
  double years;
  double quantity;
};

struct Market {
  std::array<double, 16> spot;
  std::array<double, 16> vol;
  std::array<double, 12> zero_rates;  // yearly pillars

  double rate(double t) const {
    double x = std::clamp(t, 0.0, 10.99);
    int i = int(x);
    return zero_rates[i] + (x - i) * (zero_rates[i + 1] - zero_rates[i]);
  }
};

double normal_cdf(double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); }

double black_scholes(const Market& m, const Position& p) {
  const double s = m.spot[p.underlying], v = m.vol[p.underlying], r = m.rate(p.years);
  const double sd = v * std::sqrt(p.years);
  const double d1 = (std::log(s / p.strike) + (r + v * v / 2) * p.years) / sd, d2 = d1 - sd;
  const double df = std::exp(-r * p.years);
  return p.kind == Kind::put ? p.strike * df * normal_cdf(-d2) - s * normal_cdf(-d1)
                             : s * normal_cdf(d1) - p.strike * df * normal_cdf(d2);
}

double barrier_tree(const Market& m, const Position& p) {
  constexpr int steps = 150;
  std::array<double, steps + 1> value;
  const double dt = p.years / steps, u = std::exp(m.vol[p.underlying] * std::sqrt(dt)), d = 1 / u;
  const double r = m.rate(p.years), q = (std::exp(r * dt) - d) / (u - d), df = std::exp(-r * dt);
  const double s = m.spot[p.underlying], knock = p.strike * 1.6;
  for (int i = 0; i <= steps; ++i) {
    double st = s * std::pow(u, 2 * i - steps);
    value[i] = st > knock ? 0 : std::max(0.0, st - p.strike);
  }
  for (int n = steps - 1; n >= 0; --n)
    for (int i = 0; i <= n; ++i) value[i] = df * (q * value[i + 1] + (1 - q) * value[i]);
  return value[0];
}

double price(const Market& m, const Position& p) {
  return p.quantity * (p.kind == Kind::barrier ? barrier_tree(m, p) : black_scholes(m, p));
}

std::vector<Position> load_book() {
  std::mt19937_64 rng(20240611);
  std::uniform_real_distribution<> u(0, 1);
  std::vector<Position> book;
  book.reserve(kPositions);
  for (int i = 0; i < kPositions; ++i) {
    auto k = u(rng) < 0.6 ? Kind::barrier : u(rng) < 0.5 ? Kind::call : Kind::put;
    book.push_back({i % kDesks, int(rng() % 16), k, 80 + 40 * u(rng), 0.1 + 4 * u(rng), std::floor(1 + 200 * u(rng))});
  }
  return book;
}

Market base_market() {
  Market m;
  for (int i = 0; i < 16; ++i) {
    m.spot[i] = 90 + 1.5 * i;
    m.vol[i] = 0.15 + 0.01 * i;
  }
  for (int i = 0; i < 12; ++i) m.zero_rates[i] = 0.015 + 0.001 * i;
  return m;
}

std::vector<Market> make_scenarios(const Market& base) {
  std::mt19937_64 rng(77);
  std::normal_distribution<> n(0, 1);
  std::vector<Market> out;
  out.reserve(kScenarios);
  for (int s = 0; s < kScenarios; ++s) {
    Market m = base;
    double common = n(rng), shift = 0.002 * n(rng);
    for (int i = 0; i < 16; ++i) {
      m.spot[i] *= std::exp(0.02 * (0.7 * common + 0.7 * n(rng)));
      m.vol[i] *= std::exp(0.08 * n(rng) - 0.05 * common);
    }
    for (auto& z : m.zero_rates) z += shift;
    out.push_back(m);
  }
  return out;
}

using Values = std::vector<double>;

// Values of every position under one market, positions valued concurrently.
Values revalue(const Market& m, std::span<const Position> book) {
  constexpr std::size_t kInFlight = 32;
  Values values(book.size());
  std::vector<std::future<double>> pending;
  pending.reserve(kInFlight);
  for (std::size_t first = 0; first < book.size(); first += kInFlight) {
    const std::size_t last = std::min(book.size(), first + kInFlight);
    for (std::size_t i = first; i < last; ++i)
      pending.push_back(std::async(std::launch::async, price, std::cref(m), std::cref(book[i])));
    for (std::size_t i = first; i < last; ++i) values[i] = pending[i - first].get();
    pending.clear();
  }
  return values;
}

// Values of every position under a range of markets, on the calling thread.
void revalue_range(std::span<const Market> markets, std::span<const Position> book, std::span<Values> out) {
  for (std::size_t s = 0; s < markets.size(); ++s) {
    out[s].resize(book.size());
    for (std::size_t i = 0; i < book.size(); ++i) out[s][i] = price(markets[s], book[i]);
  }
}

std::vector<Values> revalue_by_position(std::span<const Market> markets, std::span<const Position> book) {
  std::vector<Values> grid;
  grid.reserve(markets.size());
  for (const auto& m : markets) grid.push_back(revalue(m, book));
  return grid;
}

std::vector<Values> revalue_by_range(std::span<const Market> markets, std::span<const Position> book) {
  std::vector<Values> grid(markets.size());
  const std::size_t parts = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::future<void>> pending;
  for (std::size_t k = 0; k < parts; ++k) {
    const std::size_t a = markets.size() * k / parts, b = markets.size() * (k + 1) / parts;
    pending.push_back(std::async(std::launch::async, revalue_range, markets.subspan(a, b - a), book,
                                 std::span(grid).subspan(a, b - a)));
  }
  for (auto& f : pending) f.get();
  return grid;
}

struct DeskRisk {
  double var99, shortfall;
};

DeskRisk desk_risk(int desk, std::span<const Position> book, const Values& base, const std::vector<Values>& grid) {
  std::vector<double> pnl;
  pnl.reserve(grid.size());
  for (const auto& row : grid) {
    double sum = 0;
    for (std::size_t i = 0; i < book.size(); ++i)
      if (book[i].desk == desk) sum += row[i] - base[i];
    pnl.push_back(sum);
  }
  std::sort(pnl.begin(), pnl.end());
  const std::size_t tail = std::max<std::size_t>(1, pnl.size() / 100);
  return {-pnl[tail], -std::accumulate(pnl.begin(), pnl.begin() + tail, 0.0) / tail};
}

// Day-over-day attribution by bumping each underlying of the base market.
double vega_ladder(const Market& base, std::span<const Position> book, const Values& values) {
  double total = 0;
  for (int u = 0; u < 16; ++u) {
    Market bumped = base;
    bumped.vol[u] += 0.01;
    for (int pass = 0; pass < 8; ++pass)
      for (std::size_t i = 0; i < book.size(); ++i)
        if (book[i].underlying == u || pass == 0) total += price(bumped, book[i]) - values[i];
  }
  return total;
}

}  // namespace

int main(int argc, char** argv) {
  const bool by_range = argc > 1 && std::strcmp(argv[1], "fixed") == 0;
  const auto t0 = std::chrono::steady_clock::now();

  const auto book = load_book();
  const auto base = base_market();
  const auto scenarios = make_scenarios(base);
  std::vector<Values> base_grid(1);
  revalue_range(std::span(&base, 1), book, base_grid);

  const auto grid = by_range ? revalue_by_range(scenarios, book) : revalue_by_position(scenarios, book);
  for (int d = 0; d < kDesks; ++d) {
    auto r = desk_risk(d, book, base_grid[0], grid);
    fmt::print("desk {} var99={:.2f} shortfall={:.2f}\n", d, r.var99, r.shortfall);
  }
  fmt::print("vega={:.2f}\n", vega_ladder(base, book, base_grid[0]));
  const double secs = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
  fmt::print("seconds={:.3f}\n", secs);
}
