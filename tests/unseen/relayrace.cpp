// SPDX-License-Identifier: Apache-2.0
// relayrace: bursts of short-lived runner threads pass a baton of work along; every
// runner waits on its own condition variable and wakes exactly its successor.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace race {

struct Baton {
    std::uint64_t value = 0;
    int legs = 0;
};

class Handover {
public:
    void give(Baton b) {
        {
            std::lock_guard<std::mutex> g(mu_);
            baton_ = b;
            ready_ = true;
        }
        cv_.notify_one();
    }
    Baton take() {
        std::unique_lock<std::mutex> lk(mu_);
        cv_.wait(lk, [this] { return ready_; });
        ready_ = false;
        return baton_;
    }

private:
    std::mutex mu_;
    std::condition_variable cv_;
    Baton baton_;
    bool ready_ = false;
};

static std::uint64_t run_leg(std::uint64_t v, int metres) {
    for (int i = 0; i < metres; ++i) {
        v ^= v << 13;
        v ^= v >> 7;
        v ^= v << 17;
    }
    return v;
}

class Team {
public:
    Team(int runners, std::uint64_t seed) : zones_(runners + 1), seed_(seed) {}

    Baton compete(int laps) {
        std::vector<std::thread> runners;
        runners.reserve(zones_.size() - 1);
        for (std::size_t i = 0; i + 1 < zones_.size(); ++i)
            runners.emplace_back([this, i, laps] { runner(i, laps); });
        Baton b{seed_ | 1, 0};
        for (int l = 0; l < laps; ++l) {
            zones_.front().give(b);
            b = zones_.back().take();
        }
        for (auto& t : runners) t.join();
        return b;
    }

private:
    void runner(std::size_t i, int laps) {
        for (int l = 0; l < laps; ++l) {
            Baton b = zones_[i].take();
            b.value = run_leg(b.value, 400000);
            ++b.legs;
            zones_[i + 1].give(b);
        }
    }
    std::vector<Handover> zones_;
    std::uint64_t seed_;
};

}  // namespace race

int main() {
    auto t0 = std::chrono::steady_clock::now();
    std::uint64_t sums[2] = {0, 0};
    // Two tracks run side by side, one per processor.
    std::vector<std::thread> tracks;
    for (int t = 0; t < 2; ++t)
        tracks.emplace_back([t, &sums] {
            for (int heat = 0; heat < 65; ++heat) {
                race::Team team(8, heat * 977u + t);
                race::Baton b = team.compete(8);
                sums[t] = sums[t] * 31 + b.value + b.legs;
            }
        });
    for (auto& t : tracks) t.join();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)(sums[0] * 7 + sums[1]),
                std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count());
}
