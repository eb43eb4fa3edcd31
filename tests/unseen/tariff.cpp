// SPDX-License-Identifier: Apache-2.0
// tariff: rates the call records of a telephone exchange. Rating threads take slices of
// the day's records, look up the longest dialled prefix and price the call.
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

enum class Level { error, warn, info, debug, trace };

// The level may be changed at run time, so looking at it has to be thread-safe.
class LevelGate {
public:
    virtual ~LevelGate() = default;
    virtual bool enabled(Level l) = 0;
    virtual void set(Level l) = 0;
};

class ConfiguredGate : public LevelGate {
public:
    bool enabled(Level l) override {
        std::lock_guard g(mu_);
        return l <= level_;
    }
    void set(Level l) override {
        std::lock_guard g(mu_);
        level_ = l;
    }

private:
    std::mutex mu_;
    Level level_ = Level::info;
};

class AtomicGate : public LevelGate {
public:
    bool enabled(Level l) override { return l <= level_.load(std::memory_order_relaxed); }
    void set(Level l) override { level_.store(l, std::memory_order_relaxed); }

private:
    std::atomic<Level> level_{Level::info};
};

class Log {
public:
    explicit Log(std::unique_ptr<LevelGate> g) : gate_(std::move(g)) {}
    void trace(const char* fmt, ...) __attribute__((format(printf, 2, 3), noinline)) {
        if (!gate_->enabled(Level::trace)) return;
        va_list ap;
        va_start(ap, fmt);
        emit(fmt, ap);
        va_end(ap);
    }
    void info(const char* fmt, ...) __attribute__((format(printf, 2, 3))) {
        if (!gate_->enabled(Level::info)) return;
        va_list ap;
        va_start(ap, fmt);
        emit(fmt, ap);
        va_end(ap);
    }
    LevelGate& gate() { return *gate_; }

private:
    void emit(const char* fmt, va_list ap) {
        std::lock_guard g(out_);
        std::vfprintf(stderr, fmt, ap);
        std::fputc('\n', stderr);
    }
    std::unique_ptr<LevelGate> gate_;
    std::mutex out_;
};

struct CallRecord {
    char dialled[16];
    std::uint32_t seconds;
    std::uint16_t trunk;
    std::uint8_t hour;
};

class PrefixTable {
    struct Node {
        std::int32_t next[10];
        std::int32_t price;
    };

public:
    PrefixTable() {
        grow();
        std::uint32_t x = 5;
        for (int i = 0; i < 9000; ++i) {
            int at = 0, len = 2 + i % 7;
            for (int k = 0; k < len; ++k) {
                x = x * 1664525u + 1013904223u;
                int d = (x >> 20) % 10;
                if (nodes_[at].next[d] < 0) {
                    int n = grow();
                    nodes_[at].next[d] = n;
                }
                at = nodes_[at].next[d];
            }
            nodes_[at].price = 3 + (x >> 12) % 90;
        }
    }
    int price_of(const char* dialled, Log& log) const {
        int at = 0, price = 100;
        for (const char* p = dialled; *p; ++p) {
            at = nodes_[at].next[*p - '0'];
            if (at < 0) break;
            if (nodes_[at].price >= 0) {
                price = nodes_[at].price;
                log.trace("prefix %.*s price %d", (int)(p - dialled + 1), dialled, price);
            }
        }
        return price;
    }

private:
    int grow() {
        Node n;
        std::memset(&n, 0xff, sizeof n);
        nodes_.push_back(n);
        return (int)nodes_.size() - 1;
    }
    std::vector<Node> nodes_;
};

class Rater {
public:
    Rater(const PrefixTable& t, Log& l) : table_(t), log_(l), profile_(24 * 60, 0) {}
    void rate(const CallRecord* first, size_t n) {
        for (size_t i = 0; i < n; ++i) total_ += rate_one(first[i]);
    }
    std::uint64_t total() const {
        std::uint64_t t = total_ ^ check_;
        for (std::uint32_t p : profile_) t = t * 3 + p;
        return t;
    }

private:
    std::uint64_t rate_one(const CallRecord& c) {
        int price = table_.price_of(c.dialled, log_);
        std::uint64_t cost = 0;
        std::uint32_t minute = c.hour * 60u, left = c.seconds;
        while (left) {
            std::uint32_t step = left < 60 ? left : 60;
            std::uint32_t band = minute / 60 % 24 >= 8 && minute / 60 % 24 < 19 ? 3 : 2;
            cost += (std::uint64_t)price * band * step;
            profile_[minute % profile_.size()] += step;
            check_ = check_ * 6364136223846793005ull + (cost ^ c.trunk) % 1000003;
            if (minute % 3 == 0) log_.trace("trunk %u minute %u band %u", c.trunk, minute, band);
            ++minute;
            left -= step;
        }
        log_.trace("trunk %u cost %llu", c.trunk, (unsigned long long)cost);
        return cost / 120;
    }
    const PrefixTable& table_;
    Log& log_;
    std::vector<std::uint32_t> profile_;
    std::uint64_t total_ = 0, check_ = 1;
};

static std::vector<CallRecord> day_of_calls(size_t n) {
    std::vector<CallRecord> v(n);
    std::uint32_t x = 17;
    for (auto& c : v) {
        for (int k = 0; k < 12; ++k) x = x * 1664525u + 1013904223u, c.dialled[k] = (char)('0' + (x >> 20) % 10);
        c.dialled[12] = 0;
        c.seconds = 20 + (x >> 8) % 7000;
        c.trunk = (std::uint16_t)(x % 480);
        c.hour = (std::uint8_t)((x >> 16) % 24);
    }
    return v;
}

int main(int argc, char** argv) {
    std::unique_ptr<LevelGate> gate = std::make_unique<ConfiguredGate>();
    if (argc > 1 && !std::strcmp(argv[1], "fixed")) gate = std::make_unique<AtomicGate>();
    auto t0 = std::chrono::steady_clock::now();
    Log log(std::move(gate));
    PrefixTable table;
    auto calls = day_of_calls(300000);
    std::vector<std::unique_ptr<Rater>> raters;
    std::vector<std::thread> threads;
    const int kThreads = 4;
    for (int t = 0; t < kThreads; ++t) {
        raters.push_back(std::make_unique<Rater>(table, log));
        threads.emplace_back([&, t] {
            size_t slice = calls.size() / kThreads;
            for (int pass = 0; pass < 20; ++pass) raters[t]->rate(&calls[t * slice], slice);
        });
    }
    for (auto& t : threads) t.join();
    std::uint64_t total = 0;
    for (auto& r : raters) total = total * 7 + r->total();
    std::chrono::duration<double> d = std::chrono::steady_clock::now() - t0;
    std::printf("total=%llu seconds=%.3f\n", (unsigned long long)total, d.count());
}
