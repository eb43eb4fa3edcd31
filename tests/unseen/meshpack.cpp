// SPDX-License-Identifier: Apache-2.0
// meshpack: bakes the pieces of a city model into one vertex and one index buffer per
// district, ready for upload.
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

struct Vec3 {
    float x, y, z;
};

struct Packed {
    std::int16_t pos[3];
    std::int8_t normal[3];
    std::uint8_t material;
};

struct Piece {
    std::vector<Vec3> points;
    std::vector<std::uint32_t> triangles;
    float angle;
    Vec3 origin;
    std::uint8_t material;
};

class Kit {
public:
    Kit() {
        for (int k = 0; k < 12; ++k) shapes_.push_back(tower(6 + k, 3 + k % 4));
    }
    Piece place(int i) const {
        Piece p = shapes_[i % shapes_.size()];
        p.angle = 0.13f * (float)i;
        p.origin = {(float)(i % 97) * 3.0f, 0.0f, (float)(i / 97) * 3.0f};
        p.material = (std::uint8_t)(i % 7);
        return p;
    }

private:
    static Piece tower(int sides, int floors) {
        Piece p{};
        for (int f = 0; f <= floors; ++f)
            for (int s = 0; s < sides; ++s) {
                float a = 6.2831853f * (float)s / (float)sides;
                p.points.push_back({std::cos(a), (float)f, std::sin(a)});
            }
        for (int f = 0; f < floors; ++f)
            for (int s = 0; s < sides; ++s) {
                std::uint32_t a = f * sides + s, b = f * sides + (s + 1) % sides;
                std::uint32_t c = a + sides, d = b + sides;
                for (std::uint32_t v : {a, b, c, b, d, c}) p.triangles.push_back(v);
            }
        return p;
    }
    std::vector<Piece> shapes_;
};

struct BakeOptions {
    bool exact_memory = true;  // never hold more than the district needs
};

template <class T>
class GpuBuffer {
public:
    explicit GpuBuffer(const BakeOptions& o) : exact_(o.exact_memory) {}
    // Announces n more elements, so that add() need not look at the capacity.
    void expect(size_t n) {
        if (exact_) data_.reserve(data_.size() + n);
    }
    void add(const T& v) { data_.push_back(v); }
    size_t size() const { return data_.size(); }
    std::uint64_t fingerprint() const {
        const auto* p = reinterpret_cast<const unsigned char*>(data_.data());
        std::uint64_t h = 1469598103934665603ull;
        for (size_t i = 0; i < data_.size() * sizeof(T); i += 16) h = (h ^ p[i]) * 1099511628211ull;
        return h;
    }

private:
    bool exact_;
    std::vector<T> data_;
};

class District {
public:
    explicit District(const BakeOptions& o) : vertices_(o), indices_(o) {}

    void append(const Piece& p) {
        std::vector<Vec3> placed = transform(p);
        std::vector<Vec3> normals = smooth_normals(placed, p.triangles);
        std::uint32_t base = (std::uint32_t)vertices_.size();
        vertices_.expect(placed.size());
        for (size_t i = 0; i < placed.size(); ++i) vertices_.add(quantise(placed[i], normals[i], p.material));
        indices_.expect(p.triangles.size());
        for (std::uint32_t t : p.triangles) indices_.add(base + t);
    }
    std::uint64_t seal() const { return vertices_.fingerprint() ^ indices_.fingerprint() * 3; }

private:
    static std::vector<Vec3> transform(const Piece& p) {
        std::vector<Vec3> out;
        out.reserve(p.points.size());
        for (const auto& v : p.points) {
            float wobble = 0.02f * std::sin(v.y * 3.0f + p.angle);
            float c = std::cos(p.angle + wobble), s = std::sin(p.angle + wobble);
            out.push_back({v.x * c - v.z * s + p.origin.x, v.y + p.origin.y, v.x * s + v.z * c + p.origin.z});
        }
        return out;
    }
    static std::vector<Vec3> smooth_normals(const std::vector<Vec3>& v, const std::vector<std::uint32_t>& t) {
        std::vector<Vec3> n(v.size(), Vec3{0, 0, 0});
        for (size_t i = 0; i + 2 < t.size(); i += 3) {
            const Vec3 &a = v[t[i]], &b = v[t[i + 1]], &c = v[t[i + 2]];
            Vec3 u{b.x - a.x, b.y - a.y, b.z - a.z}, w{c.x - a.x, c.y - a.y, c.z - a.z};
            Vec3 k{u.y * w.z - u.z * w.y, u.z * w.x - u.x * w.z, u.x * w.y - u.y * w.x};
            for (int j = 0; j < 3; ++j) {
                Vec3& m = n[t[i + j]];
                m.x += k.x, m.y += k.y, m.z += k.z;
            }
        }
        return n;
    }
    static Packed quantise(const Vec3& p, const Vec3& n, std::uint8_t material) {
        float len = std::sqrt(n.x * n.x + n.y * n.y + n.z * n.z) + 1e-6f;
        return {{(std::int16_t)(p.x * 64), (std::int16_t)(p.y * 64), (std::int16_t)(p.z * 64)},
                {(std::int8_t)(n.x / len * 127), (std::int8_t)(n.y / len * 127), (std::int8_t)(n.z / len * 127)},
                material};
    }
    GpuBuffer<Packed> vertices_;
    GpuBuffer<std::uint32_t> indices_;
};

int main(int argc, char** argv) {
    BakeOptions options;
    if (argc > 1 && !std::strcmp(argv[1], "fixed")) options.exact_memory = false;
    auto t0 = std::chrono::steady_clock::now();
    Kit kit;
    std::uint64_t seal = 0;
    for (int d = 0; d < 480; ++d) {
        District district(options);
        for (int i = 0; i < 700; ++i) district.append(kit.place(d * 31 + i));
        seal = seal * 5 + district.seal();
    }
    std::chrono::duration<double> s = std::chrono::steady_clock::now() - t0;
    std::printf("seal=%016llx seconds=%.3f\n", (unsigned long long)seal, s.count());
}
