// SPDX-License-Identifier: Apache-2.0
// depot: stock keeping of a spare-parts depot. Pickers take parts from shelves for
// orders; an auditor recounts order by order what is reserved on the shelves.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

using Clock = std::chrono::steady_clock;

class Shelf;

// What has been set aside for one customer.
class Consignment {
public:
    void note(std::uint32_t part, int n) {
        std::lock_guard g(mu_);
        lines_[part] += n;
        weight_ += (std::uint64_t)n * (part % 37 + 1);
    }
    // Calls back for each line; the consignment must not change meanwhile.
    template <class F>
    void each_line(F&& f) {
        std::lock_guard g(mu_);
        for (auto& [part, n] : lines_) f(part, n);
    }
    std::unordered_map<std::uint32_t, int> copy_lines() {
        std::lock_guard g(mu_);
        return lines_;
    }
    std::uint64_t weight() {
        std::lock_guard g(mu_);
        return weight_;
    }

private:
    std::mutex mu_;
    std::unordered_map<std::uint32_t, int> lines_;
    std::uint64_t weight_ = 0;
};

class Shelf {
public:
    using Listener = std::function<void(std::uint32_t part, int n)>;

    explicit Shelf(std::uint32_t first) : first_(first), stock_(64, 100000) {}
    void on_taken(Listener l) { taken_ = std::move(l); }

    void take(std::uint32_t part, int n) {
        std::lock_guard g(mu_);
        stock_[part - first_] -= n;
        journal_ = journal_ * 31 + part;
        if (taken_) taken_(part, n);
    }
    int in_stock(std::uint32_t part) {
        std::lock_guard g(mu_);
        return stock_[part - first_];
    }
    std::uint64_t journal() {
        std::lock_guard g(mu_);
        return journal_;
    }
    std::uint32_t first() const { return first_; }

private:
    std::mutex mu_;
    std::uint32_t first_;
    std::vector<int> stock_;
    std::uint64_t journal_ = 0;
    Listener taken_;
};

struct Bay {
    std::unique_ptr<Shelf> shelf;
    std::unique_ptr<Consignment> consignment;
};

class Depot {
public:
    explicit Depot(int bays) {
        for (int i = 0; i < bays; ++i) {
            Bay b{std::make_unique<Shelf>((std::uint32_t)i * 64), std::make_unique<Consignment>()};
            b.shelf->on_taken([c = b.consignment.get()](std::uint32_t part, int n) { c->note(part, n); });
            bays_.push_back(std::move(b));
        }
    }
    Bay& bay(int i) { return bays_[(size_t)i % bays_.size()]; }
    int size() const { return (int)bays_.size(); }

private:
    std::vector<Bay> bays_;
};

static std::uint64_t plan_route(std::uint32_t seed, int stops) {
    std::vector<std::uint32_t> at(stops);
    for (auto& a : at) seed = seed * 1664525u + 1013904223u, a = seed >> 8;
    std::uint64_t length = 0;
    for (int i = 0; i < stops; ++i) {
        std::uint32_t best = ~0u;
        for (int j = 0; j < stops; ++j)
            if (j != i) best = std::min(best, at[i] > at[j] ? at[i] - at[j] : at[j] - at[i]);
        length += best;
    }
    return length;
}

class Picker {
public:
    explicit Picker(Depot& d) : depot_(d) {}
    // One tour: every bay in turn, at walking pace.
    void tour(Clock::time_point start, std::chrono::microseconds pace, int tours) {
        for (int k = 0; k < tours * depot_.size(); ++k) {
            std::this_thread::sleep_until(start + pace * k);
            route_ += plan_route((std::uint32_t)k, 1500);
            Bay& b = depot_.bay(k);
            for (int i = 0; i < 40; ++i)
                b.shelf->take(b.shelf->first() + (std::uint32_t)(k * 7 + i) % 64, 1 + i % 3);
        }
    }
    std::uint64_t route() const { return route_; }

private:
    Depot& depot_;
    std::uint64_t route_ = 0;
};

class Auditor {
public:
    Auditor(Depot& d, bool by_copy) : depot_(d), by_copy_(by_copy) {}
    // Goes round half a tour behind the picker.
    void tour(Clock::time_point start, std::chrono::microseconds pace, int tours) {
        int half = depot_.size() / 2;
        for (int k = half; k < tours * depot_.size(); ++k) {
            std::this_thread::sleep_until(start + pace * k);
            recount(depot_.bay(k - half));
        }
    }
    std::uint64_t counted() const { return counted_; }

private:
    void recount(Bay& b) {
        auto check = [&](std::uint32_t part, int reserved) {
            counted_ += (std::uint64_t)(b.shelf->in_stock(part) + reserved);
        };
        if (by_copy_) {
            for (auto& [part, n] : b.consignment->copy_lines()) check(part, n);
        } else {
            b.consignment->each_line(check);
        }
    }
    Depot& depot_;
    bool by_copy_;
    std::uint64_t counted_ = 0;
};

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    Depot depot(60);
    Picker picker(depot);
    Auditor auditor(depot, fixed);
    auto start = Clock::now() + std::chrono::milliseconds(20);
    std::chrono::microseconds pace(8000);
    std::thread p([&] { picker.tour(start, pace, 5); });
    std::thread a([&] { auditor.tour(start, pace, 5); });
    p.join();
    a.join();
    std::uint64_t sum = picker.route();
    for (int i = 0; i < depot.size(); ++i) sum = sum * 3 + depot.bay(i).shelf->journal() + depot.bay(i).consignment->weight();
    std::chrono::duration<double> d = Clock::now() - t0;
    std::printf("ledger=%016llx counted=%llu seconds=%.3f\n", (unsigned long long)sum,
                (unsigned long long)auditor.counted(), d.count());
}
