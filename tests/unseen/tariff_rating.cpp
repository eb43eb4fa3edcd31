// SPDX-License-Identifier: Apache-2.0
// link: -lfmt
// Telephony rating engine: the calls of each account are priced against a
// tariff book (longest prefix, dated versions, time bands); the volume tier of
// an account comes from the usage service. Tariffs may be published any time.
#include <utility>

#include <boost/asio.hpp>
#include <fmt/format.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace asio = boost::asio;
using asio::ip::tcp;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kRounds = 5;
constexpr int kAccounts = 260;  // per round
constexpr int kCallsPerAccount = 50;
constexpr int kPrefixes = 9000;
constexpr int kWorkers = 6;
constexpr int kToday = 20240;

struct Band {
  int from_min, to_min;      // minute of day
  double setup, per_pulse;   // micro units
  int pulse_s;
};

struct Tariff {
  int valid_from;
  std::vector<Band> bands;
};

struct Call {
  std::string_view number;
  int start_min = 0;
  int seconds = 0;
  int day = 0;
};

struct Charge {
  std::int64_t micros = 0;
  int prefix_len = 0;
};

// ------------------------------------------------------------ usage service
void usage_session(tcp::socket sock) {
  boost::system::error_code ec;
  std::string in;
  for (;;) {
    const std::size_t n = asio::read_until(sock, asio::dynamic_buffer(in), '\n', ec);
    if (ec) return;
    const int account = std::stoi(in.substr(0, n - 1));
    in.erase(0, n);
    std::this_thread::sleep_for(1300us);
    asio::write(sock, asio::buffer(fmt::format("{}\n", account % 7)), ec);
    if (ec) return;
  }
}

[[noreturn]] void usage_service(tcp::acceptor& acc) {
  std::vector<std::thread> sessions;
  for (int i = 0; i < kWorkers; ++i) sessions.emplace_back(usage_session, acc.accept());
  for (auto& t : sessions) t.join();
  _exit(0);
}

class UsageClient {
 public:
  explicit UsageClient(const tcp::endpoint& ep) : sock_(io_) {
    sock_.connect(ep);
    sock_.set_option(tcp::no_delay(true));
  }
  int tier(int account) {
    asio::write(sock_, asio::buffer(fmt::format("{}\n", account)));
    const std::size_t n = asio::read_until(sock_, asio::dynamic_buffer(in_), '\n');
    const int t = std::stoi(in_.substr(0, n - 1));
    in_.erase(0, n);
    return t;
  }

 private:
  asio::io_context io_;
  tcp::socket sock_;
  std::string in_;
};

// -------------------------------------------------------------- tariff book
struct Account {
  int id = 0;
  std::vector<std::string> records;
};

std::vector<Band> make_bands(std::mt19937& rng) {
  std::vector<Band> bands;
  for (int m = 0; m < 1440; m += 120)
    bands.push_back({m, m + 120, 20000.0 + rng() % 9000, 900.0 + rng() % 4000, int(1 + rng() % 6)});
  return bands;
}

Call parse_record(std::string_view line) {
  Call c;
  const auto comma = line.find(',');
  c.number = line.substr(0, comma);
  std::array<int*, 3> fields{&c.start_min, &c.seconds, &c.day};
  const char* p = line.data() + comma + 1;
  for (int* f : fields) p = std::from_chars(p, line.data() + line.size(), *f).ptr + 1;
  return c;
}

class TariffBook {
 public:
  explicit TariffBook(bool concurrent) : concurrent_(concurrent) {
    std::mt19937 rng(31);
    while (prefixes_.size() < kPrefixes) {
      std::string p;
      for (int n = 2 + rng() % 7; n > 0; --n) p += char('0' + rng() % 10);
      auto& versions = prefixes_[p];
      if (!versions.empty()) continue;
      for (int v = 0; v < 4; ++v) versions.push_back({kToday - 400 + v * 90, make_bands(rng)});
    }
  }

  void rate(const Account& account, UsageClient& usage, std::vector<Charge>& out) const {
    if (concurrent_) {
      std::shared_lock lock(mutex_);
      price_account(account, usage, out);
    } else {
      std::unique_lock lock(mutex_);
      price_account(account, usage, out);
    }
  }

  void publish(const std::string& prefix, Tariff t) {
    std::unique_lock lock(mutex_);
    auto it = prefixes_.find(prefix);
    if (it == prefixes_.end()) return;
    auto& v = it->second;
    v.insert(std::upper_bound(v.begin(), v.end(), t.valid_from, [](int d, const Tariff& x) { return d < x.valid_from; }),
             std::move(t));
    ++revision_;
  }

  std::vector<std::string> prefixes() const {
    std::shared_lock lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [p, v] : prefixes_) out.push_back(p);
    return out;
  }

 private:
  void price_account(const Account& account, UsageClient& usage, std::vector<Charge>& out) const {
    std::vector<std::pair<const Tariff*, Call>> calls;
    calls.reserve(account.records.size());
    out.clear();
    for (const auto& line : account.records) {
      const Call call = parse_record(line);
      int len = 0;
      calls.emplace_back(active_tariff(call, len), call);
      out.push_back({0, len});
    }
    const double factor = 1.0 - 0.03 * usage.tier(account.id);
    for (std::size_t i = 0; i < calls.size(); ++i)
      if (calls[i].first) out[i].micros = std::llround(factor * charge(*calls[i].first, calls[i].second));
  }

  const Tariff* active_tariff(const Call& call, int& matched) const {
    for (std::size_t len = std::min<std::size_t>(8, call.number.size()); len >= 2; --len) {
      const auto it = prefixes_.find(call.number.substr(0, len));
      if (it == prefixes_.end()) continue;
      const Tariff* active = nullptr;
      for (const auto& t : it->second)
        if (t.valid_from <= call.day) active = &t;
      if (active) {
        matched = int(len);
        return active;
      }
    }
    return nullptr;
  }

  static std::int64_t charge(const Tariff& t, const Call& call) {
    double total = 0;
    int minute = call.start_min % 1440, left = call.seconds;
    bool first = true;
    while (left > 0) {
      const auto band = std::find_if(t.bands.begin(), t.bands.end(),
                                     [&](const Band& b) { return minute >= b.from_min && minute < b.to_min; });
      if (std::exchange(first, false)) total += band->setup;
      const int slice = std::min(left, 60);
      const double discount = 1.0 / (1.0 + 0.05 * std::log1p((call.seconds - left) / 60));
      total += std::ceil(double(slice) / band->pulse_s) * band->per_pulse * discount;
      left -= slice;
      minute = (minute + 1) % 1440;
    }
    return std::llround(total);
  }

  bool concurrent_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::vector<Tariff>, std::less<>> prefixes_;
  std::uint64_t revision_ = 0;
};

// ------------------------------------------------------------------ records
std::vector<Account> make_accounts(int round) {
  std::mt19937 rng(8 + round);
  std::vector<Account> out(kAccounts);
  for (int a = 0; a < kAccounts; ++a) {
    out[a].id = round * kAccounts + a;
    for (int i = 0; i < kCallsPerAccount; ++i) {
      std::string num;
      for (int n = 0; n < 11; ++n) num += char('0' + rng() % 10);
      out[a].records.push_back(fmt::format("{},{},{},{}", num, rng() % 1440, 60 + rng() % 10800, kToday - rng() % 60));
    }
  }
  return out;
}

struct Invoice {
  std::int64_t micros = 0;
  std::uint64_t rated = 0, unrated = 0;
  std::array<std::uint64_t, 9> by_length{};

  void add(const Charge& c) {
    micros += c.micros;
    ++(c.prefix_len ? rated : unrated);
    ++by_length[c.prefix_len];
  }
  void merge(const Invoice& o) {
    micros += o.micros;
    rated += o.rated;
    unrated += o.unrated;
    for (std::size_t i = 0; i < by_length.size(); ++i) by_length[i] += o.by_length[i];
  }
};

class RatingJob {
 public:
  RatingJob(const TariffBook& book, const tcp::endpoint& usage) : book_(book) {
    for (int i = 0; i < kWorkers; ++i) usage_.push_back(std::make_unique<UsageClient>(usage));
  }

  Invoice run(const std::vector<Account>& accounts) {
    Invoice total;
    next_ = 0;
    {
      std::vector<std::jthread> workers;
      for (int i = 0; i < kWorkers; ++i)
        workers.emplace_back([&, i] {
          Invoice mine = work(accounts, *usage_[i]);
          std::lock_guard lock(total_mutex_);
          total.merge(mine);
        });
    }
    return total;
  }

 private:
  Invoice work(const std::vector<Account>& accounts, UsageClient& usage) {
    Invoice mine;
    std::vector<Charge> charges;
    for (std::size_t i; (i = next_.fetch_add(1)) < accounts.size();) {
      book_.rate(accounts[i], usage, charges);
      for (const Charge& c : charges) mine.add(c);
    }
    return mine;
  }

  const TariffBook& book_;
  std::vector<std::unique_ptr<UsageClient>> usage_;
  std::atomic<std::size_t> next_{0};
  std::mutex total_mutex_;
};

}  // namespace

int main(int argc, char** argv) {
  const bool concurrent = argc > 1 && std::strcmp(argv[1], "fixed") == 0;

  asio::io_context io;
  tcp::acceptor acc(io, {asio::ip::address_v4::loopback(), 0});
  const auto usage_ep = acc.local_endpoint();
  const pid_t child = fork();
  if (child == 0) usage_service(acc);
  acc.close();

  TariffBook book(concurrent);
  const auto prefixes = book.prefixes();
  std::vector<std::vector<Account>> rounds;
  for (int r = 0; r < kRounds; ++r) rounds.push_back(make_accounts(r));

  const auto t0 = Clock::now();
  Invoice total;
  {
    RatingJob job(book, usage_ep);
    std::mt19937 rng(5);
    for (const auto& accounts : rounds) {
      total.merge(job.run(accounts));
      for (int i = 0; i < 40; ++i)
        book.publish(prefixes[rng() % prefixes.size()], {kToday + 10 + int(rng() % 30), make_bands(rng)});
    }
  }
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();
  waitpid(child, nullptr, 0);
  fmt::print("rated={} unrated={} amount={}\n", total.rated, total.unrated, total.micros);
  for (std::size_t i = 2; i < total.by_length.size(); ++i) fmt::print("len{}={} ", i, total.by_length[i]);
  fmt::print("\nseconds={:.3f}\n", secs);
}
