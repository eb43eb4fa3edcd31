// SPDX-License-Identifier: Apache-2.0
// ttlcache: session cache of a login gateway. Entries carry a time to live.
#include <sys/resource.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

using Tick = std::uint64_t;

struct Session {
    std::string user;
    std::string claims;
    Tick expires;
};

class SessionCache {
public:
    SessionCache(Tick ttl, bool sweep) : ttl_(ttl), sweep_(sweep) {}

    void put(const std::string& token, Session s, Tick now) {
        std::lock_guard<std::mutex> g(mu_);
        s.expires = now + ttl_;
        if (sweep_) {
            due_.emplace_back(s.expires, token);
            evict(now);
        }
        map_[token] = std::move(s);
    }

    std::optional<std::size_t> get(const std::string& token, Tick now) {
        std::lock_guard<std::mutex> g(mu_);
        auto it = map_.find(token);
        if (it == map_.end()) return std::nullopt;
        if (it->second.expires <= now) {
            map_.erase(it);
            return std::nullopt;
        }
        return it->second.claims.size() + it->second.user.size();
    }

    std::size_t size() {
        std::lock_guard<std::mutex> g(mu_);
        return map_.size();
    }

private:
    void evict(Tick now) {
        while (!due_.empty() && due_.front().first <= now) {
            auto it = map_.find(due_.front().second);
            if (it != map_.end() && it->second.expires <= now) map_.erase(it);
            due_.pop_front();
        }
    }
    Tick ttl_;
    bool sweep_;
    std::mutex mu_;
    std::unordered_map<std::string, Session> map_;
    std::deque<std::pair<Tick, std::string>> due_;
};

class Gateway {
public:
    Gateway(int id, SessionCache& c) : id_(id), cache_(c), x_(777u + id * 131u) {}

    std::uint64_t handle_minute(Tick now) {
        std::uint64_t sum = 0;
        for (int i = 0; i < 60; ++i) {
            std::string tok = issue_token();
            cache_.put(tok, make_session(), now);
            recent_.push_back(tok);
        }
        for (int i = 0; i < 120; ++i) {
            const std::string& tok = recent_[recent_.size() - 1 - rnd() % std::min<std::size_t>(recent_.size(), 300)];
            if (auto n = cache_.get(tok, now)) sum += *n;
        }
        while (recent_.size() > 300) recent_.pop_front();
        return sum;
    }

private:
    std::string issue_token() {
        char b[48];
        std::snprintf(b, sizeof b, "g%d-%08x-%08x-%u", id_, rnd(), rnd(), ++serial_);
        return b;
    }
    Session make_session() {
        Session s;
        s.user = "user" + std::to_string(rnd() % 100000);
        s.claims.assign(1200 + rnd() % 800, (char)('A' + rnd() % 26));
        s.expires = 0;
        return s;
    }
    std::uint32_t rnd() {
        x_ ^= x_ << 13;
        x_ ^= x_ >> 17;
        x_ ^= x_ << 5;
        return x_;
    }
    int id_;
    SessionCache& cache_;
    std::uint32_t x_;
    std::uint32_t serial_ = 0;
    std::deque<std::string> recent_;
};

static std::uint64_t serve_day(int id, SessionCache& cache, int minutes) {
    Gateway g(id, cache);
    std::uint64_t sum = 0;
    auto next = std::chrono::steady_clock::now();
    for (int m = 0; m < minutes; ++m) {
        sum += g.handle_minute((Tick)m);
        next += std::chrono::milliseconds(2);
        std::this_thread::sleep_until(next);
    }
    return sum;
}

int main(int argc, char** argv) {
    bool sweep = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    // Each gateway owns a cache partition; a minute of traffic is replayed in 2 ms.
    SessionCache a(20, sweep), b(20, sweep);
    std::uint64_t ra = 0, rb = 0;
    std::thread ta([&] { ra = serve_day(0, a, 1500); });
    std::thread tb([&] { rb = serve_day(1, b, 1500); });
    ta.join();
    tb.join();
    rusage u;
    getrusage(RUSAGE_SELF, &u);
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("entries=%zu peak_rss_mb=%ld\n", a.size() + b.size(), u.ru_maxrss / 1024);
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)(ra + rb), s);
    std::fflush(stdout);
    return 0;
}
