// SPDX-License-Identifier: Apache-2.0
// evserver: epoll key/value server at moderate load; clients think between requests.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <unordered_map>
#include <vector>

struct Msg {
    std::uint32_t op;
    std::uint32_t key;
    std::uint64_t value;
};

class Server {
public:
    Server() {
        lfd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(lfd_, (sockaddr*)&a, sizeof a) || ::listen(lfd_, 64)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(lfd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        ep_ = ::epoll_create1(0);
        add(lfd_);
        table_.reserve(20000);
    }
    ~Server() {
        ::close(ep_);
        ::close(lfd_);
    }
    int port() const { return port_; }
    void run(int sessions) {
        epoll_event ev[64];
        while (sessions > 0) {
            int n = ::epoll_wait(ep_, ev, 64, -1);
            for (int i = 0; i < n; ++i) {
                if (ev[i].data.fd == lfd_) accept_client();
                else if (!on_ready(ev[i].data.fd)) --sessions;
            }
        }
    }

private:
    void add(int fd) {
        epoll_event e{};
        e.events = EPOLLIN;
        e.data.fd = fd;
        ::epoll_ctl(ep_, EPOLL_CTL_ADD, fd, &e);
    }
    void accept_client() {
        int fd = ::accept(lfd_, nullptr, nullptr);
        int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        add(fd);
    }
    bool on_ready(int fd) {
        Msg m[32];
        ssize_t n = ::recv(fd, m, sizeof m, 0);
        if (n <= 0) {
            ::close(fd);
            return false;
        }
        std::size_t k = n / sizeof(Msg);
        for (std::size_t i = 0; i < k; ++i) apply(m[i]);
        return ::send(fd, m, k * sizeof(Msg), MSG_NOSIGNAL) > 0;
    }
    void apply(Msg& m) {
        if (m.op == 1) table_[m.key] = m.value;
        else {
            auto it = table_.find(m.key);
            m.value = it == table_.end() ? 0 : it->second;
        }
    }
    int lfd_, ep_, port_;
    std::unordered_map<std::uint32_t, std::uint64_t> table_;
};

static std::uint64_t client(int port, int id, int rounds) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, (sockaddr*)&a, sizeof a)) std::exit(3);
    int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    std::uint64_t sum = 0;
    for (int i = 0; i < rounds; ++i) {
        Msg m[8];
        for (int k = 0; k < 8; ++k) m[k] = {(std::uint32_t)(k < 4 ? 1 : 2), (std::uint32_t)(id * 1000 + (i * 5 + k % 4) % 900), (std::uint64_t)i * 3 + k % 4};
        if (::send(fd, m, sizeof m, MSG_NOSIGNAL) < 0) std::exit(4);
        if (::recv(fd, m, sizeof m, MSG_WAITALL) != sizeof m) std::exit(5);
        for (auto& r : m) sum = sum * 31 + r.value;
        std::this_thread::sleep_for(std::chrono::milliseconds(5 + id % 4));  // think time
    }
    ::close(fd);
    return sum;
}

int main() {
    auto t0 = std::chrono::steady_clock::now();
    Server s;
    std::atomic<std::uint64_t> sum{0};
    std::thread loop([&] { s.run(12); });
    std::vector<std::thread> cs;
    for (int i = 0; i < 12; ++i) cs.emplace_back([&, i] { sum += client(s.port(), i, 400); });
    for (auto& t : cs) t.join();
    loop.join();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum.load(),
                std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count());
}
