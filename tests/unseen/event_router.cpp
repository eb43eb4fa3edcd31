// SPDX-License-Identifier: Apache-2.0
// link: -lfmt
// Webhook event router: JSON events are matched against the tenant's routing
// configuration and fanned out to delivery channels.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kEvents = 110000;
constexpr int kBatch = 64;
constexpr int kTenants = 8;
constexpr int kRoutesPerTenant = 30;
const std::array<const char*, 6> kTopics{"order.created", "order.paid", "invoice.sent", "user.login", "stock.low", "ticket.closed"};
const std::array<const char*, 4> kChannels{"email", "slack", "webhook", "archive"};

// ------------------------------------------------------------ configuration
std::string build_config_text() {
  json doc;
  doc["version"] = 3;
  doc["defaults"] = {{"retries", 3}, {"backoff_ms", 250}};
  for (int t = 0; t < kTenants; ++t) {
    json routes = json::array();
    for (int r = 0; r < kRoutesPerTenant; ++r) {
      routes.push_back({
          {"id", fmt::format("tenant-{}-route-{:03}-primary", t, r)},
          {"topic", kTopics[(t + r) % kTopics.size()]},
          {"channel", kChannels[r % kChannels.size()]},
          {"when", {{"field", r % 2 ? "amount" : "priority"}, {"op", r % 3 ? "gte" : "lt"}, {"value", (r * 17) % 90}}},
          {"tags", {"region-" + std::to_string(r % 5), "team-" + std::to_string(r % 7)}},
          {"template", fmt::format("[{{topic}}] event {{id}} for {{customer}} via rule {}", r)},
      });
    }
    doc["tenants"]["tenant-" + std::to_string(t)] = {{"routes", std::move(routes)}, {"quota", 100000 + t}};
  }
  return doc.dump();
}

class RouterConfig {
 public:
  explicit RouterConfig(const std::string& text) : doc_(json::parse(text)) {}

  json tenant(const std::string& name) const { return doc_.at("tenants").at(name); }
  const json& tenant_ref(const std::string& name) const { return doc_.at("tenants").at(name); }
  int retries() const { return doc_.at("defaults").at("retries").get<int>(); }

 private:
  json doc_;
};

// ------------------------------------------------------------------- events
std::vector<std::string> make_events() {
  std::mt19937 rng(4242);
  std::vector<std::string> out;
  out.reserve(kEvents);
  for (int i = 0; i < kEvents; ++i) {
    json e = {
        {"id", fmt::format("evt_{:08x}", rng())},
        {"tenant", "tenant-" + std::to_string(rng() % kTenants)},
        {"topic", kTopics[rng() % kTopics.size()]},
        {"amount", rng() % 100},
        {"priority", rng() % 100},
        {"customer", {{"name", fmt::format("Customer {}", rng() % 5000)}, {"country", "DE"}}},
        {"lines", json::array()},
    };
    for (unsigned k = 0, n = 1 + rng() % 4; k < n; ++k) e["lines"].push_back({{"sku", rng() % 90000}, {"qty", 1 + rng() % 9}});
    out.push_back(e.dump());
  }
  return out;
}

template <class T>
class BatchQueue {
 public:
  explicit BatchQueue(std::size_t cap) : cap_(cap) {}
  void push(T v) {
    std::unique_lock lk(mx_);
    not_full_.wait(lk, [&] { return q_.size() < cap_; });
    q_.push_back(std::move(v));
    lk.unlock();
    not_empty_.notify_one();
  }
  std::optional<T> pop() {
    std::unique_lock lk(mx_);
    not_empty_.wait(lk, [&] { return !q_.empty() || closed_; });
    if (q_.empty()) return std::nullopt;
    T v = std::move(q_.front());
    q_.pop_front();
    lk.unlock();
    not_full_.notify_one();
    return v;
  }
  void close() {
    {
      std::lock_guard lk(mx_);
      closed_ = true;
    }
    not_empty_.notify_all();
  }

 private:
  std::mutex mx_;
  std::condition_variable not_full_, not_empty_;
  std::deque<T> q_;
  std::size_t cap_;
  bool closed_ = false;
};

// ------------------------------------------------------------------ routing
struct Totals {
  std::uint64_t deliveries = 0, bytes = 0, hash = 0;
  std::map<std::string, std::uint64_t> per_channel;
};

std::string render(const std::string& tmpl, const json& event) {
  std::string out;
  out.reserve(tmpl.size() + 48);
  for (std::size_t i = 0; i < tmpl.size();) {
    if (tmpl[i] == '{') {
      const auto end = tmpl.find('}', i);
      const auto key = tmpl.substr(i + 1, end - i - 1);
      if (key == "customer") out += event.at("customer").at("name").get_ref<const std::string&>();
      else out += event.at(key).get_ref<const std::string&>();
      i = end + 1;
    } else {
      out += tmpl[i++];
    }
  }
  return out;
}

bool matches(const json& route, const json& event) {
  if (route.at("topic") != event.at("topic")) return false;
  const json& when = route.at("when");
  const int have = event.at(when.at("field").get_ref<const std::string&>()).get<int>();
  const int want = when.at("value").get<int>();
  return when.at("op") == "gte" ? have >= want : have < want;
}

class Router {
 public:
  Router(const RouterConfig& cfg, bool by_ref) : cfg_(cfg), by_ref_(by_ref) {}

  void process(const std::vector<std::string>& batch, Totals& t) const {
    for (const auto& text : batch) {
      const json event = json::parse(text);
      const auto& name = event.at("tenant").get_ref<const std::string&>();
      if (by_ref_) {
        const json& tenant = cfg_.tenant_ref(name);
        route_event(tenant.at("routes"), event, t);
      } else {
        const json tenant = cfg_.tenant(name);
        route_event(tenant.at("routes"), event, t);
      }
    }
  }

 private:
  void route_event(const json& routes, const json& event, Totals& t) const {
    for (const auto& route : routes) {
      if (!matches(route, event)) continue;
      const auto& channel = route.at("channel").get_ref<const std::string&>();
      const json envelope = {{"to", channel},
                             {"rule", route.at("id")},
                             {"retries", cfg_.retries()},
                             {"text", render(route.at("template").get_ref<const std::string&>(), event)},
                             {"items", event.at("lines").size()}};
      const std::string wire = envelope.dump();
      ++t.deliveries;
      ++t.per_channel[channel];
      t.bytes += wire.size();
      std::uint64_t h = 1469598103934665603ull;
      for (unsigned char c : wire) h = (h ^ c) * 1099511628211ull;
      t.hash += h;
    }
  }

  const RouterConfig& cfg_;
  bool by_ref_;
};

}  // namespace

int main(int argc, char** argv) {
  const bool by_ref = argc > 1 && std::strcmp(argv[1], "fixed") == 0;
  const RouterConfig cfg(build_config_text());
  auto events = make_events();

  const auto t0 = Clock::now();
  const Router router(cfg, by_ref);
  BatchQueue<std::vector<std::string>> queue(8);
  std::array<Totals, 2> totals;
  {
    std::vector<std::jthread> workers;
    for (auto& t : totals)
      workers.emplace_back([&] {
        while (auto batch = queue.pop()) router.process(*batch, t);
      });
    std::vector<std::string> batch;
    for (auto& e : events) {
      batch.push_back(std::move(e));
      if (batch.size() == kBatch) queue.push(std::exchange(batch, {}));
    }
    if (!batch.empty()) queue.push(std::move(batch));
    queue.close();
  }
  const double secs = std::chrono::duration<double>(Clock::now() - t0).count();

  Totals sum;
  for (const auto& t : totals) {
    sum.deliveries += t.deliveries;
    sum.bytes += t.bytes;
    sum.hash += t.hash;
    for (const auto& [ch, n] : t.per_channel) sum.per_channel[ch] += n;
  }
  for (const auto& [ch, n] : sum.per_channel) fmt::print("{}={} ", ch, n);
  fmt::print("\ndeliveries={} bytes={} hash={:x}\n", sum.deliveries, sum.bytes, sum.hash);
  fmt::print("seconds={:.3f}\n", secs);
}
