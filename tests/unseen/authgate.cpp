// SPDX-License-Identifier: Apache-2.0
// authgate: front door of a device fleet. One loop thread serves all devices; a token
// that isn't known yet is checked with the identity service over one connection.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

static int open_listener(int& port) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd, (sockaddr*)&a, sizeof a) || ::listen(fd, 64)) std::exit(2);
    socklen_t l = sizeof a;
    ::getsockname(fd, (sockaddr*)&a, &l);
    port = ntohs(a.sin_port);
    return fd;
}

static int dial(int port) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0), one = 1;
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)port);
    if (::connect(fd, (sockaddr*)&a, sizeof a)) std::exit(2);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void send_line(int fd, std::string s) {
    s.push_back('\n');
    if (::send(fd, s.data(), s.size(), MSG_NOSIGNAL) != (ssize_t)s.size()) std::exit(3);
}

// Splits what arrives on a descriptor into lines.
class LineReader {
public:
    explicit LineReader(int fd = -1) : fd_(fd) {}
    bool fill() {
        char b[4096];
        ssize_t n = ::read(fd_, b, sizeof b);
        if (n > 0) buf_.append(b, (size_t)n);
        return n > 0;
    }
    bool take(std::string& line) {
        size_t p = buf_.find('\n');
        if (p == std::string::npos) return false;
        line = buf_.substr(0, p);
        buf_.erase(0, p + 1);
        return true;
    }
    int fd() const { return fd_; }

private:
    int fd_;
    std::string buf_;
};

static std::uint64_t sign(const std::string& s, int rounds) {
    std::uint64_t h = 88172645463325252ull;
    for (int r = 0; r < rounds; ++r)
        for (unsigned char c : s) h = (h ^ c) * 1099511628211ull, h ^= h >> 31;
    return h;
}

// Identity service: every answer takes four milliseconds, any number may be under way.
static void identity_service(int lfd) {
    LineReader in(::accept(lfd, nullptr, nullptr));
    std::deque<std::pair<Clock::time_point, std::string>> due;
    pollfd p{in.fd(), POLLIN, 0};
    for (bool open = true; open || !due.empty();) {
        int wait = due.empty() ? -1 : (int)std::max<long>(0, 1 + std::chrono::duration_cast<std::chrono::milliseconds>(due.front().first - Clock::now()).count());
        if (::poll(&p, 1, wait) > 0) {
            if (!in.fill()) return;
            std::string l;
            while (in.take(l)) due.emplace_back(Clock::now() + std::chrono::microseconds(3500), l + " ok");
        }
        while (!due.empty() && due.front().first <= Clock::now()) {
            send_line(in.fd(), due.front().second);
            due.pop_front();
        }
    }
}

class Gate {
public:
    Gate(int lfd, int identity_port, bool deferred) : lfd_(lfd), identity_(dial(identity_port)), deferred_(deferred) {}

    void loop(int devices) {
        int gone = 0;
        while (gone < devices) {
            std::vector<pollfd> ps{{lfd_, POLLIN, 0}, {identity_.fd(), POLLIN, 0}};
            for (auto& [fd, r] : devices_) ps.push_back({fd, POLLIN, 0});
            if (::poll(ps.data(), ps.size(), -1) < 0) std::exit(4);
            if (ps[0].revents) admit();
            if (ps[1].revents) on_identity();
            for (size_t i = 2; i < ps.size(); ++i)
                if (ps[i].revents && !on_device(ps[i].fd)) ++gone;
        }
        ::close(identity_.fd());
    }

private:
    void admit() {
        int fd = ::accept(lfd_, nullptr, nullptr), one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        devices_.emplace(fd, LineReader(fd));
    }
    bool on_device(int fd) {
        auto& in = devices_.at(fd);
        if (!in.fill()) {
            ::close(fd);
            devices_.erase(fd);
            return false;
        }
        std::string l;
        while (in.take(l)) {
            std::string token = l.substr(0, l.find(' '));
            if (known_.count(token)) accept_report(fd, l);
            else if (deferred_) begin_check(fd, token, l);
            else if (token_valid(token)) accept_report(fd, l);
        }
        return true;
    }
    bool token_valid(const std::string& token) {
        send_line(identity_.fd(), token);
        std::string answer;
        while (!identity_.take(answer))
            if (!identity_.fill()) std::exit(5);
        known_[token] = 1;
        return answer == token + " ok";
    }
    void begin_check(int fd, const std::string& token, const std::string& l) {
        waiting_.emplace(token, std::make_pair(fd, l));
        send_line(identity_.fd(), token);
    }
    void on_identity() {
        if (!identity_.fill()) std::exit(5);
        std::string answer;
        while (identity_.take(answer)) {
            auto node = waiting_.extract(answer.substr(0, answer.find(' ')));
            known_[node.key()] = 1;
            accept_report(node.mapped().first, node.mapped().second);
        }
    }
    void accept_report(int fd, const std::string& l) { send_line(fd, std::to_string(sign(l, 2) % 100000)); }

    int lfd_;
    LineReader identity_;
    bool deferred_;
    std::map<int, LineReader> devices_;
    std::map<std::string, int> known_;
    std::multimap<std::string, std::pair<int, std::string>> waiting_;
};

static void device(int port, int me, int reports, std::uint64_t& sum, std::vector<double>& lat) {
    LineReader in(dial(port));
    for (int i = 0; i < reports; ++i) {
        std::string l = "t" + std::to_string(me) + "-" + std::to_string(i / 2) + " temp=" + std::to_string(i * me % 70);
        l += " mac=" + std::to_string(sign(l, 75000));
        auto t = Clock::now();
        send_line(in.fd(), l);
        std::string answer;
        while (!in.take(answer))
            if (!in.fill()) std::exit(6);
        lat.push_back(std::chrono::duration<double, std::milli>(Clock::now() - t).count());
        sum = sum * 31 + std::strtoull(answer.c_str(), nullptr, 10);
    }
    ::close(in.fd());
}

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    int gate_port, identity_port;
    int glfd = open_listener(gate_port), ilfd = open_listener(identity_port);
    std::thread identity(identity_service, ilfd);
    Gate gate(glfd, identity_port, fixed);
    const int kDevices = 12;
    std::thread loop([&] { gate.loop(kDevices); });
    std::vector<std::thread> devices;
    std::vector<std::uint64_t> sums(kDevices, 0);
    std::vector<std::vector<double>> lat(kDevices);
    for (int i = 0; i < kDevices; ++i)
        devices.emplace_back([&, i] { device(gate_port, i + 1, 110, sums[i], lat[i]); });
    for (auto& t : devices) t.join();
    loop.join();
    identity.join();
    std::uint64_t all = 0;
    for (auto s : sums) all = all * 7 + s;
    std::vector<double> every;
    for (auto& l : lat) every.insert(every.end(), l.begin(), l.end());
    std::sort(every.begin(), every.end());
    std::chrono::duration<double> d = Clock::now() - t0;
    std::printf("reports=%016llx p50_ms=%.2f p95_ms=%.2f seconds=%.3f\n", (unsigned long long)all,
                every[every.size() / 2], every[every.size() * 95 / 100], d.count());
}
