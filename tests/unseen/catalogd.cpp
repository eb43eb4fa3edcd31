// SPDX-License-Identifier: Apache-2.0
// Catalogue service core: quotes prices for line items, applies stock
// movements, and writes periodic checkpoints so that a restart is quick.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Item {
    uint64_t sku;
    uint32_t list_price_cents;
    uint32_t vendor;
    int32_t on_hand;
    uint32_t revision;
    uint16_t tier_qty[3];
    uint16_t tier_pct[3];
};

struct Quote {
    uint64_t sku = 0;
    uint64_t total_cents = 0;
    bool available = false;
};

class OutputFile {
public:
    explicit OutputFile(const std::string& path) : fd_(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644)) {
        if (fd_ < 0) {
            std::perror("open checkpoint");
            std::exit(1);
        }
        buf_.reserve(kFlushAt + 256);
    }
    ~OutputFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void field(uint64_t v, char end) {
        char tmp[24];
        auto r = std::to_chars(tmp, tmp + sizeof tmp, v);
        buf_.append(tmp, size_t(r.ptr - tmp));
        buf_.push_back(end);
    }
    // Closes a record with a check value over its text.
    void end_record() {
        uint32_t a = 1, b = 0;
        for (size_t i = record_; i < buf_.size(); ++i) {
            a = (a + uint8_t(buf_[i])) % 65521;
            b = (b + a) % 65521;
        }
        field(b << 16 | a, '\n');
        record_ = buf_.size();
        if (buf_.size() >= kFlushAt) drain();
    }
    void commit() {
        drain();
        if (::fdatasync(fd_) != 0) std::perror("fdatasync");
    }
    size_t bytes() const { return bytes_; }

private:
    static constexpr size_t kFlushAt = 128 * 1024;
    void drain() {
        size_t off = 0;
        while (off < buf_.size()) {
            ssize_t n = ::write(fd_, buf_.data() + off, buf_.size() - off);
            if (n < 0) {
                if (errno == EINTR) continue;
                std::perror("write checkpoint");
                std::exit(1);
            }
            off += size_t(n);
        }
        bytes_ += buf_.size();
        buf_.clear();
        record_ = 0;
    }
    int fd_;
    std::string buf_;
    size_t record_ = 0;
    size_t bytes_ = 0;
};

class Catalog {
public:
    explicit Catalog(size_t n) {
        items_.reserve(n);
        index_.reserve(n);
        uint64_t r = 88172645463325252ull;
        for (size_t i = 0; i < n; ++i) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            Item it{};
            it.sku = 4000000000ull + i * 7;
            it.list_price_cents = uint32_t(199 + r % 90000);
            it.vendor = uint32_t((r >> 20) % 4000);
            it.on_hand = int32_t(1000 + (r >> 40) % 3000);
            for (int t = 0; t < 3; ++t) {
                it.tier_qty[t] = uint16_t(5 * (t + 1) * (t + 1));
                it.tier_pct[t] = uint16_t(3 + 4 * t + (r >> (50 + t)) % 3);
            }
            index_.emplace(it.sku, uint32_t(items_.size()));
            items_.push_back(it);
        }
    }

    Quote quote(uint64_t sku, uint32_t qty) {
        std::lock_guard<std::mutex> g(mu_);
        Quote q;
        auto it = index_.find(sku);
        if (it == index_.end()) return q;
        const Item& item = items_[it->second];
        uint32_t pct = 0;
        for (int t = 0; t < 3; ++t)
            if (qty >= item.tier_qty[t]) pct = item.tier_pct[t];
        q.sku = sku;
        q.total_cents = uint64_t(item.list_price_cents) * qty * (100 - pct) / 100;
        q.available = item.on_hand >= int32_t(qty);
        return q;
    }

    void move_stock(uint64_t sku, int32_t delta) {
        std::lock_guard<std::mutex> g(mu_);
        auto it = index_.find(sku);
        if (it == index_.end()) return;
        Item& item = items_[it->second];
        item.on_hand += delta;
        ++item.revision;
    }

    size_t save(const std::string& path) {
        OutputFile out(path);
        std::lock_guard<std::mutex> g(mu_);
        emit(out, items_);
        out.commit();
        return out.bytes();
    }

    size_t save_from_copy(const std::string& path) {
        OutputFile out(path);
        scratch_.reserve(items_.size());
        {
            std::lock_guard<std::mutex> g(mu_);
            scratch_.assign(items_.begin(), items_.end());
        }
        emit(out, scratch_);
        out.commit();
        return out.bytes();
    }

    int64_t total_on_hand() {
        std::lock_guard<std::mutex> g(mu_);
        int64_t sum = 0;
        for (const Item& i : items_) sum += i.on_hand;
        return sum;
    }

private:
    static void emit(OutputFile& out, const std::vector<Item>& rows) {
        for (const Item& i : rows) {
            out.field(i.sku, ',');
            out.field(i.list_price_cents, ',');
            out.field(i.vendor, ',');
            out.field(uint64_t(int64_t(i.on_hand) + (1ll << 31)), ',');
            out.field(i.revision, ',');
            for (int t = 0; t < 3; ++t) {
                out.field(i.tier_qty[t], ':');
                out.field(i.tier_pct[t], ',');
            }
            out.end_record();
        }
    }
    std::mutex mu_;
    std::vector<Item> items_;
    std::vector<Item> scratch_;
    std::unordered_map<uint64_t, uint32_t> index_;
};

class Checkpointer {
public:
    Checkpointer(Catalog& c, std::string dir, bool from_copy) : cat_(c), dir_(std::move(dir)), from_copy_(from_copy) {}

    void run(int rounds, std::chrono::milliseconds every) {
        auto next = Clock::now() + every;
        for (int i = 0; i < rounds; ++i) {
            std::this_thread::sleep_until(next);
            next += every;
            std::string tmp = dir_ + "/catalog.tmp", final_path = dir_ + "/catalog.ckp";
            bytes_ += from_copy_ ? cat_.save_from_copy(tmp) : cat_.save(tmp);
            if (::rename(tmp.c_str(), final_path.c_str()) != 0) std::perror("rename");
            ++written_;
        }
    }
    int written() const { return written_; }

private:
    Catalog& cat_;
    std::string dir_;
    bool from_copy_;
    size_t bytes_ = 0;
    int written_ = 0;
};

// One front-end session stream: requests arrive at a fixed rate.
class Frontend {
public:
    Frontend(Catalog& c, int id, size_t items) : cat_(c), rng_(0x9e3779b97f4a7c15ull * uint64_t(id + 1)), items_(items) {}

    void run(int requests, std::chrono::microseconds gap) {
        latency_us_.reserve(size_t(requests));
        auto due = Clock::now();
        for (int i = 0; i < requests; ++i) {
            due += gap;
            std::this_thread::sleep_until(due);
            handle();
            latency_us_.push_back(
                uint32_t(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - due).count()));
        }
    }
    const std::vector<uint32_t>& latencies() const { return latency_us_; }
    uint64_t quoted() const { return quoted_; }

private:
    uint64_t pick() {
        rng_ ^= rng_ << 13, rng_ ^= rng_ >> 7, rng_ ^= rng_ << 17;
        return rng_;
    }
    void handle() {
        uint32_t lines = 8 + uint32_t(pick() % 24);
        uint64_t basket = 0;
        for (uint32_t l = 0; l < lines; ++l) {
            uint64_t r = pick();
            uint64_t sku = 4000000000ull + (r >> 8) % items_ * 7;
            uint32_t qty = 1 + uint32_t(r % 60);
            Quote q = cat_.quote(sku, qty);
            basket += q.total_cents;
            if (l % 8 == 0) cat_.move_stock(sku, (r & 64) ? 1 : -1);
        }
        quoted_ += basket;
    }
    Catalog& cat_;
    uint64_t rng_;
    size_t items_;
    uint64_t quoted_ = 0;
    std::vector<uint32_t> latency_us_;
};

int main(int argc, char** argv) {
    const bool from_copy = argc > 1 && !std::strcmp(argv[1], "fixed");
    const char* base = std::getenv("TMPDIR");
    std::string tmpl = std::string(base && *base ? base : "/tmp") + "/catalogdXXXXXX";
    if (!::mkdtemp(tmpl.data())) {
        std::perror("mkdtemp");
        return 1;
    }
    constexpr size_t kItems = 120000;
    Catalog catalog(kItems);
    Checkpointer ckp(catalog, tmpl, from_copy);
    std::vector<Frontend> fronts;
    for (int i = 0; i < 4; ++i) fronts.emplace_back(catalog, i, kItems);

    auto t0 = Clock::now();
    std::vector<std::thread> threads;
    threads.emplace_back([&] { ckp.run(14, std::chrono::milliseconds(150)); });
    for (auto& f : fronts) threads.emplace_back([&f] { f.run(5000, std::chrono::microseconds(450)); });
    for (auto& t : threads) t.join();
    double s = std::chrono::duration<double>(Clock::now() - t0).count();

    std::vector<uint32_t> all;
    uint64_t quoted = 0;
    for (auto& f : fronts) {
        all.insert(all.end(), f.latencies().begin(), f.latencies().end());
        quoted += f.quoted();
    }
    auto nth = all.begin() + ptrdiff_t(all.size() * 99 / 100);
    std::nth_element(all.begin(), nth, all.end());
    ::unlink((tmpl + "/catalog.ckp").c_str());
    ::rmdir(tmpl.c_str());
    std::printf("quoted=%llu on_hand=%lld checkpoints=%d p99_ms=%.2f seconds=%.3f\n", (unsigned long long)quoted,
                (long long)catalog.total_on_hand(), ckp.written(), *nth / 1000.0, s);
    return 0;
}
