// SPDX-License-Identifier: Apache-2.0
// metricsd: aggregates named samples into log-linear histograms, many reporters.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace metrics {

template <std::size_t Buckets>
class Histogram {
public:
    void observe(double v) {
        ++counts_[slot(v)];
        ++n_;
        if (v > peak_) peak_ = v;
    }
    std::uint64_t fold() const {
        std::uint64_t h = n_;
        for (std::size_t i = 0; i < Buckets; ++i) h += counts_[i] * (i + 1);
        return h + (std::uint64_t)peak_;
    }

private:
    static std::size_t slot(double v) {
        double l = std::log1p(v) * 12.0;
        std::size_t b = l < 0 ? 0 : (std::size_t)l;
        return std::min(b, Buckets - 1);
    }
    std::array<std::uint32_t, Buckets> counts_{};
    std::uint64_t n_ = 0;
    double peak_ = 0;
};

using Series = Histogram<160>;

template <class Key, class Value>
class Table {
public:
    template <class Fn>
    void with(const Key& k, Fn&& fn) {
        std::lock_guard<std::mutex> g(mu_);
        fn(map_[k]);
    }
    template <class Fn>
    void each(Fn&& fn) {
        std::lock_guard<std::mutex> g(mu_);
        for (auto& [k, v] : map_) fn(k, v);
    }

private:
    alignas(64) std::mutex mu_;
    std::unordered_map<Key, Value> map_;
};

class Registry {
public:
    explicit Registry(std::size_t tables) {
        for (std::size_t i = 0; i < tables; ++i) tables_.push_back(std::make_unique<Table<std::string, Series>>());
    }
    void record(const std::string& name, double v) {
        std::size_t i = tables_.size() == 1 ? 0 : (std::hash<std::string>{}(name) >> 7) % tables_.size();
        tables_[i]->with(name, [v](Series& s) {
            s.observe(v);
        });
    }
    std::uint64_t snapshot() {
        std::uint64_t h = 0;
        for (auto& t : tables_)
            t->each([&](const std::string& k, const Series& s) { h += s.fold() * (k.size() + 3); });
        return h;
    }

private:
    std::vector<std::unique_ptr<Table<std::string, Series>>> tables_;
};

class Reporter {
public:
    Reporter(Registry& r, int id) : reg_(r), x_(0x9e3779b9u * (id + 1)) {
        for (int i = 0; i < 4000; ++i)
            names_.push_back("svc." + std::to_string(i % 40) + ".endpoint." + std::to_string(i) + ".latency_us");
    }
    void run(int samples) {
        for (int i = 0; i < samples; ++i) {
            x_ ^= x_ << 13;
            x_ ^= x_ >> 17;
            x_ ^= x_ << 5;
            reg_.record(names_[x_ % names_.size()], (x_ >> 9) % 50000);
        }
    }

private:
    Registry& reg_;
    std::uint32_t x_;
    std::vector<std::string> names_;
};

}  // namespace metrics

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    metrics::Registry reg(fixed ? 64 : 1);
    std::vector<std::thread> ts;
    for (int i = 0; i < 4; ++i)
        ts.emplace_back([&reg, i] {
            metrics::Reporter r(reg, i);
            r.run(7000000);
        });
    for (auto& t : ts) t.join();
    std::uint64_t h = reg.snapshot();
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)h, s);
    return 0;
}
