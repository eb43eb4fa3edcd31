// SPDX-License-Identifier: Apache-2.0
// quotes: prices shopping carts. Unit prices come from a pricing service that
// accepts many outstanding requests on one connection.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Wire {
    std::uint32_t id;
    std::uint32_t value;
};

// The remote side: answers every question 3 ms after it came in.
class PricingService {
public:
    PricingService() {
        lfd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(lfd_, (sockaddr*)&a, sizeof a) || ::listen(lfd_, 8)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(lfd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        thread_ = std::jthread([this] { answer_loop(); });
    }
    ~PricingService() {
        thread_.join();
        ::close(lfd_);
    }
    int port() const { return port_; }

private:
    void answer_loop() {
        int fd = ::accept(lfd_, nullptr, nullptr);
        int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        std::deque<std::pair<Clock::time_point, Wire>> due;
        for (;;) {
            timespec ts{1, 0};
            if (!due.empty()) {
                auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(due.front().first - Clock::now()).count();
                ts = {0, ns < 0 ? 0 : (long)ns};
            }
            pollfd p{fd, POLLIN, 0};
            if (::ppoll(&p, 1, &ts, nullptr) > 0) {
                Wire w[128];
                ssize_t n = ::recv(fd, w, sizeof w, 0);
                if (n <= 0) break;
                for (ssize_t i = 0; i < n / (ssize_t)sizeof(Wire); ++i)
                    due.emplace_back(Clock::now() + std::chrono::milliseconds(3), w[i]);
            }
            auto now = Clock::now();
            while (!due.empty() && due.front().first <= now) {
                Wire w = due.front().second;
                due.pop_front();
                w.value = 100 + (w.value * 2654435761u >> 20);
                if (::send(fd, &w, sizeof w, MSG_NOSIGNAL) < 0) break;
            }
        }
        ::close(fd);
    }
    int lfd_, port_;
    std::jthread thread_;
};

class PricingClient {
public:
    explicit PricingClient(int port) {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_port = htons(port);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, (sockaddr*)&a, sizeof a)) std::exit(3);
        int one = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        reader_ = std::jthread([this] { read_answers(); });
    }
    ~PricingClient() {
        ::shutdown(fd_, SHUT_RDWR);
        reader_.join();
        ::close(fd_);
    }
    std::future<std::uint32_t> ask(std::uint32_t sku) {
        std::promise<std::uint32_t> p;
        auto f = p.get_future();
        std::lock_guard g(mu_);
        Wire w{next_++, sku};
        waiting_.emplace(w.id, std::move(p));
        if (::send(fd_, &w, sizeof w, MSG_NOSIGNAL) < 0) std::exit(4);
        return f;
    }

private:
    void read_answers() {
        Wire w;
        while (::recv(fd_, &w, sizeof w, MSG_WAITALL) == sizeof w) {
            std::promise<std::uint32_t> p;
            {
                std::lock_guard g(mu_);
                auto it = waiting_.find(w.id);
                p = std::move(it->second);
                waiting_.erase(it);
            }
            p.set_value(w.value);
        }
    }
    int fd_;
    std::uint32_t next_ = 1;
    std::mutex mu_;
    std::unordered_map<std::uint32_t, std::promise<std::uint32_t>> waiting_;
    std::jthread reader_;
};

struct Line {
    std::uint32_t sku;
    std::uint32_t qty;
};

class CartPricer {
public:
    CartPricer(PricingClient& c, bool overlap) : client_(c), overlap_(overlap) {}
    std::uint64_t price_cart(std::span<const Line> cart) {
        std::uint64_t total = 0;
        if (overlap_) {
            std::vector<std::future<std::uint32_t>> fs;
            fs.reserve(cart.size());
            for (const auto& l : cart) fs.push_back(client_.ask(l.sku));
            for (std::size_t i = 0; i < cart.size(); ++i) total += add_tax(std::uint64_t(fs[i].get()) * cart[i].qty);
        } else {
            for (const auto& l : cart) total += add_tax(std::uint64_t(unit_price(l)) * l.qty);
        }
        return total;
    }

private:
    std::uint32_t unit_price(const Line& l) { return client_.ask(l.sku).get(); }
    static std::uint64_t add_tax(std::uint64_t net) { return net + net * 19 / 100; }
    PricingClient& client_;
    bool overlap_;
};

int main(int argc, char** argv) {
    bool overlap = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = Clock::now();
    std::uint64_t sum = 0;
    {
        PricingService svc;
        PricingClient client(svc.port());
        CartPricer pricer(client, overlap);
        std::uint32_t x = 5;
        for (int cart = 0; cart < 60; ++cart) {
            std::vector<Line> lines;
            for (int i = 0; i < 16; ++i) {
                x = x * 1664525u + 1013904223u;
                lines.push_back({x >> 12, 1 + (x >> 5) % 9});
            }
            sum = sum * 7 + pricer.price_cart(lines);
        }
    }
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum,
                std::chrono::duration<double>(Clock::now() - t0).count());
}
