// SPDX-License-Identifier: Apache-2.0
// thumbsrv: thumbnail front end. Originals live in a blob store reached over TCP.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

using namespace std::chrono_literals;

namespace blob {
static void read_full(int fd, void* p, size_t n) {
    char* c = static_cast<char*>(p);
    while (n) {
        ssize_t k = ::read(fd, c, n);
        if (k <= 0) return;
        c += k;
        n -= k;
    }
}

// Stand-in for the remote blob store: 2 ms of "disk" per object.
class Store {
public:
    Store() {
        lfd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(lfd_, (sockaddr*)&a, sizeof a) || ::listen(lfd_, 64)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(lfd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        acceptor_ = std::thread([this] { accept_loop(); });
    }
    ~Store() {
        ::shutdown(lfd_, SHUT_RDWR);
        acceptor_.join();
        for (auto& t : conns_) t.join();
        ::close(lfd_);
    }
    int port() const { return port_; }

private:
    void accept_loop() {
        for (;;) {
            int fd = ::accept(lfd_, nullptr, nullptr);
            if (fd < 0) return;
            conns_.emplace_back([fd] { serve_blobs(fd); });
        }
    }
    static void serve_blobs(int fd) {
        int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        std::uint32_t id;
        std::vector<unsigned char> body(4096);
        while (::recv(fd, &id, sizeof id, MSG_WAITALL) == sizeof id) {
            std::this_thread::sleep_for(2ms);
            for (size_t i = 0; i < body.size(); ++i) body[i] = (unsigned char)(id * 31 + i * 7);
            if (::send(fd, body.data(), body.size(), MSG_NOSIGNAL) < 0) break;
        }
        ::close(fd);
    }
    int lfd_, port_;
    std::thread acceptor_;
    std::vector<std::thread> conns_;
};

class Client {
public:
    explicit Client(int port) {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_port = htons(port);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, (sockaddr*)&a, sizeof a)) std::exit(3);
    }
    ~Client() { ::close(fd_); }
    std::vector<unsigned char> fetch(std::uint32_t id) {
        if (::send(fd_, &id, sizeof id, MSG_NOSIGNAL) < 0) std::exit(4);
        std::vector<unsigned char> b(4096);
        read_full(fd_, b.data(), b.size());
        return b;
    }

private:
    int fd_;
};
}  // namespace blob

struct Thumb {
    std::vector<unsigned char> px;
};

static Thumb downscale(const std::vector<unsigned char>& in) {
    Thumb t;
    t.px.resize(in.size() / 16);
    for (size_t i = 0; i < t.px.size(); ++i) {
        unsigned s = 0;
        for (int k = 0; k < 16; ++k) s += in[i * 16 + k];
        t.px[i] = s / 16;
    }
    return t;
}

class ThumbCache {
public:
    explicit ThumbCache(bool narrow) : narrow_(narrow) {}

    unsigned long lookup(std::uint32_t id, blob::Client& origin) {
        std::unique_lock lk(mu_);
        auto it = items_.find(id);
        if (it == items_.end()) {
            if (narrow_) lk.unlock();
            Thumb t = downscale(origin.fetch(id));
            if (narrow_) lk.lock();
            it = items_.emplace(id, std::move(t)).first;
        }
        unsigned long s = 0;
        for (auto p : it->second.px) s += p;
        return s;
    }

private:
    bool narrow_;
    std::shared_mutex mu_;
    std::unordered_map<std::uint32_t, Thumb> items_;
};

static unsigned long serve_gallery(ThumbCache& cache, int port, int worker, int requests) {
    blob::Client origin(port);
    unsigned long sum = 0;
    std::uint32_t x = 12345u + worker * 977u;
    for (int i = 0; i < requests; ++i) {
        x = x * 1664525u + 1013904223u;
        sum += cache.lookup((x >> 8) % 1500, origin);
    }
    return sum;
}

int main(int argc, char** argv) {
    bool narrow = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    std::atomic<unsigned long> total{0};
    {
        blob::Store store;
        ThumbCache cache(narrow);
        std::vector<std::thread> ws;
        for (int w = 0; w < 8; ++w)
            ws.emplace_back([&, w] { total += serve_gallery(cache, store.port(), w, 400); });
        for (auto& t : ws) t.join();
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("checksum=%lu seconds=%.3f\n", total.load(), s);
}
