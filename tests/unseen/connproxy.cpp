// SPDX-License-Identifier: Apache-2.0
// connproxy: accepts app requests and forwards them to an upstream that expects
// an authentication exchange at the start of each connection.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace net {

class Socket {
public:
    explicit Socket(int fd = -1) : fd_(fd) {
        int one = 1;
        if (fd >= 0) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    Socket(Socket&& o) noexcept : fd_(o.fd_) { o.fd_ = -1; }
    Socket& operator=(Socket&& o) noexcept {
        std::swap(fd_, o.fd_);
        return *this;
    }
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    template <class T>
    bool get(T& v) {
        return ::recv(fd_, &v, sizeof v, MSG_WAITALL) == (ssize_t)sizeof v;
    }
    template <class T>
    bool put(const T& v) {
        return ::send(fd_, &v, sizeof v, MSG_NOSIGNAL) == (ssize_t)sizeof v;
    }

private:
    int fd_;
};

static Socket dial(int port) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, (sockaddr*)&a, sizeof a)) {
        std::perror("connect");
        std::exit(3);
    }
    return Socket(fd);
}

class Listener {
public:
    template <class Fn>
    explicit Listener(Fn serve) {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(fd_, (sockaddr*)&a, sizeof a) || ::listen(fd_, 128)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(fd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        for (int i = 0; i < 5; ++i)
            loops_.emplace_back([this, serve] {
                for (;;) {
                    int c = ::accept(fd_, nullptr, nullptr);
                    if (c < 0) return;
                    Socket s(c);
                    serve(s);
                }
            });
    }
    ~Listener() {
        ::shutdown(fd_, SHUT_RDWR);
        for (auto& t : loops_) t.join();
        ::close(fd_);
    }
    int port() const { return port_; }

private:
    int fd_, port_;
    std::vector<std::thread> loops_;
};

}  // namespace net

struct Frame {
    std::uint32_t op;
    std::uint32_t key;
    std::uint64_t payload;
};

static void serve_upstream(net::Socket& s) {
    std::uint64_t token;
    if (!s.get(token)) return;
    std::this_thread::sleep_for(std::chrono::microseconds(2500));  // credentials check
    s.put(token ^ 0x5aa5ull);
    Frame f;
    while (s.get(f)) {
        f.payload = (f.key * 2654435761ull) ^ (f.payload << 1);
        s.put(f);
    }
}

class Upstream {
public:
    Upstream(int port, bool keep) : port_(port), keep_(keep) {}
    Frame call(const Frame& f) {
        net::Socket s = acquire();
        Frame r{};
        if (!s.put(f) || !s.get(r)) std::exit(4);
        release(std::move(s));
        return r;
    }

private:
    net::Socket acquire() {
        if (keep_) {
            std::lock_guard<std::mutex> g(mu_);
            if (!idle_.empty()) {
                net::Socket s = std::move(idle_.back());
                idle_.pop_back();
                return s;
            }
        }
        return open_session();
    }
    net::Socket open_session() {
        net::Socket s = net::dial(port_);
        std::uint64_t tok = 0xfeedbeef, ack = 0;
        s.put(tok);
        s.get(ack);
        if (ack != (tok ^ 0x5aa5ull)) std::exit(5);
        return s;
    }
    void release(net::Socket s) {
        if (!keep_) return;
        std::lock_guard<std::mutex> g(mu_);
        idle_.push_back(std::move(s));
    }
    int port_;
    bool keep_;
    std::mutex mu_;
    std::vector<net::Socket> idle_;
};

static std::uint64_t app_client(int port, int id, int n) {
    net::Socket s = net::dial(port);
    std::uint64_t sum = 0;
    for (int i = 0; i < n; ++i) {
        Frame f{1, (std::uint32_t)(id * 10000 + i), (std::uint64_t)i * 17};
        s.put(f);
        if (!s.get(f)) std::exit(6);
        sum = sum * 31 + f.payload;
    }
    return sum;
}

int main(int argc, char** argv) {
    bool keep = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    std::atomic<std::uint64_t> total{0};
    {
        net::Listener origin(serve_upstream);
        Upstream up(origin.port(), keep);
        net::Listener front([&up](net::Socket& s) {
            Frame f;
            while (s.get(f)) s.put(up.call(f));
        });
        std::vector<std::thread> apps;
        for (int i = 0; i < 4; ++i) apps.emplace_back([&, i] { total += app_client(front.port(), i, 900); });
        for (auto& t : apps) t.join();
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)total.load(), s);
}
