// SPDX-License-Identifier: Apache-2.0
// csvimport: loads sensor readings from CSV text, coroutine row reader.
#include <charconv>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

template <class T>
class Generator {
public:
    struct promise_type {
        T value;
        Generator get_return_object() { return Generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(T v) {
            value = v;
            return {};
        }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
    explicit Generator(std::coroutine_handle<promise_type> h) : h_(h) {}
    Generator(const Generator&) = delete;
    ~Generator() { h_.destroy(); }
    bool next() {
        h_.resume();
        return !h_.done();
    }
    const T& value() const { return h_.promise().value; }

private:
    std::coroutine_handle<promise_type> h_;
};

static Generator<std::string_view> rows_of(std::string_view text) {
    while (!text.empty()) {
        std::size_t p = text.find('\n');
        if (p == std::string_view::npos) p = text.size() - 1;
        co_yield text.substr(0, p);
        text.remove_prefix(p + 1);
    }
}

class Columns {
public:
    explicit Columns(std::size_t n) : sums_(n), counts_(n), gaps_(n) {}
    void value(std::size_t c, double v) {
        sums_[c] += v;
        ++counts_[c];
    }
    void gap(std::size_t c) { ++gaps_[c]; }
    std::uint64_t digest() const {
        std::uint64_t h = 1;
        for (std::size_t i = 0; i < sums_.size(); ++i)
            h = h * 1099511628211ull + (std::uint64_t)(sums_[i] * 100) + counts_[i] * 3 + gaps_[i];
        return h;
    }

private:
    std::vector<double> sums_;
    std::vector<std::uint64_t> counts_, gaps_;
};

class Importer {
public:
    Importer(bool direct, std::size_t columns) : direct_(direct), cols_(columns), n_(columns) {}

    void load(std::string_view text) {
        auto rows = rows_of(text);
        while (rows.next()) import_row(rows.value());
    }
    std::uint64_t digest() const { return cols_.digest(); }

private:
    void import_row(std::string_view row) {
        for (std::size_t c = 0; c < n_; ++c) {
            std::size_t p = row.find(',');
            std::string_view cell = row.substr(0, p);
            row = p == std::string_view::npos ? std::string_view{} : row.substr(p + 1);
            if (direct_) {
                if (auto v = number_in(cell)) cols_.value(c, *v);
                else cols_.gap(c);
            } else {
                try {
                    cols_.value(c, to_number(std::string(cell)));
                } catch (const std::invalid_argument&) {
                    cols_.gap(c);
                }
            }
        }
    }
    static double to_number(const std::string& cell) {
        std::size_t used = 0;
        double v = std::stod(cell, &used);
        if (used != cell.size()) throw std::invalid_argument("trailing characters in '" + cell + "'");
        return v;
    }
    static std::optional<double> number_in(std::string_view cell) {
        double v;
        auto r = std::from_chars(cell.data(), cell.data() + cell.size(), v);
        if (r.ec != std::errc{} || r.ptr != cell.data() + cell.size()) return std::nullopt;
        return v;
    }
    bool direct_;
    Columns cols_;
    std::size_t n_;
};

static std::string export_of(int station, int rows) {
    std::string out;
    out.reserve(rows * 64);
    std::uint32_t x = 1000 + station;
    char b[32];
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < 12; ++c) {
            x = x * 1664525u + 1013904223u;
            if (c) out += ',';
            switch ((x >> 20) % 5) {
                case 0: break;
                case 1: out += "n/a"; break;
                default: out.append(b, std::snprintf(b, sizeof b, "%.2f", (x >> 8) % 100000 / 100.0));
            }
        }
        out += '\n';
    }
    return out;
}

int main(int argc, char** argv) {
    bool direct = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    Importer imp(direct, 12);
    for (int st = 0; st < 50; ++st) imp.load(export_of(st, 6000));
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)imp.digest(),
                std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count());
}
