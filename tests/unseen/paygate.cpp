// SPDX-License-Identifier: Apache-2.0
// Account gateway: many request handlers share one multiplexed connection to
// the ledger process; replies come back as they are ready and carry the call id.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace gateway {

#pragma pack(push, 1)
struct Frame {
    uint32_t call;
    uint32_t account;
    uint64_t amount;
    uint64_t token;
};
#pragma pack(pop)

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

// Buffered frame reader; one system call brings as many frames as are there.
class FrameReader {
public:
    explicit FrameReader(int fd) : fd_(fd), buf_(64 * 1024) {}
    bool drained() const { return end_ - at_ < sizeof(Frame); }
    bool next(Frame& f) {
        while (end_ - at_ < sizeof(Frame)) {
            if (at_ > 0) {
                std::memmove(buf_.data(), buf_.data() + at_, end_ - at_);
                end_ -= at_;
                at_ = 0;
            }
            ssize_t n = ::recv(fd_, buf_.data() + end_, buf_.size() - end_, 0);
            if (n <= 0) return false;
            end_ += size_t(n);
        }
        std::memcpy(&f, buf_.data() + at_, sizeof f);
        at_ += sizeof f;
        return true;
    }

private:
    int fd_;
    std::vector<char> buf_;
    size_t at_ = 0, end_ = 0;
};

bool write_all(int fd, const void* data, size_t n) {
    const char* p = static_cast<const char*>(data);
    while (n > 0) {
        ssize_t k = ::send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        p += k;
        n -= size_t(k);
    }
    return true;
}

uint64_t authorise(uint32_t account, uint64_t amount) {
    uint64_t h = (uint64_t(account) << 32) ^ amount;
    for (int i = 0; i < 600; ++i) {
        h ^= h >> 33;
        h *= 0xff51afd7ed558ccdull;
    }
    return h;
}

// The ledger process: books what has arrived as one group, in account order.
class Ledger {
public:
    explicit Ledger(size_t accounts) : balance_(accounts, 1'000'000) {
        listen_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (listen_ < 0 || ::bind(listen_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || ::listen(listen_, 8) != 0)
            die("listen");
        socklen_t len = sizeof a;
        ::getsockname(listen_, reinterpret_cast<sockaddr*>(&a), &len);
        port_ = ntohs(a.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~Ledger() {
        thread_.join();
        ::close(listen_);
    }
    uint16_t port() const { return port_; }
    uint64_t total() const {
        uint64_t t = 0;
        for (uint64_t b : balance_) t += b;
        return t;
    }

private:
    void serve() {
        int fd = ::accept(listen_, nullptr, nullptr);
        if (fd < 0) die("accept");
        int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        FrameReader in(fd);
        std::vector<Frame> group;
        group.reserve(kGroup);
        Frame f;
        while (in.next(f)) {
            group.push_back(f);
            if (!in.drained() && group.size() < kGroup) continue;
            settle(group);
            if (!write_all(fd, group.data(), group.size() * sizeof(Frame))) break;
            group.clear();
        }
        ::close(fd);
    }
    void settle(std::vector<Frame>& group) {
        std::sort(group.begin(), group.end(), [](const Frame& a, const Frame& b) { return a.account < b.account; });
        for (Frame& f : group) {
            balance_[f.account % balance_.size()] -= f.amount;
            f.token = authorise(f.account, f.amount);
        }
    }
    static constexpr size_t kGroup = 64;
    int listen_ = -1;
    uint16_t port_ = 0;
    std::vector<uint64_t> balance_;
    std::thread thread_;
};

class LedgerClient {
public:
    explicit LedgerClient(uint16_t port) {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_port = htons(port);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (fd_ < 0 || ::connect(fd_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) die("connect");
        int one = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        receiver_ = std::thread([this] { receive_loop(); });
    }
    ~LedgerClient() {
        ::shutdown(fd_, SHUT_WR);
        receiver_.join();
        ::close(fd_);
    }

    uint64_t debit(uint32_t account, uint64_t amount) {
        Call call;
        Frame f{next_call_.fetch_add(1, std::memory_order_relaxed), account, amount, 0};
        {
            std::lock_guard<std::mutex> g(mu_);
            calls_.emplace(f.call, &call);
        }
        {
            std::lock_guard<std::mutex> g(send_mu_);
            if (!write_all(fd_, &f, sizeof f)) die("send");
        }
        std::unique_lock<std::mutex> lk(mu_);
        call.answered.wait(lk, [&] { return call.done; });
        calls_.erase(f.call);
        return call.token;
    }

private:
    struct Call {
        bool done = false;
        uint64_t token = 0;
        std::condition_variable answered;
    };

    void deliver(const Frame& f) {
        std::lock_guard<std::mutex> g(mu_);
        auto it = calls_.find(f.call);
        if (it == calls_.end()) return;
        it->second->token = f.token;
        it->second->done = true;
        it->second->answered.notify_one();
    }
    void receive_loop() {
        FrameReader in(fd_);
        Frame f;
        while (in.next(f)) deliver(f);
    }

    int fd_ = -1;
    std::atomic<uint32_t> next_call_{1};
    std::mutex mu_;
    std::mutex send_mu_;
    std::unordered_map<uint32_t, Call*> calls_;
    std::thread receiver_;
};

// Audit journal: receipts form a hash chain, so they go in by ticket number.
class Journal {
public:
    explicit Journal(bool per_slot) : per_slot_(per_slot), slots_(kSlots) { page_.reserve(kPage + 256); }

    uint64_t issue() { return issued_.fetch_add(1, std::memory_order_relaxed); }

    void append(uint64_t ticket, const char* text, size_t n) {
        std::unique_lock<std::mutex> lk(mu_);
        std::condition_variable& gate = per_slot_ ? slots_[ticket % kSlots] : turn_;
        gate.wait(lk, [&] { return next_ == ticket; });
        for (size_t i = 0; i < n; ++i) chain_ = (chain_ ^ uint8_t(text[i])) * 1099511628211ull;
        page_.append(text, n);
        page_.append(reinterpret_cast<const char*>(&chain_), sizeof chain_);
        if (page_.size() >= kPage) seal();
        ++next_;
        if (per_slot_)
            slots_[next_ % kSlots].notify_one();
        else
            turn_.notify_all();
    }
    uint64_t chain() const { return chain_; }
    size_t pages() const { return pages_; }

private:
    void seal() {
        ++pages_;
        page_.clear();
    }
    static constexpr size_t kSlots = 128;  // more than there are handlers
    static constexpr size_t kPage = 32 * 1024;
    bool per_slot_;
    std::atomic<uint64_t> issued_{0};
    std::mutex mu_;
    std::condition_variable turn_;
    std::vector<std::condition_variable> slots_;
    uint64_t next_ = 0;
    uint64_t chain_ = 1469598103934665603ull;
    std::string page_;
    size_t pages_ = 0;
};

// One front-end handler: takes a ticket, debits, writes the receipt.
void handle_payments(LedgerClient& ledger, Journal& journal, uint64_t total) {
    char receipt[160];
    for (uint64_t ticket; (ticket = journal.issue()) < total;) {
        uint64_t r = (ticket + 1) * 0x9e3779b97f4a7c15ull;
        r ^= r >> 29, r *= 0xbf58476d1ce4e5b9ull, r ^= r >> 32;
        uint32_t account = uint32_t(r >> 16) % 50000;
        uint64_t amount = 100 + r % 900;
        uint64_t token = ledger.debit(account, amount);
        int n = std::snprintf(receipt, sizeof receipt, "ticket=%llu;acct=%u;amount=%llu.%02llu;token=%016llx\n",
                              (unsigned long long)ticket, account, (unsigned long long)(amount / 100),
                              (unsigned long long)(amount % 100), (unsigned long long)token);
        journal.append(ticket, receipt, size_t(n));
    }
}

}  // namespace gateway

int main(int argc, char** argv) {
    using namespace gateway;
    const bool per_slot = argc > 1 && !std::strcmp(argv[1], "fixed");
    constexpr unsigned kHandlers = 64;
    constexpr uint64_t kPayments = 12000;
    auto t0 = std::chrono::steady_clock::now();
    Ledger ledger(50000);
    Journal journal(per_slot);
    {
        LedgerClient client(ledger.port());
        std::vector<std::thread> handlers;
        for (unsigned i = 0; i < kHandlers; ++i)
            handlers.emplace_back([&] { handle_payments(client, journal, kPayments); });
        for (auto& t : handlers) t.join();
    }
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("payments=%llu pages=%zu chain=%016llx seconds=%.3f\n", (unsigned long long)kPayments, journal.pages(),
                (unsigned long long)journal.chain(), s);
    return 0;
}
