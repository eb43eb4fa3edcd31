// SPDX-License-Identifier: Apache-2.0
// stompd: single-threaded message broker. Publishers and subscribers talk to an epoll
// loop over TCP; messages of a topic go to all of its subscribers, writes are gathered.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

static sockaddr_in loopback(int port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)port);
    return a;
}

static void say(int fd, const std::string& s) {
    if (::send(fd, s.data(), s.size(), MSG_NOSIGNAL) < 0) std::exit(3);
}

class Session {
public:
    explicit Session(int fd) : fd_(fd) {}
    ~Session() { ::close(fd_); }
    bool fill() {
        char b[32768];
        ssize_t n = ::read(fd_, b, sizeof b);
        if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
        if (n > 0) in_.append(b, (size_t)n);
        return true;
    }
    template <class F>
    void each_frame(F&& f) {
        size_t at = 0, p;
        while ((p = in_.find('\n', at)) != std::string::npos) {
            f(std::string_view(in_).substr(at, p - at));
            at = p + 1;
        }
        in_.erase(0, at);
    }
    void queue(std::string_view s) { out_.append(s).push_back('\n'); }
    // True when everything has gone out.
    bool flush() {
        size_t at = 0;
        while (at < out_.size()) {
            ssize_t n = ::send(fd_, out_.data() + at, out_.size() - at, MSG_NOSIGNAL);
            if (n < 0) break;
            at += (size_t)n;
        }
        out_.erase(0, at);
        return out_.empty();
    }
    int fd() const { return fd_; }
    bool dirty = false, blocked = false;

private:
    int fd_;
    std::string in_, out_;
};

class Broker {
public:
    Broker() : ep_(::epoll_create1(0)) {
        lfd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        sockaddr_in a = loopback(0);
        if (::bind(lfd_, (sockaddr*)&a, sizeof a) || ::listen(lfd_, 64)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(lfd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        control(EPOLL_CTL_ADD, lfd_, EPOLLIN);
    }
    int port() const { return port_; }
    void run(int clients) {
        epoll_event ev[64];
        for (int gone = 0; gone < clients;) {
            int n = ::epoll_wait(ep_, ev, 64, -1);
            for (int i = 0; i < n; ++i) {
                int fd = ev[i].data.fd;
                if (fd == lfd_) admit();
                auto it = sessions_.find(fd);
                if (it == sessions_.end()) continue;
                if (ev[i].events & EPOLLOUT) mark(*it->second);
                if (ev[i].events & (EPOLLIN | EPOLLHUP) && !on_readable(*it->second)) {
                    drop(fd);
                    ++gone;
                }
            }
            flush_marked();
        }
    }
    std::uint64_t routed() const { return routed_; }

private:
    void control(int op, int fd, unsigned events) {
        epoll_event e{};
        e.events = events;
        e.data.fd = fd;
        ::epoll_ctl(ep_, op, fd, &e);
    }
    void admit() {
        int fd = ::accept4(lfd_, nullptr, nullptr, SOCK_NONBLOCK), one = 1;
        if (fd < 0) return;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        sessions_.emplace(fd, std::make_unique<Session>(fd));
        control(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    bool on_readable(Session& s) {
        if (!s.fill()) return false;
        s.each_frame([&](std::string_view f) { on_frame(s, f); });
        return true;
    }
    void on_frame(Session& s, std::string_view f) {
        std::string topic(f.substr(2, 4));
        if (f[0] == 'S') {
            topics_[topic].push_back(&s);
        } else {
            digest_ = digest_ * 31 + checked(f);
            for (Session* to : topics_[topic]) {
                to->queue(f.substr(2));
                mark(*to);
                ++routed_;
            }
        }
        s.queue("ok");
        mark(s);
    }
    // A checksum guards what is passed on.
    static std::uint32_t checked(std::string_view f) {
        std::uint32_t a = 1, b = 0;
        for (unsigned char c : f) a += c, b += a;
        return b << 16 ^ a;
    }
    void mark(Session& s) {
        if (!s.dirty) s.dirty = true, marked_.push_back(&s);
    }
    void flush_marked() {
        for (Session* s : marked_) {
            s->dirty = false;
            bool blocked = !s->flush();
            if (blocked == s->blocked) continue;
            s->blocked = blocked;
            control(EPOLL_CTL_MOD, s->fd(), blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        marked_.clear();
    }
    void drop(int fd) {
        Session* s = sessions_[fd].get();
        for (auto& [t, subs] : topics_) std::erase(subs, s);
        std::erase(marked_, s);
        sessions_.erase(fd);
    }
    int ep_, lfd_, port_;
    std::unordered_map<int, std::unique_ptr<Session>> sessions_;
    std::unordered_map<std::string, std::vector<Session*>> topics_;
    std::vector<Session*> marked_;
    std::uint64_t routed_ = 0, digest_ = 0;
};

static int dial(int port) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0), one = 1;
    sockaddr_in a = loopback(port);
    if (::connect(fd, (sockaddr*)&a, sizeof a)) std::exit(2);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

// Sends bursts of 200 and waits for as many answers.
static void publisher(int port, int me, int bursts) {
    int fd = dial(port);
    std::uint32_t x = (std::uint32_t)me;
    for (int b = 0; b < bursts; ++b) {
        std::string out;
        for (int i = 0; i < 200; ++i) {
            x = x * 1664525u + 1013904223u;
            out += "P t" + std::to_string(100 + (x >> 20) % 8) + " level=" + std::to_string(x % 9973) + " unit=hPa station=" + std::to_string(x % 640) + "\n";
        }
        say(fd, out);
        char buf[4096];
        for (ssize_t acks = 0, n; acks < 200; acks += std::count(buf, buf + n, '\n'))
            if ((n = ::read(fd, buf, sizeof buf)) <= 0) std::exit(4);
    }
    ::close(fd);
}

static void subscriber(int port, int topic, std::latch& ready, std::uint64_t& bytes) {
    int fd = dial(port);
    say(fd, "S t" + std::to_string(100 + topic) + "\n");
    static thread_local char buf[65536];
    if (::read(fd, buf, 3) != 3) std::exit(4);  // "ok"
    ready.count_down();
    for (ssize_t n; (n = ::read(fd, buf, sizeof buf)) > 0;) {
        bytes += (std::uint64_t)n;
        if (::memmem(buf, (size_t)n, "bye", 3)) break;
    }
    ::close(fd);
}

int main() {
    auto t0 = std::chrono::steady_clock::now();
    Broker broker;
    const int kSubs = 8, kPubs = 3;
    std::thread loop([&] { broker.run(kSubs + kPubs + 1); });
    std::vector<std::uint64_t> seen(kSubs, 0);
    std::vector<std::thread> subs, pubs;
    std::latch ready(kSubs);
    for (int i = 0; i < kSubs; ++i) subs.emplace_back([&, i] { subscriber(broker.port(), i, ready, seen[i]); });
    ready.wait();
    for (int i = 0; i < kPubs; ++i) pubs.emplace_back([&, i] { publisher(broker.port(), i + 1, 15500); });
    for (auto& t : pubs) t.join();
    int fd = dial(broker.port());
    for (int i = 0; i < kSubs; ++i) say(fd, "P t" + std::to_string(100 + i) + " bye\n");
    for (auto& t : subs) t.join();
    ::close(fd);
    loop.join();
    std::chrono::duration<double> s = std::chrono::steady_clock::now() - t0;
    std::printf("routed=%llu seconds=%.3f\n", (unsigned long long)broker.routed(), s.count());
}
