// SPDX-License-Identifier: Apache-2.0
// workpool: report rendering at a steady, moderate rate on a fixed pool.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Report {
    std::uint32_t id;
    Clock::time_point asked;
};

class ReportPool {
public:
    explicit ReportPool(int n) {
        for (int i = 0; i < n; ++i) threads_.emplace_back([this] { serve(); });
    }
    void request(std::uint32_t id) {
        {
            std::lock_guard<std::mutex> g(mu_);
            queue_.push_back({id, Clock::now()});
        }
        cv_.notify_one();
    }
    void close() {
        {
            std::lock_guard<std::mutex> g(mu_);
            closed_ = true;
        }
        cv_.notify_all();
        for (auto& t : threads_) t.join();
    }
    std::uint64_t digest() const { return digest_; }
    double worst_ms() const { return worst_us_ / 1000.0; }

private:
    void serve() {
        std::vector<std::uint32_t> figures;
        figures.reserve(4096);
        for (;;) {
            Report r;
            {
                std::unique_lock<std::mutex> lk(mu_);
                cv_.wait(lk, [this] { return closed_ || !queue_.empty(); });
                if (queue_.empty()) return;
                r = queue_.front();
                queue_.pop_front();
            }
            digest_ += build_report(r.id, figures);
            long us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - r.asked).count();
            long w = worst_us_;
            while (us > w && !worst_us_.compare_exchange_weak(w, us)) {
            }
        }
    }
    static std::uint64_t build_report(std::uint32_t id, std::vector<std::uint32_t>& figures) {
        figures.clear();
        std::uint32_t x = id * 2654435761u + 1;
        for (int i = 0; i < 4096; ++i) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            figures.push_back(x);
        }
        std::uint64_t total = 0;
        auto mid = figures.begin() + figures.size() / 2;
        std::nth_element(figures.begin(), mid, figures.end());
        for (int pass = 0; pass < 40; ++pass)
            for (auto f : figures) total = total * 31 + (f ^ pass);
        return total ^ *mid;
    }
    std::mutex mu_;
    std::condition_variable cv_;
    std::deque<Report> queue_;
    bool closed_ = false;
    std::vector<std::thread> threads_;
    std::atomic<std::uint64_t> digest_{0};
    std::atomic<long> worst_us_{0};
};

int main() {
    auto t0 = Clock::now();
    ReportPool pool(2);
    auto due = Clock::now();
    for (std::uint32_t i = 0; i < 6000; ++i) {
        pool.request(i);
        due += std::chrono::microseconds(500);
        std::this_thread::sleep_until(due);
    }
    pool.close();
    std::printf("worst=%.2fms checksum=%llu seconds=%.3f\n", pool.worst_ms(), (unsigned long long)pool.digest(),
                std::chrono::duration<double>(Clock::now() - t0).count());
}
