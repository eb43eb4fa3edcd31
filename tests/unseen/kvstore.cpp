// SPDX-License-Identifier: Apache-2.0
// kvstore: in-memory table with a write-ahead log; clients send batches of puts.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace kv {

struct Put {
    std::string key;
    std::string value;
};

static std::uint32_t fold_crc(std::uint32_t c, const char* p, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) c = (c << 5) ^ (c >> 27) ^ (unsigned char)p[i];
    return c;
}

class Wal {
public:
    enum class Sync { Record, Batch };
    Wal(const std::string& path, Sync s) : path_(path), sync_(s) {
        fd_ = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
        if (fd_ < 0) throw std::runtime_error("wal open");
    }
    ~Wal() {
        ::close(fd_);
        ::unlink(path_.c_str());
    }
    void append(const std::vector<Put>& batch) {
        std::string buf;
        for (const auto& p : batch) {
            encode(p, buf);
            if (sync_ == Sync::Record) {
                flush(buf);
                buf.clear();
            }
        }
        if (!buf.empty()) flush(buf);
    }
    std::uint64_t bytes() const { return bytes_; }

private:
    static void encode(const Put& p, std::string& out) {
        std::uint32_t h[3] = {(std::uint32_t)p.key.size(), (std::uint32_t)p.value.size(), 0};
        h[2] = fold_crc(fold_crc(7, p.key.data(), p.key.size()), p.value.data(), p.value.size());
        out.append(reinterpret_cast<const char*>(h), sizeof h);
        out += p.key;
        out += p.value;
    }
    void flush(const std::string& buf) {
        if (::write(fd_, buf.data(), buf.size()) != (ssize_t)buf.size()) throw std::runtime_error("wal write");
        ::fdatasync(fd_);
        bytes_ += buf.size();
    }
    std::string path_;
    Sync sync_;
    int fd_;
    std::uint64_t bytes_ = 0;
};

class Store {
public:
    Store(const std::string& wal, Wal::Sync s) : wal_(wal, s) {}
    void apply(std::vector<Put> batch) {
        std::lock_guard g(mu_);
        wal_.append(batch);
        for (auto& p : batch) table_.insert_or_assign(std::move(p.key), std::move(p.value));
    }
    std::uint64_t digest() {
        std::lock_guard g(mu_);
        std::uint64_t h = wal_.bytes();
        for (auto& [k, v] : table_) h = h * 131 + fold_crc(fold_crc(1, k.data(), k.size()), v.data(), v.size());
        return h;
    }

private:
    std::mutex mu_;
    Wal wal_;
    std::map<std::string, std::string> table_;
};

static void client_session(Store& s, int id, int batches, int per_batch) {
    std::uint32_t x = 2463534242u + id;
    for (int b = 0; b < batches; ++b) {
        std::vector<Put> puts;
        puts.reserve(per_batch);
        for (int i = 0; i < per_batch; ++i) {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            puts.push_back({"user:" + std::to_string(id) + ":" + std::to_string(x % 5000),
                            std::string(60 + x % 80, (char)('a' + x % 26))});
        }
        s.apply(std::move(puts));
    }
}

}  // namespace kv

#ifndef BATCHES
#define BATCHES 170
#endif

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    char dir[] = "/tmp/tailback_kvXXXXXX";
    if (!::mkdtemp(dir)) return 2;
    auto t0 = std::chrono::steady_clock::now();
    std::uint64_t h;
    {
        kv::Store store(std::string(dir) + "/wal.log", fixed ? kv::Wal::Sync::Batch : kv::Wal::Sync::Record);
        std::vector<std::thread> cs;
        for (int i = 0; i < 2; ++i) cs.emplace_back(kv::client_session, std::ref(store), i, BATCHES, 50);
        for (auto& t : cs) t.join();
        h = store.digest();
    }
    ::rmdir(dir);
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)h, s);
}
