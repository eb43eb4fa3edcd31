// SPDX-License-Identifier: Apache-2.0
// geofence: follows a fleet of delivery vans and reports which service zones each
// position falls into. A grid index narrows the zones before the exact polygon test.
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace geo {

struct Point {
    double lat, lon;
};

struct Zone {
    std::uint32_t id;
    std::uint32_t tariff;
    std::vector<Point> ring;

    bool contains(const Point& p) const {
        bool in = false;
        for (size_t i = 0, j = ring.size() - 1; i < ring.size(); j = i++) {
            const Point &a = ring[i], &b = ring[j];
            if ((a.lat > p.lat) != (b.lat > p.lat) &&
                p.lon < (b.lon - a.lon) * (p.lat - a.lat) / (b.lat - a.lat) + a.lon)
                in = !in;
        }
        return in;
    }
};

struct Cell {
    std::int32_t row, col;
    bool operator==(const Cell& o) const { return row == o.row && col == o.col; }
};

// The grid is small, so a short formula does.
struct FastCellHash {
    size_t operator()(const Cell& c) const noexcept {
        return std::hash<std::int32_t>{}((c.row << 2) + c.col);
    }
};

struct MixedCellHash {
    size_t operator()(const Cell& c) const noexcept {
        std::uint64_t k = (std::uint64_t)(std::uint32_t)c.row << 32 | (std::uint32_t)c.col;
        k = (k ^ (k >> 31)) * 0x9e3779b97f4a7c15ull;
        return (size_t)(k ^ (k >> 29));
    }
};

constexpr double kCell = 0.01;

inline Cell cell_of(const Point& p) {
    return {(std::int32_t)std::floor(p.lat / kCell), (std::int32_t)std::floor(p.lon / kCell)};
}

template <class Hash>
class ZoneIndex {
public:
    void add(const Zone& z, std::uint32_t slot) {
        double lo[2] = {1e9, 1e9}, hi[2] = {-1e9, -1e9};
        for (const auto& p : z.ring) {
            lo[0] = std::fmin(lo[0], p.lat), hi[0] = std::fmax(hi[0], p.lat);
            lo[1] = std::fmin(lo[1], p.lon), hi[1] = std::fmax(hi[1], p.lon);
        }
        Cell a = cell_of({lo[0], lo[1]}), b = cell_of({hi[0], hi[1]});
        for (int r = a.row; r <= b.row; ++r)
            for (int c = a.col; c <= b.col; ++c) cells_[Cell{r, c}].push_back(slot);
    }
    const std::vector<std::uint32_t>* zones_near(const Point& p) const {
        auto it = cells_.find(cell_of(p));
        return it == cells_.end() ? nullptr : &it->second;
    }
    size_t size() const { return cells_.size(); }

private:
    std::unordered_map<Cell, std::vector<std::uint32_t>, Hash> cells_;
};

}  // namespace geo

struct Rng {
    std::uint64_t s;
    double unit() {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        return (double)(s >> 11) / 9007199254740992.0;
    }
};

static std::vector<geo::Zone> load_zones(int n) {
    Rng rng{0x1234567};
    std::vector<geo::Zone> zones;
    for (int i = 0; i < n; ++i) {
        geo::Zone z{(std::uint32_t)i, (std::uint32_t)(rng.unit() * 9), {}};
        double lat = 45 + rng.unit() * 4, lon = 5 + rng.unit() * 4, r = 0.004 + rng.unit() * 0.012;
        for (int k = 0; k < 20; ++k) {
            double a = k * 2 * M_PI / 20, q = r * (0.7 + 0.3 * rng.unit());
            z.ring.push_back({lat + q * std::sin(a), lon + q * std::cos(a)});
        }
        zones.push_back(std::move(z));
    }
    return zones;
}

struct Van {
    geo::Point at;
    double heading;
    std::array<std::uint32_t, 4> recent{};
};

template <class Hash>
class Tracker {
public:
    Tracker(const std::vector<geo::Zone>& zones, const geo::ZoneIndex<Hash>& index)
        : zones_(zones), index_(index) {}

    std::uint64_t follow(int vans, int steps, std::uint64_t seed) const {
        Rng rng{seed};
        std::vector<Van> fleet(vans);
        for (auto& v : fleet) v = {{45 + rng.unit() * 4, 5 + rng.unit() * 4}, rng.unit() * 6.28, {}};
        std::uint64_t entered = 0;
        for (int s = 0; s < steps; ++s)
            for (auto& v : fleet) {
                advance(v, rng);
                entered += report(v);
            }
        return entered;
    }

private:
    static void advance(Van& v, Rng& rng) {
        v.heading += (rng.unit() - 0.5) * 0.6;
        double step = 0.0008 + rng.unit() * 0.0006;
        v.at.lat += step * std::sin(v.heading);
        v.at.lon += step * std::cos(v.heading);
        if (v.at.lat < 45 || v.at.lat > 49 || v.at.lon < 5 || v.at.lon > 9) {
            v.at = {45 + rng.unit() * 4, 5 + rng.unit() * 4};
        }
    }
    std::uint64_t report(Van& v) const {
        const auto* near = index_.zones_near(v.at);
        if (!near) return 0;
        std::uint64_t hits = 0;
        for (std::uint32_t slot : *near) {
            const auto& z = zones_[slot];
            if (!z.contains(v.at)) continue;
            v.recent[hits & 3] = z.id;
            hits += 1 + z.tariff;
        }
        return hits;
    }
    const std::vector<geo::Zone>& zones_;
    const geo::ZoneIndex<Hash>& index_;
};

template <class Hash>
static std::uint64_t serve(const std::vector<geo::Zone>& zones) {
    geo::ZoneIndex<Hash> index;
    for (std::uint32_t i = 0; i < zones.size(); ++i) index.add(zones[i], i);
    Tracker<Hash> tracker(zones, index);
    std::uint64_t part[2] = {0, 0};
    std::thread east([&] { part[0] = tracker.follow(3000, 900, 77); });
    std::thread west([&] { part[1] = tracker.follow(3000, 900, 991); });
    east.join();
    west.join();
    return part[0] + part[1];
}

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    auto zones = load_zones(36000);
    std::uint64_t entered =
        fixed ? serve<geo::MixedCellHash>(zones) : serve<geo::FastCellHash>(zones);
    std::chrono::duration<double> d = std::chrono::steady_clock::now() - t0;
    std::printf("zones=%zu entered=%llu seconds=%.3f\n", zones.size(), (unsigned long long)entered,
                d.count());
}
