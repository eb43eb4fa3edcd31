// SPDX-License-Identifier: Apache-2.0
// jobsched: shared worker pool running nightly compaction jobs next to user queries.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

enum class Kind { Query, Compaction };

struct Job {
    Kind kind;
    std::uint32_t seed;
    Clock::time_point submitted;
};

class JobQueue {
public:
    explicit JobQueue(bool ranked) : ranked_(ranked) {}
    void push(Job j) {
        {
            std::lock_guard<std::mutex> g(mu_);
            if (ranked_ && j.kind == Kind::Query) urgent_.push_back(j);
            else pending_.push_back(j);
        }
        cv_.notify_one();
    }
    bool pop(Job& out) {
        std::unique_lock<std::mutex> lk(mu_);
        cv_.wait(lk, [this] { return closed_ || !pending_.empty() || !urgent_.empty(); });
        auto& q = urgent_.empty() ? pending_ : urgent_;
        if (q.empty()) return false;
        out = q.front();
        q.pop_front();
        return true;
    }
    void close() {
        {
            std::lock_guard<std::mutex> g(mu_);
            closed_ = true;
        }
        cv_.notify_all();
    }

private:
    bool ranked_;
    bool closed_ = false;
    std::mutex mu_;
    std::condition_variable cv_;
    std::deque<Job> pending_, urgent_;
};

static std::uint64_t merge_runs(std::uint32_t seed, int n) {
    std::vector<std::uint32_t> a(n), b(n), out(2 * n);
    for (int i = 0; i < n; ++i) {
        seed = seed * 1664525u + 1013904223u;
        a[i] = seed >> 4;
        seed = seed * 1664525u + 1013904223u;
        b[i] = seed >> 3;
    }
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    std::merge(a.begin(), a.end(), b.begin(), b.end(), out.begin());
    std::uint64_t h = 0;
    for (size_t i = 0; i < out.size(); i += 17) h = h * 31 + out[i];
    return h;
}

class Scheduler {
public:
    Scheduler(int workers, bool ranked) : queue_(ranked) {
        for (int i = 0; i < workers; ++i) pool_.emplace_back([this] { work(); });
    }
    void submit(Kind k, std::uint32_t seed) { queue_.push(Job{k, seed, Clock::now()}); }
    void finish() {
        queue_.close();
        for (auto& t : pool_) t.join();
    }
    std::uint64_t digest() const { return digest_; }
    std::vector<double>& query_ms() { return query_ms_; }

private:
    void work() {
        Job j;
        while (queue_.pop(j)) {
            if (j.kind == Kind::Compaction) run_compaction(j);
            else run_query(j);
        }
    }
    void run_compaction(const Job& j) { digest_ += merge_runs(j.seed, 25000); }
    void run_query(const Job& j) {
        digest_ += merge_runs(j.seed, 800);
        double ms = std::chrono::duration<double, std::milli>(Clock::now() - j.submitted).count();
        std::lock_guard<std::mutex> g(stat_mu_);
        query_ms_.push_back(ms);
    }
    JobQueue queue_;
    std::vector<std::thread> pool_;
    std::atomic<std::uint64_t> digest_{0};
    std::mutex stat_mu_;
    std::vector<double> query_ms_;
};

static void nightly(Scheduler& s) {
    for (int wave = 0; wave < 4; ++wave) {
        for (int i = 0; i < 500; ++i) s.submit(Kind::Compaction, wave * 1000 + i);
        std::this_thread::sleep_for(850ms);
    }
}

static void users(Scheduler& s) {
    for (int i = 0; i < 340; ++i) {
        s.submit(Kind::Query, 77 + i);
        std::this_thread::sleep_for(10ms);
    }
}

int main(int argc, char** argv) {
    bool ranked = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    Scheduler s(2, ranked);
    std::thread a(nightly, std::ref(s)), b(users, std::ref(s));
    a.join();
    b.join();
    s.finish();
    auto& q = s.query_ms();
    std::sort(q.begin(), q.end());
    double sec = std::chrono::duration<double>(Clock::now() - t0).count();
    std::printf("query p50=%.2fms p99=%.2fms\n", q[q.size() / 2], q[q.size() * 99 / 100]);
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)s.digest(), sec);
}
