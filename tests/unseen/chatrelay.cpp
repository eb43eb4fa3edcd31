// SPDX-License-Identifier: Apache-2.0
// chatrelay: single-threaded epoll relay; clients send lines, the room echoes them,
// "/search" looks through the room's history.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

using Clock = std::chrono::steady_clock;

class History {
public:
    History() {
        std::uint32_t x = 99;
        for (int i = 0; i < 220000; ++i) {
            std::string s;
            for (int k = 0; k < 60; ++k) {
                x = x * 1664525u + 1013904223u;
                s.push_back((char)('a' + (x >> 16) % 20));
            }
            lines_.push_back(std::move(s));
        }
    }
    int search(const std::string& what) const {
        int best = 0;
        for (const auto& l : lines_) best += score(l, what);
        return best;
    }

private:
    static int score(const std::string& line, const std::string& what) {
        int hits = 0;
        for (size_t i = 0; i + what.size() <= line.size(); ++i) {
            size_t k = 0, same = 0;
            for (; k < what.size(); ++k) same += line[i + k] == what[k];
            if (same + 2 >= what.size()) ++hits;
        }
        return hits;
    }
    std::vector<std::string> lines_;
};

class Relay {
public:
    explicit Relay(bool offload) : offload_(offload) {
        lfd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(lfd_, (sockaddr*)&a, sizeof a) || ::listen(lfd_, 64)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(lfd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        ep_ = ::epoll_create1(0);
        wake_ = ::eventfd(0, EFD_NONBLOCK);
        watch(lfd_);
        watch(wake_);
    }
    int port() const { return port_; }

    void event_loop() {
        std::thread helper([this] { search_worker(); });
        epoll_event ev[32];
        while (!stop_) {
            int n = ::epoll_wait(ep_, ev, 32, 200);
            for (int i = 0; i < n; ++i) {
                int fd = ev[i].data.fd;
                if (fd == lfd_) admit();
                else if (fd == wake_) drain_results();
                else on_readable(fd);
            }
        }
        {
            std::lock_guard g(mu_);
            done_ = true;
        }
        cv_.notify_one();
        helper.join();
    }
    void stop() {
        stop_ = true;
        std::uint64_t one = 1;
        if (::write(wake_, &one, 8) < 0) std::abort();
    }

private:
    struct Ask {
        int fd;
        std::string what;
    };
    void watch(int fd) {
        epoll_event e{};
        e.events = EPOLLIN;
        e.data.fd = fd;
        ::epoll_ctl(ep_, EPOLL_CTL_ADD, fd, &e);
    }
    void admit() {
        int fd = ::accept(lfd_, nullptr, nullptr);
        int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd);
    }
    void on_readable(int fd) {
        char buf[2048];
        ssize_t n = ::read(fd, buf, sizeof buf);
        if (n <= 0) {
            ::close(fd);
            inbox_.erase(fd);
            return;
        }
        auto& in = inbox_[fd];
        in.append(buf, n);
        size_t p;
        while ((p = in.find('\n')) != std::string::npos) {
            on_message(fd, in.substr(0, p));
            in.erase(0, p + 1);
        }
    }
    void on_message(int fd, const std::string& m) {
        if (m.rfind("/search ", 0) == 0) {
            if (offload_) {
                std::lock_guard g(mu_);
                asks_.push_back({fd, m.substr(8)});
                cv_.notify_one();
            } else {
                answer(fd, std::to_string(history_.search(m.substr(8))));
            }
        } else {
            answer(fd, "room: " + m);
        }
    }
    void answer(int fd, std::string s) {
        s.push_back('\n');
        if (::send(fd, s.data(), s.size(), MSG_NOSIGNAL) < 0) ::shutdown(fd, SHUT_RDWR);
    }
    void search_worker() {
        std::unique_lock lk(mu_);
        for (;;) {
            cv_.wait(lk, [this] { return done_ || !asks_.empty(); });
            if (asks_.empty()) return;
            Ask a = std::move(asks_.front());
            asks_.pop_front();
            lk.unlock();
            std::string r = std::to_string(history_.search(a.what));
            lk.lock();
            results_.push_back({a.fd, r});
            std::uint64_t one = 1;
            if (::write(wake_, &one, 8) < 0) std::abort();
        }
    }
    void drain_results() {
        std::uint64_t v;
        if (::read(wake_, &v, 8) < 0) return;
        std::deque<Ask> r;
        {
            std::lock_guard g(mu_);
            r.swap(results_);
        }
        for (auto& a : r) answer(a.fd, a.what);
    }

    bool offload_;
    int lfd_, ep_, wake_, port_;
    std::atomic<bool> stop_{false};
    bool done_ = false;
    History history_;
    std::unordered_map<int, std::string> inbox_;
    std::mutex mu_;
    std::condition_variable cv_;
    std::deque<Ask> asks_, results_;
};

static std::string converse(int fd, const std::string& line) {
    std::string out = line + "\n", in;
    if (::send(fd, out.data(), out.size(), MSG_NOSIGNAL) < 0) std::exit(3);
    char b[512];
    while (in.empty() || in.back() != '\n') {
        ssize_t n = ::read(fd, b, sizeof b);
        if (n <= 0) std::exit(4);
        in.append(b, n);
    }
    return in;
}

static int dial(int port) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, (sockaddr*)&a, sizeof a)) std::exit(5);
    return fd;
}

int main(int argc, char** argv) {
    Relay relay(argc > 1 && !std::strcmp(argv[1], "fixed"));
    auto t0 = Clock::now();
    std::thread loop([&] { relay.event_loop(); });
    std::atomic<std::uint64_t> sum{0};
    std::mutex mu;
    std::vector<double> lat;
    std::vector<std::thread> cs;
    for (int c = 0; c < 6; ++c)
        cs.emplace_back([&, c] {
            int fd = dial(relay.port());
            std::vector<double> mine;
            for (int i = 0; i < 250; ++i) {
                auto s = Clock::now();
                sum += converse(fd, "hello " + std::to_string(c * 1000 + i)).size();
                mine.push_back(std::chrono::duration<double, std::milli>(Clock::now() - s).count());
                std::this_thread::sleep_until(s + std::chrono::milliseconds(12));
            }
            ::close(fd);
            std::lock_guard g(mu);
            lat.insert(lat.end(), mine.begin(), mine.end());
        });
    cs.emplace_back([&] {
        int fd = dial(relay.port());
        for (int i = 0; i < 28; ++i) {
            sum += std::stoul(converse(fd, "/search abcdefgh" + std::string(1, (char)('a' + i % 20))));
            std::this_thread::sleep_for(std::chrono::milliseconds(55));
        }
        ::close(fd);
    });
    for (auto& t : cs) t.join();
    relay.stop();
    loop.join();
    std::sort(lat.begin(), lat.end());
    std::printf("message p50=%.2fms p90=%.2fms p99=%.2fms\n", lat[lat.size() / 2], lat[lat.size() * 9 / 10], lat[lat.size() * 99 / 100]);
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum.load(),
                std::chrono::duration<double>(Clock::now() - t0).count());
}
