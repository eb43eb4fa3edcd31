// SPDX-License-Identifier: Apache-2.0
// fleetctl: control station of a warehouse robot fleet. Every command to a robot goes
// over an in-process bus and must not take longer than its deadline.
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::milliseconds;

struct Cancel {
    std::atomic<bool> expired{false};
};

class Deadline {
public:
    virtual ~Deadline() = default;
};

class DeadlineSource {
public:
    virtual ~DeadlineSource() = default;
    virtual std::unique_ptr<Deadline> arm(Millis limit, Cancel& c) = 0;
};

// A deadline that looks after itself.
class DeadlineGuard : public Deadline {
public:
    DeadlineGuard(Millis limit, Cancel& c) : watcher_([this, limit, &c] { watch(limit, c); }) {}
    ~DeadlineGuard() override {
        {
            std::lock_guard g(mu_);
            met_ = true;
        }
        cv_.notify_one();
        watcher_.join();
    }

private:
    void watch(Millis limit, Cancel& c) {
        std::unique_lock lk(mu_);
        if (!cv_.wait_for(lk, limit, [this] { return met_; })) c.expired = true;
    }
    std::mutex mu_;
    std::condition_variable cv_;
    bool met_ = false;
    std::thread watcher_;
};

class GuardSource : public DeadlineSource {
public:
    std::unique_ptr<Deadline> arm(Millis limit, Cancel& c) override {
        return std::make_unique<DeadlineGuard>(limit, c);
    }
};

// One thread minds the deadlines of all calls.
class DeadlineBoard : public DeadlineSource {
    using Book = std::multimap<Clock::time_point, Cancel*>;
    struct Entry : Deadline {
        Entry(DeadlineBoard& b, Book::iterator i) : board(b), it(i) {}
        ~Entry() override { board.strike(it); }
        DeadlineBoard& board;
        Book::iterator it;
    };

public:
    DeadlineBoard() : minder_([this] { mind(); }) {}
    ~DeadlineBoard() override {
        {
            std::lock_guard g(mu_);
            stop_ = true;
        }
        cv_.notify_one();
        minder_.join();
    }
    std::unique_ptr<Deadline> arm(Millis limit, Cancel& c) override {
        std::lock_guard g(mu_);
        return std::make_unique<Entry>(*this, book_.emplace(Clock::now() + limit, &c));
    }

private:
    void strike(Book::iterator it) {
        std::lock_guard g(mu_);
        book_.erase(it);
    }
    void mind() {
        std::unique_lock lk(mu_);
        while (!stop_) {
            auto now = Clock::now();
            for (auto& [at, c] : book_) {
                if (at > now) break;
                c->expired = true;
            }
            cv_.wait_for(lk, Millis(50));
        }
    }
    std::mutex mu_;
    std::condition_variable cv_;
    Book book_;
    bool stop_ = false;
    std::thread minder_;
};

struct Robot {
    std::uint32_t id;
    int x, y, battery;
};

struct Command {
    std::uint32_t robot, seq;
    std::int16_t dx, dy;
    std::uint8_t payload[3072];
};

constexpr std::array<std::uint32_t, 256> make_crc_table() {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        t[i] = i;
        for (int k = 0; k < 8; ++k) t[i] = t[i] >> 1 ^ (0xedb88320u & (0u - (t[i] & 1)));
    }
    return t;
}
constexpr auto kCrc = make_crc_table();

class Bus {
public:
    std::uint32_t exchange(Robot& r, const Command& c, const Cancel& cancel) {
        std::uint32_t crc = ~0u;
        for (std::uint8_t b : c.payload) {
            crc = crc >> 8 ^ kCrc[(crc ^ b) & 255];
            if (cancel.expired) return 0;
        }
        r.x += c.dx, r.y += c.dy;
        r.battery -= (c.dx | c.dy) != 0;
        return crc;
    }
};

class Controller {
public:
    Controller(Bus& bus, DeadlineSource& src, std::uint32_t first, int robots) : bus_(bus), deadlines_(src) {
        for (int i = 0; i < robots; ++i) fleet_.push_back({first + i, i % 40, i / 40, 20000});
    }
    void run(int rounds) {
        for (int k = 0; k < rounds; ++k)
            for (auto& r : fleet_) {
                Command c = plan(r, k);
                log_ = log_ * 31 + call(r, c);
            }
    }
    std::uint64_t log() const { return log_; }

private:
    static Command plan(const Robot& r, int round) {
        Command c{r.id, (std::uint32_t)round, 0, 0, {}};
        int best = 1 << 30;
        for (int dx = -1; dx <= 1; ++dx)
            for (int dy = -1; dy <= 1; ++dy) {
                int tx = (int)(r.id * 37 + round) % 100, ty = (int)(r.id * 11 + round / 3) % 100;
                int cost = (r.x + dx - tx) * (r.x + dx - tx) + (r.y + dy - ty) * (r.y + dy - ty);
                if (cost < best) best = cost, c.dx = (std::int16_t)dx, c.dy = (std::int16_t)dy;
            }
        for (size_t i = 0; i < sizeof c.payload; ++i) c.payload[i] = (std::uint8_t)(i * r.id + round);
        return c;
    }
    std::uint32_t call(Robot& r, const Command& c) {
        Cancel cancel;
        auto deadline = deadlines_.arm(Millis(2000), cancel);
        return bus_.exchange(r, c, cancel);
    }
    Bus& bus_;
    DeadlineSource& deadlines_;
    std::vector<Robot> fleet_;
    std::uint64_t log_ = 0;
};

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    std::unique_ptr<DeadlineSource> src;
    if (fixed) src = std::make_unique<DeadlineBoard>();
    else src = std::make_unique<GuardSource>();
    Bus bus;
    Controller north(bus, *src, 100, 250), south(bus, *src, 900, 250);
    std::thread a([&] { north.run(520); }), b([&] { south.run(400); });
    a.join();
    b.join();
    std::chrono::duration<double> d = Clock::now() - t0;
    std::printf("journal=%llu seconds=%.3f\n", (unsigned long long)(north.log() ^ south.log()), d.count());
}
