// SPDX-License-Identifier: Apache-2.0
// link: -lz
// Media back end: a small pool of workers serves previews for users and pushes
// nightly album exports to the object store over a stream connection.
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

struct StoreHeader {
    uint32_t album;
    uint32_t bytes;
};

bool send_all(int fd, const void* data, size_t n) {
    const char* p = static_cast<const char*>(data);
    while (n > 0) {
        ssize_t k = ::send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        p += k;
        n -= size_t(k);
    }
    return true;
}

bool recv_all(int fd, void* data, size_t n) {
    char* p = static_cast<char*>(data);
    while (n > 0) {
        ssize_t k = ::recv(fd, p, n, 0);
        if (k <= 0) return false;
        p += k;
        n -= size_t(k);
    }
    return true;
}

// Remote object store as seen from this host: accepts one object per exchange
// and acknowledges once the replicas have it.
class ObjectStore {
public:
    ~ObjectStore() {
        for (auto& t : peers_) t.join();
    }
    int connect() {
        int sv[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0) {
            std::perror("socketpair");
            std::exit(1);
        }
        peers_.emplace_back([this, fd = sv[1]] { serve(fd); });
        return sv[0];
    }
    uint64_t digest() const { return digest_.load(); }

private:
    void serve(int fd) {
        std::vector<unsigned char> body;
        StoreHeader h;
        while (recv_all(fd, &h, sizeof h)) {
            body.resize(h.bytes);
            if (!recv_all(fd, body.data(), body.size())) break;
            uint32_t crc = uint32_t(::crc32(h.album, body.data(), uInt(body.size())));
            std::this_thread::sleep_for(milliseconds(55));
            digest_.fetch_add(uint64_t(crc) * (h.album + 1));
            if (!send_all(fd, &crc, sizeof crc)) break;
        }
        ::close(fd);
    }
    std::vector<std::thread> peers_;
    std::atomic<uint64_t> digest_{0};
};

class StoreClient {
public:
    explicit StoreClient(ObjectStore& s) : fd_(s.connect()) {}
    ~StoreClient() { ::close(fd_); }
    StoreClient(const StoreClient&) = delete;
    StoreClient& operator=(const StoreClient&) = delete;
    uint32_t upload(uint32_t album, const std::vector<unsigned char>& body) {
        StoreHeader h{album, uint32_t(body.size())};
        uint32_t crc = 0;
        if (!send_all(fd_, &h, sizeof h) || !send_all(fd_, body.data(), body.size()) || !recv_all(fd_, &crc, sizeof crc))
            std::fprintf(stderr, "store connection lost\n");
        return crc;
    }

private:
    int fd_;
};

enum class JobClass : uint8_t { Preview, Export };

struct Job {
    JobClass cls;
    uint32_t id;
    Clock::time_point arrived;
};

struct WorkerContext {
    explicit WorkerContext(ObjectStore& s) : store(s) {}
    StoreClient store;
    std::vector<unsigned char> raw, packed;
    std::vector<uint16_t> plane;
};

class JobRunner {
public:
    void operator()(const Job& job, WorkerContext& ctx) {
        if (job.cls == JobClass::Preview)
            make_preview(job, ctx);
        else
            export_album(job, ctx);
    }
    uint64_t preview_digest() const { return digest_.load(); }

private:
    static void load_image(uint32_t id, std::vector<unsigned char>& raw, size_t n) {
        raw.resize(n);
        uint64_t r = id * 0x9e3779b97f4a7c15ull + 1;
        for (size_t i = 0; i + 8 <= n; i += 8) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            uint64_t v = r & 0x0f0f0f0f0f0f0f0full;
            std::memcpy(&raw[i], &v, 8);
        }
    }
    // Box-filtered thumbnail of a 256x256 source.
    void make_preview(const Job& job, WorkerContext& ctx) {
        load_image(job.id, ctx.raw, 256 * 256);
        ctx.plane.assign(64 * 64, 0);
        for (size_t y = 0; y < 256; ++y)
            for (size_t x = 0; x < 256; ++x) ctx.plane[(y / 4) * 64 + x / 4] += ctx.raw[y * 256 + x];
        uint64_t h = job.id;
        for (uint16_t v : ctx.plane) h = h * 31 + v;
        digest_.fetch_add(h, std::memory_order_relaxed);
    }
    void export_album(const Job& job, WorkerContext& ctx) {
        load_image(job.id, ctx.raw, 64 * 1024);
        uLongf n = ::compressBound(uLong(ctx.raw.size()));
        ctx.packed.resize(n);
        ::compress2(ctx.packed.data(), &n, ctx.raw.data(), uLong(ctx.raw.size()), 1);
        ctx.packed.resize(n);
        ctx.store.upload(job.id, ctx.packed);
    }
    std::atomic<uint64_t> digest_{0};
};

class WorkerPool {
public:
    using Done = std::function<void(const Job&)>;

    // max_exports: how many workers may be occupied by exports at one time.
    WorkerPool(unsigned workers, unsigned max_exports, ObjectStore& store, JobRunner& runner, Done done)
        : max_exports_(max_exports), runner_(runner), done_(std::move(done)) {
        for (unsigned i = 0; i < workers; ++i)
            threads_.emplace_back([this, ctx = std::make_unique<WorkerContext>(store)] { work(*ctx); });
    }
    ~WorkerPool() { close(); }

    void submit(const Job& job) {
        {
            std::lock_guard<std::mutex> g(mu_);
            if (job.cls == JobClass::Export && max_exports_ < threads_.size())
                exports_.push_back(job);
            else
                queue_.push_back(job);
        }
        ready_.notify_one();
    }
    void close() {
        {
            std::lock_guard<std::mutex> g(mu_);
            closing_ = true;
        }
        ready_.notify_all();
        for (auto& t : threads_)
            if (t.joinable()) t.join();
    }

private:
    bool take(Job& out) {
        if (!queue_.empty()) {
            out = queue_.front();
            queue_.pop_front();
        } else if (!exports_.empty() && exporting_ < max_exports_) {
            out = exports_.front();
            exports_.pop_front();
        } else {
            return false;
        }
        exporting_ += out.cls == JobClass::Export;
        return true;
    }
    void work(WorkerContext& ctx) {
        std::unique_lock<std::mutex> lk(mu_);
        for (;;) {
            Job job;
            if (take(job)) {
                lk.unlock();
                runner_(job, ctx);
                done_(job);
                lk.lock();
                exporting_ -= job.cls == JobClass::Export;
                continue;
            }
            if (closing_ && queue_.empty() && exports_.empty()) return;
            if (closing_ && queue_.empty() && exporting_ >= max_exports_) return;
            ready_.wait(lk);
        }
    }
    unsigned max_exports_;
    JobRunner& runner_;
    Done done_;
    std::mutex mu_;
    std::condition_variable ready_;
    std::deque<Job> queue_;
    std::deque<Job> exports_;
    unsigned exporting_ = 0;
    bool closing_ = false;
    std::vector<std::thread> threads_;
};

class LatencyLog {
public:
    void add(Clock::duration d) {
        std::lock_guard<std::mutex> g(mu_);
        us_.push_back(uint32_t(std::chrono::duration_cast<microseconds>(d).count()));
    }
    double percentile_ms(double q) {
        std::lock_guard<std::mutex> g(mu_);
        if (us_.empty()) return 0;
        auto nth = us_.begin() + ptrdiff_t(q * double(us_.size() - 1));
        std::nth_element(us_.begin(), nth, us_.end());
        return *nth / 1000.0;
    }

private:
    std::mutex mu_;
    std::vector<uint32_t> us_;
};

// Arrival pattern of a recorded evening: previews steadily, albums in groups.
void replay_arrivals(WorkerPool& pool, unsigned ticks) {
    auto due = Clock::now();
    uint32_t preview = 0, album = 0;
    for (unsigned t = 0; t < ticks; ++t) {
        due += microseconds(1000);
        std::this_thread::sleep_until(due);
        auto now = Clock::now();
        pool.submit({JobClass::Preview, preview++, now});
        if (t % 3 == 0) pool.submit({JobClass::Preview, preview++, now});
        if (t % 320 == 40 && t + 320 < ticks)
            for (int i = 0; i < 9; ++i) pool.submit({JobClass::Export, album++, now});
    }
}

int main(int argc, char** argv) {
    constexpr unsigned kWorkers = 4;
    const unsigned max_exports = argc > 1 && !std::strcmp(argv[1], "fixed") ? kWorkers / 2 : kWorkers;
    ObjectStore store;
    JobRunner runner;
    LatencyLog previews;
    std::atomic<uint32_t> exported{0}, previewed{0};
    auto t0 = Clock::now();
    {
        WorkerPool pool(kWorkers, max_exports, store, runner, [&](const Job& j) {
            if (j.cls == JobClass::Export) {
                exported.fetch_add(1);
            } else {
                previewed.fetch_add(1);
                previews.add(Clock::now() - j.arrived);
            }
        });
        replay_arrivals(pool, 2600);
        pool.close();
    }
    double s = std::chrono::duration<double>(Clock::now() - t0).count();
    std::printf("previews=%u exports=%u preview_digest=%016llx store_digest=%016llx p99_ms=%.2f seconds=%.3f\n",
                previewed.load(), exported.load(), (unsigned long long)runner.preview_digest(),
                (unsigned long long)store.digest(), previews.percentile_ms(0.99), s);
    return 0;
}
