// SPDX-License-Identifier: Apache-2.0
// alertd: keeps hours of samples of many series in memory, evaluates alert rules as
// samples arrive and starts a notification hook for every alert that fires.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
extern char** environ;

struct Sample {
    std::uint32_t at;
    float value;
};

class Series {
public:
    static constexpr size_t kKeep = 14000;
    Series() : ring_(kKeep, Sample{0, 0.0f}) {}
    void add(Sample s) { ring_[next_++ % kKeep] = s; }
    float mean_of_last(size_t n) const {
        float sum = 0;
        for (size_t i = 0; i < n; ++i) sum += ring_[(next_ + kKeep - 1 - i) % kKeep].value;
        return sum / (float)n;
    }

private:
    std::vector<Sample> ring_;
    size_t next_ = kKeep;
};

class Hook {
public:
    virtual ~Hook() = default;
    // Starts the hook; gives its process.
    virtual pid_t launch(const std::string& text) = 0;
};

class ForkingHook : public Hook {
public:
    pid_t launch(const std::string& text) override {
        pid_t p = ::fork();
        if (p == 0) {
            int null = ::open("/dev/null", O_WRONLY);
            ::dup2(null, 1);
            ::execl("/bin/echo", "echo", text.c_str(), (char*)nullptr);
            ::_exit(127);
        }
        return p;
    }
};

class SpawningHook : public Hook {
public:
    pid_t launch(const std::string& text) override {
        pid_t p = -1;
        posix_spawn_file_actions_t fa;
        ::posix_spawn_file_actions_init(&fa);
        ::posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
        char* args[] = {(char*)"echo", (char*)text.c_str(), nullptr};
        if (::posix_spawn(&p, "/bin/echo", &fa, nullptr, args, environ)) p = -1;
        ::posix_spawn_file_actions_destroy(&fa);
        return p;
    }
};

class Notifier {
public:
    explicit Notifier(Hook& h) : hook_(h) {}
    void notify(std::uint32_t series, float level) {
        char text[80];
        std::snprintf(text, sizeof text, "series %u at %.1f", series, level);
        pid_t p = hook_.launch(text);
        if (p > 0) children_.push_back(p), ++sent_;
        reap(false);
    }
    void reap(bool all) {
        std::erase_if(children_, [all](pid_t p) {
            int st;
            return ::waitpid(p, &st, all ? 0 : WNOHANG) != 0;
        });
    }
    int sent() const { return sent_; }

private:
    Hook& hook_;
    std::vector<pid_t> children_;
    int sent_ = 0;
};

class Monitor {
public:
    Monitor(int series, Notifier& n) : series_(series), quiet_until_(series, 0), notifier_(n) { preload(); }

    void ingest(std::uint32_t tick) {
        for (std::uint32_t i = 0; i < series_.size(); ++i) {
            auto t = Clock::now();
            float v = 50.0f + 20.0f * std::sin(0.01f * (float)(tick + i * 13)) + noise();
            series_[i].add({tick, v});
            evaluate(i, tick);
            slowest_ = std::max(slowest_, std::chrono::duration<double, std::milli>(Clock::now() - t).count());
        }
    }
    double checksum() const { return checksum_; }
    double slowest_ms() const { return slowest_; }

private:
    void preload() {
        for (size_t k = 0; k < Series::kKeep; ++k)
            for (auto& s : series_) s.add({0, 50.0f});
    }
    float noise() {
        x_ = x_ * 1664525u + 1013904223u;
        return (float)(x_ >> 16) / 6553.6f;
    }
    void evaluate(std::uint32_t i, std::uint32_t tick) {
        float fast = series_[i].mean_of_last(20), slow = series_[i].mean_of_last(240);
        checksum_ += fast - slow;
        if (fast > 71.0f && fast > slow + 9.0f && quiet_until_[i] <= tick) {
            quiet_until_[i] = tick + 400;
            if (i % 64 == 0) notifier_.notify(i, fast);
        }
    }
    std::vector<Series> series_;
    std::vector<std::uint32_t> quiet_until_;
    Notifier& notifier_;
    std::uint32_t x_ = 9;
    double checksum_ = 0, slowest_ = 0;
};

int main(int argc, char** argv) {
    std::unique_ptr<Hook> hook = std::make_unique<ForkingHook>();
    if (argc > 1 && !std::strcmp(argv[1], "fixed")) hook = std::make_unique<SpawningHook>();
    auto t0 = Clock::now();
    Notifier notifier(*hook);
    Monitor monitor(5200, notifier);
    for (std::uint32_t tick = 1; tick <= 460; ++tick) monitor.ingest(tick);
    notifier.reap(true);
    std::chrono::duration<double> d = Clock::now() - t0;
    std::printf("alerts=%d checksum=%.3f slowest_ms=%.2f seconds=%.3f\n", notifier.sent(), monitor.checksum(),
                monitor.slowest_ms(), d.count());
}
