// SPDX-License-Identifier: Apache-2.0
// geocache: address look-up service with a bounded least-recently-used cache. A miss
// builds the full record (normalise, tokenise, score), a hit gives the shared one.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

struct Address {
    std::string street, town;
    std::vector<std::uint64_t> trigrams;
    double lat, lon;
};

using AddressPtr = std::shared_ptr<const Address>;

class Gazetteer {
public:
    Gazetteer() {
        for (int i = 0; i < 400; ++i) {
            std::string n = "Town" + std::to_string(i * 7919 % 1000) + "ville";
            towns_.push_back({n, grams(n), 45 + i % 20 * 0.1, 5 + i / 20 * 0.1});
        }
    }
    AddressPtr resolve(std::uint32_t key) const {
        auto a = std::make_shared<Address>();
        a->street = std::to_string(key % 190 + 1) + " Rue du Pont " + std::to_string(key % 5003);
        a->trigrams = grams(a->street);
        const Town& t = best_town(key, a->trigrams);
        a->town = t.name;
        a->lat = t.lat + key % 97 * 1e-4;
        a->lon = t.lon + key % 89 * 1e-4;
        return a;
    }

private:
    struct Town {
        std::string name;
        std::vector<std::uint64_t> trigrams;
        double lat, lon;
    };
    static std::vector<std::uint64_t> grams(std::string_view s) {
        std::vector<std::uint64_t> g;
        g.reserve(s.size());
        for (size_t i = 0; i + 3 <= s.size(); ++i)
            g.push_back((std::uint64_t)(unsigned char)s[i] << 16 | (std::uint64_t)(unsigned char)s[i + 1] << 8 |
                        (unsigned char)s[i + 2]);
        std::sort(g.begin(), g.end());
        return g;
    }
    const Town& best_town(std::uint32_t key, const std::vector<std::uint64_t>& g) const {
        size_t from = key * 2654435761u % towns_.size(), best = from;
        int top = -1;
        for (size_t k = 0; k < 24; ++k) {
            const Town& t = towns_[(from + k) % towns_.size()];
            int score = 0;
            size_t i = 0, j = 0;
            while (i < g.size() && j < t.trigrams.size()) {
                if (g[i] == t.trigrams[j]) ++score, ++i, ++j;
                else if (g[i] < t.trigrams[j]) ++i;
                else ++j;
            }
            if (score > top) top = score, best = (from + k) % towns_.size();
        }
        return towns_[best];
    }
    std::vector<Town> towns_;
};

class Shard {
public:
    explicit Shard(size_t room) : room_(room) { index_.reserve(room + 1); }
    AddressPtr find(std::uint32_t key) {
        std::lock_guard g(mu_);
        auto it = index_.find(key);
        if (it == index_.end()) return nullptr;
        order_.splice(order_.begin(), order_, it->second);
        return it->second->second;
    }
    void put(std::uint32_t key, AddressPtr a) {
        AddressPtr dropped;  // freed after the lock
        std::lock_guard g(mu_);
        if (index_.count(key)) return;
        order_.emplace_front(key, std::move(a));
        index_[key] = order_.begin();
        if (index_.size() > room_) {
            dropped = std::move(order_.back().second);
            index_.erase(order_.back().first);
            order_.pop_back();
        }
    }

private:
    std::mutex mu_;
    size_t room_;
    std::list<std::pair<std::uint32_t, AddressPtr>> order_;
    std::unordered_map<std::uint32_t, decltype(order_)::iterator> index_;
};

class LookupService {
public:
    LookupService() {
        for (int i = 0; i < 64; ++i) shards_.push_back(std::make_unique<Shard>(1900));
    }
    AddressPtr lookup(std::uint32_t key, std::uint64_t& misses) {
        Shard& s = *shards_[key * 2654435761u >> 26];
        if (auto a = s.find(key)) return a;
        ++misses;
        auto a = gazetteer_.resolve(key);
        s.put(key, a);
        return a;
    }

private:
    Gazetteer gazetteer_;
    std::vector<std::unique_ptr<Shard>> shards_;
};

struct Tour {
    double km = 0;
    std::uint64_t misses = 0;
};

static double distance_km(const Address& a, const Address& b) {
    double x = (b.lon - a.lon) * std::cos((a.lat + b.lat) * 0.00872665), y = b.lat - a.lat;
    return 111.2 * std::sqrt(x * x + y * y);
}

static void route_tours(LookupService& service, std::uint32_t seed, int stops, Tour& out) {
    AddressPtr last;
    std::uint64_t x = seed;
    for (int i = 0; i < stops; ++i) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double u = (double)(x >> 11) / 9007199254740992.0;
        auto a = service.lookup((std::uint32_t)(u * u * u * 150000), out.misses);
        if (last) out.km += distance_km(*last, *a);
        last = std::move(a);
    }
}

int main() {
    auto t0 = std::chrono::steady_clock::now();
    LookupService service;
    Tour tours[2];
    std::thread a([&] { route_tours(service, 11, 6000000, tours[0]); });
    std::thread b([&] { route_tours(service, 47, 6000000, tours[1]); });
    a.join();
    b.join();
    std::chrono::duration<double> s = std::chrono::steady_clock::now() - t0;
    std::printf("km=%.1f miss_share=%.3f seconds=%.3f\n", tours[0].km + tours[1].km,
                (double)(tours[0].misses + tours[1].misses) / 12000000.0, s.count());
}
