// SPDX-License-Identifier: Apache-2.0
// mediapipe: audio chunks run through decode -> resample -> pack, each stage on its own jthread(s).
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <numbers>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace media {

struct Chunk {
    std::uint32_t index = 0;
    std::vector<float> samples;
};

template <class T>
class Channel {
public:
    explicit Channel(std::size_t cap, int producers) : cap_(cap), producers_(producers) {}
    void send(T v) {
        std::unique_lock lk(mu_);
        room_.wait(lk, [&] { return q_.size() < cap_; });
        q_.push_back(std::move(v));
        lk.unlock();
        data_.notify_one();
    }
    std::optional<T> receive() {
        std::unique_lock lk(mu_);
        data_.wait(lk, [&] { return !q_.empty() || producers_ == 0; });
        if (q_.empty()) return std::nullopt;
        T v = std::move(q_.front());
        q_.pop_front();
        lk.unlock();
        room_.notify_one();
        return v;
    }
    void producer_done() {
        {
            std::lock_guard g(mu_);
            --producers_;
        }
        data_.notify_all();
    }

private:
    std::size_t cap_;
    int producers_;
    std::mutex mu_;
    std::condition_variable data_, room_;
    std::deque<T> q_;
};

class Decoder {
public:
    Chunk decode(std::uint32_t i) {
        Chunk c;
        c.index = i;
        c.samples.resize(2048);
        std::uint32_t x = i * 2654435761u + 1;
        float prev = 0;
        for (auto& s : c.samples) {
            x = x * 1664525u + 1013904223u;
            prev = 0.7f * prev + 0.3f * ((float)(x >> 8) / 16777216.0f - 0.5f);
            s = prev;
        }
        return c;
    }
};

class Resampler {
public:
    Resampler() {
        for (int p = 0; p < kPhases; ++p)
            for (int t = 0; t < kTaps; ++t) {
                double u = (t - kTaps / 2) + (double)p / kPhases;
                double s = std::abs(u) < 1e-9 ? 1.0 : std::sin(std::numbers::pi * u) / (std::numbers::pi * u);
                taps_[p][t] = (float)(s * (0.54 - 0.46 * std::cos(2 * std::numbers::pi * (t + 0.5) / kTaps)));
            }
    }
    Chunk resample(const Chunk& in) const {
        Chunk out;
        out.index = in.index;
        std::size_t n = in.samples.size() * 160 / 147;
        out.samples.resize(n);
        for (std::size_t i = 0; i < n; ++i) {
            std::size_t pos = i * 147 * kPhases / 160;
            std::size_t base = pos / kPhases, phase = pos % kPhases;
            float acc = 0;
            for (int t = 0; t < kTaps; ++t) {
                std::size_t k = base + t;
                acc += (k < in.samples.size() ? in.samples[k] : 0.f) * taps_[phase][t];
            }
            out.samples[i] = acc;
        }
        return out;
    }

private:
    static constexpr int kPhases = 32, kTaps = 256;
    float taps_[kPhases][kTaps];
};

class Packer {
public:
    void pack(const Chunk& c) {
        std::uint64_t h = 1469598103934665603ull;
        for (float s : c.samples) h = (h ^ (std::uint64_t)(std::int64_t)std::lround(s * 32767)) * 1099511628211ull;
        sum_ += h ^ c.index;
        ++count_;
    }
    std::uint64_t sum() const { return sum_ + count_; }

private:
    std::uint64_t sum_ = 0, count_ = 0;
};

class Pipeline {
public:
    explicit Pipeline(int resamplers) : resamplers_(resamplers), raw_(16, 1), ready_(16, resamplers) {}
    std::uint64_t run(std::uint32_t chunks) {
        Packer packer;
        {
            std::jthread dec([&] { decode_stage(chunks); });
            std::vector<std::jthread> mid;
            for (int i = 0; i < resamplers_; ++i) mid.emplace_back([this] { resample_stage(); });
            std::jthread out([&] { pack_stage(packer); });
        }
        return packer.sum();
    }

private:
    void decode_stage(std::uint32_t chunks) {
        Decoder d;
        for (std::uint32_t i = 0; i < chunks; ++i) raw_.send(d.decode(i));
        raw_.producer_done();
    }
    void resample_stage() {
        while (auto c = raw_.receive()) ready_.send(kernel_.resample(*c));
        ready_.producer_done();
    }
    void pack_stage(Packer& p) {
        while (auto c = ready_.receive()) p.pack(*c);
    }
    int resamplers_;
    Resampler kernel_;
    Channel<Chunk> raw_, ready_;
};

}  // namespace media

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    media::Pipeline p(fixed ? 2 : 1);
    std::uint64_t h = p.run(10500);
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)h, s);
}
