// SPDX-License-Identifier: Apache-2.0
// isobar: batch tool that draws pressure contours from a weather model. The field is
// smoothed step by step; bands of rows are handed out to as many threads as there are cores.
#include <atomic>
#include <barrier>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

class Field {
public:
    Field(int w, int h) : w_(w), h_(h), v_((size_t)w * h) {}
    float* row(int y) { return &v_[(size_t)y * w_]; }
    const float* row(int y) const { return &v_[(size_t)y * w_]; }
    int width() const { return w_; }
    int height() const { return h_; }

private:
    int w_, h_;
    std::vector<float> v_;
};

struct Segment {
    float x0, y0, x1, y1;
};

class BandClock {
public:
    explicit BandClock(int rows) : rows_(rows) {}
    bool next(int& from, int& to) {
        int b = at_.fetch_add(kBand, std::memory_order_relaxed);
        if (b >= rows_) return false;
        from = b;
        to = b + kBand < rows_ ? b + kBand : rows_;
        return true;
    }
    void rewind() { at_.store(0, std::memory_order_relaxed); }

private:
    static constexpr int kBand = 32;
    int rows_;
    std::atomic<int> at_{0};
};

static void fill_band(Field& f, int from, int to) {
    for (int y = from; y < to; ++y) {
        float* r = f.row(y);
        for (int x = 0; x < f.width(); ++x)
            r[x] = 1013.0f + 18.0f * std::sin(0.011f * (float)x) * std::cos(0.017f * (float)y) +
                   3.0f * std::sin(0.13f * (float)(x + y));
    }
}

static void smooth_band(const Field& in, Field& out, int from, int to) {
    int w = in.width(), h = in.height();
    for (int y = from; y < to; ++y) {
        const float *u = in.row(y ? y - 1 : y), *c = in.row(y), *d = in.row(y + 1 < h ? y + 1 : y);
        float* o = out.row(y);
        o[0] = c[0];
        o[w - 1] = c[w - 1];
        for (int x = 1; x + 1 < w; ++x)
            o[x] = 0.25f * c[x] + 0.125f * (c[x - 1] + c[x + 1] + u[x] + d[x]) +
                   0.0625f * (u[x - 1] + u[x + 1] + d[x - 1] + d[x + 1]);
    }
}

static void contour_band(const Field& f, int from, int to, float level, std::vector<Segment>& out) {
    int last = f.height() - 1;
    for (int y = from; y < to && y < last; ++y) {
        const float *a = f.row(y), *b = f.row(y + 1);
        for (int x = 0; x + 1 < f.width(); ++x) {
            float corner[4] = {a[x] - level, a[x + 1] - level, b[x + 1] - level, b[x] - level};
            float px[4], py[4];
            int n = 0;
            for (int k = 0; k < 4; ++k) {
                float p = corner[k], q = corner[(k + 1) & 3];
                if ((p > 0) == (q > 0)) continue;
                float t = p / (p - q);
                px[n] = (float)x + (k == 0 ? t : k == 1 ? 1.0f : k == 2 ? 1.0f - t : 0.0f);
                py[n++] = (float)y + (k == 0 ? 0.0f : k == 1 ? t : k == 2 ? 1.0f : 1.0f - t);
            }
            for (int k = 0; k + 1 < n; k += 2) out.push_back({px[k], py[k], px[k + 1], py[k + 1]});
        }
    }
}

class Drawing {
public:
    Drawing(int w, int h, int threads) : a_(w, h), b_(w, h), clock_(h), sync_(threads, Rewind{&clock_}), parts_(threads) {
        for (int t = 0; t < threads; ++t) threads_.emplace_back([this, t] { draw(parts_[t]); });
        for (auto& t : threads_) t.join();
    }
    double length() const {
        double sum = 0;
        for (auto& p : parts_) sum += p;
        return sum;
    }

private:
    struct Rewind {
        BandClock* c;
        void operator()() noexcept { c->rewind(); }
    };
    template <class F>
    void bands(F&& f) {
        int from, to;
        while (clock_.next(from, to)) f(from, to);
        sync_.arrive_and_wait();
    }
    void draw(double& length) {
        bands([&](int f, int t) { fill_band(a_, f, t); });
        for (int step = 0; step < 380; ++step) {
            bands([&](int f, int t) { smooth_band(a_, b_, f, t); });
            bands([&](int f, int t) { smooth_band(b_, a_, f, t); });
        }
        std::vector<Segment> lines;
        lines.reserve(1 << 16);
        for (int level = 0; level < 60; ++level)
            bands([&](int f, int t) {
                lines.clear();
                contour_band(a_, f, t, 995.0f + 0.6f * (float)level, lines);
                for (const auto& s : lines) length += std::hypot(s.x1 - s.x0, s.y1 - s.y0);
            });
    }
    Field a_, b_;
    BandClock clock_;
    std::barrier<Rewind> sync_;
    std::vector<double> parts_;
    std::vector<std::thread> threads_;
};

int main() {
    auto t0 = std::chrono::steady_clock::now();
    int cores = (int)std::thread::hardware_concurrency();
    Drawing d(2200, 1800, cores > 0 ? cores : 2);
    std::chrono::duration<double> s = std::chrono::steady_clock::now() - t0;
    std::printf("length=%.0f seconds=%.3f\n", d.length(), s.count());
}
