// SPDX-License-Identifier: Apache-2.0
// partnersync: nightly exchange with trading partners. A small pool renders statements
// and hands them to the partners' mailboxes, which are at times busy.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::milliseconds;

class Pool {
public:
    using Task = std::function<void()>;
    explicit Pool(int n) {
        for (int i = 0; i < n; ++i) threads_.emplace_back([this] { work(); });
    }
    ~Pool() {
        {
            std::lock_guard g(mu_);
            stop_ = true;
        }
        cv_.notify_all();
        for (auto& t : threads_) t.join();
    }
    void post(Task t) {
        {
            std::lock_guard g(mu_);
            tasks_.push_back(std::move(t));
        }
        cv_.notify_one();
    }

private:
    void work() {
        for (;;) {
            Task t;
            {
                std::unique_lock lk(mu_);
                cv_.wait(lk, [this] { return stop_ || !tasks_.empty(); });
                if (tasks_.empty()) return;
                t = std::move(tasks_.front());
                tasks_.pop_front();
            }
            t();
        }
    }
    std::mutex mu_;
    std::condition_variable cv_;
    std::deque<Task> tasks_;
    std::vector<std::thread> threads_;
    bool stop_ = false;
};

class Alarm {
public:
    Alarm() : thread_([this] { run(); }) {}
    ~Alarm() {
        {
            std::lock_guard g(mu_);
            stop_ = true;
        }
        cv_.notify_one();
        thread_.join();
    }
    void after(Millis d, std::function<void()> f) {
        {
            std::lock_guard g(mu_);
            due_.emplace(Clock::now() + d, std::move(f));
        }
        cv_.notify_one();
    }

private:
    void run() {
        std::unique_lock lk(mu_);
        while (!stop_) {
            if (due_.empty()) {
                cv_.wait(lk);
            } else if (due_.begin()->first > Clock::now()) {
                auto at = due_.begin()->first;
                cv_.wait_until(lk, at);
            } else {
                auto f = std::move(due_.extract(due_.begin()).mapped());
                lk.unlock();
                f();
                lk.lock();
            }
        }
    }
    std::mutex mu_;
    std::condition_variable cv_;
    std::multimap<Clock::time_point, std::function<void()>> due_;
    bool stop_ = false;
    std::thread thread_;
};

struct Statement {
    int partner, number;
    std::string body;
    std::uint64_t seal;
};

// A partner's mailbox takes one in four statements only at the third attempt.
class Mailbox {
public:
    bool offer(const Statement& s, int attempt) {
        if (s.number % 4 == 0 && attempt < 3) return false;
        std::uint64_t h = 1469598103934665603ull;
        for (unsigned char c : s.body) h = (h ^ c) * 1099511628211ull;
        digest_ += h ^ s.seal;
        return true;
    }
    std::uint64_t digest() const { return digest_; }

private:
    std::atomic<std::uint64_t> digest_{0};
};

class NightRun {
public:
    NightRun(int statements, bool patient) : left_(statements), patient_(patient) {
        for (int i = 0; i < statements; ++i) pool_.post([this, i] { deliver(render(i)); });
    }
    std::uint64_t finish() {
        std::unique_lock lk(mu_);
        cv_.wait(lk, [this] { return left_ == 0; });
        return box_.digest();
    }

private:
    static Statement render(int i) {
        Statement s{i % 40, i, {}, 0};
        std::uint32_t x = (std::uint32_t)i * 2654435761u;
        for (int line = 0; line < 1500; ++line) {
            x = x * 1664525u + 1013904223u;
            char row[96];
            int n = std::snprintf(row, sizeof row, "%06d;%08.2f;EUR;%03u;article %u\n", line, (x >> 8) / 1000.0, x % 997,
                                  x >> 18);
            s.body.append(row, (size_t)n);
        }
        s.seal = seal_of(s);
        return s;
    }
    static std::uint64_t seal_of(const Statement& s) {
        std::uint64_t k = 0x9e3779b97f4a7c15ull * (std::uint64_t)(s.partner + 1);
        for (int round = 0; round < 26; ++round)
            for (unsigned char c : s.body) k = (k ^ c) * 1099511628211ull + (k >> 59);
        return k;
    }
    void deliver(Statement s) {
        if (patient_) offer_again(std::move(s), 1);
        else with_backoff([&](int attempt) { return push_to_partner(s, attempt); });
    }
    bool push_to_partner(const Statement& s, int attempt) {
        if (!box_.offer(s, attempt)) return false;
        std::lock_guard g(mu_);
        if (--left_ == 0) cv_.notify_all();
        return true;
    }
    template <class F>
    static void with_backoff(F&& attempt_once) {
        Millis pause(15);
        for (int attempt = 1; !attempt_once(attempt); ++attempt) {
            std::this_thread::sleep_for(pause);
            pause *= 2;
        }
    }
    void offer_again(Statement s, int attempt) {
        if (push_to_partner(s, attempt)) return;
        alarm_.after(Millis(15 << (attempt - 1)), [this, s = std::move(s), attempt]() mutable {
            pool_.post([this, s = std::move(s), attempt]() mutable { offer_again(std::move(s), attempt + 1); });
        });
    }
    std::mutex mu_;
    std::condition_variable cv_;
    int left_;
    bool patient_;
    Mailbox box_;
    Alarm alarm_;
    Pool pool_{4};
};

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    NightRun run(1200, fixed);
    std::uint64_t digest = run.finish();
    std::chrono::duration<double> d = Clock::now() - t0;
    std::printf("delivered=%016llx seconds=%.3f\n", (unsigned long long)digest, d.count());
}
