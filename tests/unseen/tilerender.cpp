// SPDX-License-Identifier: Apache-2.0
// link: -lz
// Map tile renderer: rasterises vector features of a tile into layered planes,
// adds a halo around labels, composites and encodes the result.
#include <sys/mman.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace tiles {

constexpr int kEdge = 256;
constexpr size_t kPixels = size_t(kEdge) * kEdge;

struct TileKey {
    uint32_t z, x, y;
};

struct Vertex {
    float x, y;
};

struct Feature {
    uint8_t layer;
    uint8_t shade;
    bool label;
    uint8_t count;
    std::array<Vertex, 6> pts;
};

// Working memory of one rendering: pages come from and go back to the kernel,
// so that a worker between two bursts keeps no memory.
class Scratch {
public:
    explicit Scratch(bool retain) : retain_(retain) {}
    ~Scratch() { unmap(); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    void open(size_t bytes) {
        used_ = 0;
        if (base_ && bytes <= size_) return;
        unmap();
        void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            std::perror("mmap");
            std::exit(1);
        }
        ::madvise(p, bytes, MADV_NOHUGEPAGE);
        base_ = static_cast<uint8_t*>(p);
        size_ = bytes;
    }
    template <class T>
    std::span<T> take(size_t n) {
        size_t at = (used_ + 63) & ~size_t(63);
        used_ = at + n * sizeof(T);
        return {reinterpret_cast<T*>(base_ + at), n};
    }
    void finish() {
        if (!retain_) unmap();
    }

private:
    void unmap() {
        if (base_) ::munmap(base_, size_);
        base_ = nullptr;
        size_ = 0;
    }
    bool retain_;
    uint8_t* base_ = nullptr;
    size_t size_ = 0;
    size_t used_ = 0;
};

class FeatureSource {
public:
    void query(const TileKey& k, std::vector<Feature>& out) const {
        out.clear();
        uint64_t r = (uint64_t(k.z) << 50) ^ (uint64_t(k.x) << 25) ^ k.y ^ 0x2545f4914f6cdd1dull;
        auto next = [&r] {
            r ^= r >> 12, r ^= r << 25, r ^= r >> 27;
            return uint32_t((r * 0x2545f4914f6cdd1dull) >> 33);
        };
        int n = 24 + int(next() % 16);
        for (int i = 0; i < n; ++i) {
            Feature f{};
            f.layer = uint8_t(next() % 3);
            f.shade = uint8_t(40 + next() % 200);
            f.label = next() % 4 == 0;
            f.count = uint8_t(3 + next() % 4);
            float cx = float(next() % kEdge), cy = float(next() % kEdge), rad = float(5 + next() % 24);
            for (int v = 0; v < f.count; ++v) {
                float a = 6.2831853f * float(v) / float(f.count);
                float rr = rad * (0.6f + float(next() % 100) / 250.0f);
                f.pts[size_t(v)] = {cx + rr * std::cos(a), cy + rr * std::sin(a)};
            }
            out.push_back(f);
        }
    }
};

class Renderer {
public:
    Renderer(bool retain) : scratch_(retain) {}
    uint32_t render(const TileKey& key);
    size_t encoded_bytes() const { return encoded_bytes_; }

private:
    void fill_polygon(std::span<uint8_t> plane, const Feature& f);
    void spread_halo(std::span<const uint8_t> ink, std::span<uint16_t> halo, const Feature& f);
    void composite(std::span<uint32_t> rgba, std::span<const uint8_t> l0, std::span<const uint8_t> l1,
                   std::span<const uint8_t> l2, std::span<const uint16_t> halo);
    size_t encode(std::span<const uint32_t> rgba, std::span<uint8_t> out);

    Scratch scratch_;
    FeatureSource source_;
    std::vector<Feature> features_;
    size_t encoded_bytes_ = 0;
};

void Renderer::fill_polygon(std::span<uint8_t> plane, const Feature& f) {
    float lo = 1e9f, hi = -1e9f;
    for (int i = 0; i < f.count; ++i) {
        lo = std::min(lo, f.pts[size_t(i)].y);
        hi = std::max(hi, f.pts[size_t(i)].y);
    }
    int y0 = std::max(0, int(lo)), y1 = std::min(kEdge - 1, int(hi));
    for (int y = y0; y <= y1; ++y) {
        std::array<float, 8> cuts{};
        size_t n = 0;
        for (int i = 0; i < f.count; ++i) {
            Vertex a = f.pts[size_t(i)], b = f.pts[size_t((i + 1) % f.count)];
            float yc = float(y) + 0.5f;
            if ((a.y <= yc) != (b.y <= yc)) cuts[n++] = a.x + (yc - a.y) * (b.x - a.x) / (b.y - a.y);
        }
        for (size_t i = 1; i < n; ++i)
            for (size_t j = i; j > 0 && cuts[j] < cuts[j - 1]; --j) std::swap(cuts[j], cuts[j - 1]);
        for (size_t i = 0; i + 1 < n; i += 2) {
            int xa = std::clamp(int(cuts[i]), 0, kEdge - 1), xb = std::clamp(int(cuts[i + 1]), 0, kEdge - 1);
            std::memset(&plane[size_t(y) * kEdge + size_t(xa)], f.shade, size_t(xb - xa + 1));
        }
    }
}

void Renderer::spread_halo(std::span<const uint8_t> ink, std::span<uint16_t> halo, const Feature& f) {
    int cx = std::clamp(int(f.pts[0].x), 8, kEdge - 9), cy = std::clamp(int(f.pts[0].y), 8, kEdge - 9);
    for (int y = cy - 6; y <= cy + 6; ++y)
        for (int x = cx - 6; x <= cx + 6; ++x) {
            unsigned acc = 0;
            for (int dy = -1; dy <= 1; ++dy)
                for (int dx = -1; dx <= 1; ++dx) acc += ink[size_t(y + dy) * kEdge + size_t(x + dx)];
            halo[size_t(y) * kEdge + size_t(x)] = uint16_t(std::max<unsigned>(halo[size_t(y) * kEdge + size_t(x)], acc));
        }
}

void Renderer::composite(std::span<uint32_t> rgba, std::span<const uint8_t> l0, std::span<const uint8_t> l1,
                         std::span<const uint8_t> l2, std::span<const uint16_t> halo) {
    for (size_t i = 0; i < kPixels; ++i) {
        uint32_t h = halo[i] >> 4;
        rgba[i] = 0xff000000u | (uint32_t(l0[i] | h) << 16) | (uint32_t(l1[i]) << 8) | l2[i];
    }
}

// Run-length encoding per row: count, colour.
size_t Renderer::encode(std::span<const uint32_t> rgba, std::span<uint8_t> out) {
    size_t n = 0;
    for (int y = 0; y < kEdge; ++y) {
        const uint32_t* row = &rgba[size_t(y) * kEdge];
        for (int x = 0; x < kEdge;) {
            int run = 1;
            while (x + run < kEdge && run < 255 && row[x + run] == row[x]) ++run;
            if (n + 5 > out.size()) return n;
            out[n] = uint8_t(run);
            std::memcpy(&out[n + 1], &row[x], 4);
            n += 5;
            x += run;
        }
    }
    return n;
}

uint32_t Renderer::render(const TileKey& key) {
    source_.query(key, features_);
    scratch_.open(kPixels * 11 + 4096);
    auto l0 = scratch_.take<uint8_t>(kPixels), l1 = scratch_.take<uint8_t>(kPixels), l2 = scratch_.take<uint8_t>(kPixels);
    auto halo = scratch_.take<uint16_t>(kPixels);
    auto rgba = scratch_.take<uint32_t>(kPixels);
    auto packed = scratch_.take<uint8_t>(kPixels * 2);
    std::memset(l0.data(), 0, kPixels);
    std::memset(l1.data(), 0, kPixels);
    std::memset(l2.data(), 0, kPixels);
    std::memset(halo.data(), 0, kPixels * sizeof(uint16_t));
    std::span<uint8_t> layers[3] = {l0, l1, l2};
    for (const Feature& f : features_) {
        fill_polygon(layers[f.layer], f);
        if (f.label) spread_halo(layers[f.layer], halo, f);
    }
    composite(rgba, l0, l1, l2, halo);
    size_t n = encode(rgba, packed);
    encoded_bytes_ += n;
    uint32_t sum = uint32_t(::crc32(0, packed.data(), uInt(n)));
    scratch_.finish();
    return sum;
}

class Service {
public:
    Service(unsigned workers, bool retain) : workers_(workers), retain_(retain) {}
    void run(uint32_t tiles) {
        std::atomic<uint32_t> next{0};
        std::vector<std::thread> pool;
        for (unsigned w = 0; w < workers_; ++w)
            pool.emplace_back([&, this] {
                Renderer r(retain_);
                uint64_t local = 0;
                for (uint32_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < tiles;)
                    local += uint64_t(r.render({12, i % 64, i / 64})) * (i + 1);
                std::lock_guard<std::mutex> g(mu_);
                digest_ += local;
                bytes_ += r.encoded_bytes();
            });
        for (auto& t : pool) t.join();
    }
    uint64_t digest() const { return digest_; }
    size_t bytes() const { return bytes_; }

private:
    unsigned workers_;
    bool retain_;
    std::mutex mu_;
    uint64_t digest_ = 0;
    size_t bytes_ = 0;
};

}  // namespace tiles

int main(int argc, char** argv) {
    bool retain = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    tiles::Service svc(2, retain);
    svc.run(6500);
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("digest=%016llx bytes=%zu seconds=%.3f\n", (unsigned long long)svc.digest(), svc.bytes(), s);
    return 0;
}
