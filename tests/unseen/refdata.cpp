// SPDX-License-Identifier: Apache-2.0
// refdata: answers instrument look-ups from an immutable snapshot; a loader thread
// prepares the next snapshot in the background.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Instrument {
    std::string name;
    std::vector<std::string> venues;
    std::map<int, double> ladder;
};

class Snapshot {
public:
    explicit Snapshot(int version) : version_(version) {
        for (int i = 0; i < 40000; ++i) {
            auto in = std::make_unique<Instrument>();
            in->name = "instrument-" + std::to_string(version) + "-" + std::to_string(i) + "-ordinary-share";
            for (int v = 0; v < 3; ++v) in->venues.push_back("venue-with-a-long-identifier-" + std::to_string(v));
            for (int l = 0; l < 6; ++l) in->ladder[l * 100] = 0.01 * (l + 1);
            table_.emplace(i * 7919 % 40000, std::move(in));
        }
    }
    std::uint64_t look_up(int key) const {
        auto it = table_.find(key);
        return it == table_.end() ? 0 : it->second->venues.size() + it->second->ladder.size();
    }
    int version() const { return version_; }

private:
    int version_;
    std::map<int, std::unique_ptr<Instrument>> table_;
};

using SnapshotPtr = std::unique_ptr<Snapshot>;

class Attic {
public:
    Attic() : t_([this] { run(); }) {}
    ~Attic() {
        {
            std::lock_guard<std::mutex> g(mu_);
            end_ = true;
        }
        cv_.notify_one();
        t_.join();
    }
    void take(SnapshotPtr p) {
        {
            std::lock_guard<std::mutex> g(mu_);
            q_.push_back(std::move(p));
        }
        cv_.notify_one();
    }

private:
    void run() {
        std::unique_lock<std::mutex> lk(mu_);
        for (;;) {
            cv_.wait(lk, [this] { return end_ || !q_.empty(); });
            if (q_.empty()) return;
            SnapshotPtr p = std::move(q_.front());
            q_.pop_front();
            lk.unlock();
            p.reset();
            lk.lock();
        }
    }
    std::mutex mu_;
    std::condition_variable cv_;
    std::deque<SnapshotPtr> q_;
    bool end_ = false;
    std::thread t_;
};

class Lookup {
public:
    explicit Lookup(bool defer) : defer_(defer), current_(std::make_unique<Snapshot>(0)) {}
    void publish(SnapshotPtr s) {
        std::lock_guard<std::mutex> g(mu_);
        next_ = std::move(s);
        fresh_.store(true);
    }
    std::uint64_t handle_request(std::uint32_t seed) {
        if (fresh_.load()) adopt();
        std::uint64_t s = 0;
        for (int i = 0; i < 40; ++i) {
            seed = seed * 1664525u + 1013904223u;
            s += current_->look_up((seed >> 8) % 50000);
        }
        return s;
    }

private:
    void adopt() {
        SnapshotPtr n;
        {
            std::lock_guard<std::mutex> g(mu_);
            n = std::move(next_);
            fresh_.store(false);
        }
        std::swap(current_, n);
        if (defer_) attic_.take(std::move(n));
    }
    bool defer_;
    SnapshotPtr current_, next_;
    std::mutex mu_;
    std::atomic<bool> fresh_{false};
    Attic attic_;
};

static void load_snapshots(Lookup& l, int n) {
    auto at = Clock::now();
    for (int v = 1; v <= n; ++v) {
        l.publish(std::make_unique<Snapshot>(v));
        at += milliseconds(380);
        std::this_thread::sleep_until(at);
    }
}

int main(int argc, char** argv) {
    bool defer = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    std::uint64_t sum = 0;
    std::vector<double> ms;
    {
        Lookup l(defer);
        std::thread loader(load_snapshots, std::ref(l), 8);
        auto due = Clock::now();
        for (int i = 0; i < 6200; ++i) {
            due += std::chrono::microseconds(500);
            std::this_thread::sleep_until(due);
            sum += l.handle_request(i * 31u + 7u);
            ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - due).count());
        }
        loader.join();
    }
    std::sort(ms.begin(), ms.end());
    std::printf("request p50=%.2fms p99=%.2fms max=%.2fms\n", ms[ms.size() / 2], ms[ms.size() * 99 / 100], ms.back());
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum,
                std::chrono::duration<double>(Clock::now() - t0).count());
}
