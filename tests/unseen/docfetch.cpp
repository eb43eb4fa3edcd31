// SPDX-License-Identifier: Apache-2.0
// docfetch: pulls documents from storage nodes through a small task pool and
// counts words.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

class StorageNode {
public:
    StorageNode() {
        lfd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(lfd_, (sockaddr*)&a, sizeof a) || ::listen(lfd_, 64)) std::exit(2);
        socklen_t l = sizeof a;
        ::getsockname(lfd_, (sockaddr*)&a, &l);
        port_ = ntohs(a.sin_port);
        acceptor_ = std::thread([this] {
            int fd;
            while ((fd = ::accept(lfd_, nullptr, nullptr)) >= 0) conns_.emplace_back([fd] { serve_documents(fd); });
        });
    }
    ~StorageNode() {
        ::shutdown(lfd_, SHUT_RDWR);
        acceptor_.join();
        for (auto& t : conns_) t.join();
        ::close(lfd_);
    }
    int port() const { return port_; }

private:
    static void serve_documents(int fd) {
        int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        std::uint32_t id;
        char doc[2048];
        while (::recv(fd, &id, 4, MSG_WAITALL) == 4) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            std::uint32_t x = id + 1;
            for (auto& c : doc) {
                x = x * 1664525u + 1013904223u;
                c = (x >> 24) % 6 == 0 ? ' ' : (char)('a' + (x >> 16) % 26);
            }
            if (::send(fd, doc, sizeof doc, MSG_NOSIGNAL) < 0) break;
        }
        ::close(fd);
    }
    int lfd_, port_;
    std::thread acceptor_;
    std::vector<std::thread> conns_;
};

class TaskPool {
public:
    explicit TaskPool(unsigned n) {
        for (unsigned i = 0; i < n; ++i) threads_.emplace_back([this] { worker_main(); });
    }
    ~TaskPool() {
        {
            std::lock_guard<std::mutex> g(mu_);
            closing_ = true;
        }
        cv_.notify_all();
        for (auto& t : threads_) t.join();
    }
    template <class Fn>
    auto submit(Fn fn) -> std::future<decltype(fn())> {
        auto task = std::make_shared<std::packaged_task<decltype(fn())()>>(std::move(fn));
        auto f = task->get_future();
        {
            std::lock_guard<std::mutex> g(mu_);
            queue_.push([task] { (*task)(); });
        }
        cv_.notify_one();
        return f;
    }

private:
    void worker_main() {
        for (;;) {
            std::function<void()> fn;
            {
                std::unique_lock<std::mutex> lk(mu_);
                cv_.wait(lk, [this] { return closing_ || !queue_.empty(); });
                if (queue_.empty()) return;
                fn = std::move(queue_.front());
                queue_.pop();
            }
            fn();
        }
    }
    std::mutex mu_;
    std::condition_variable cv_;
    std::queue<std::function<void()>> queue_;
    bool closing_ = false;
    std::vector<std::thread> threads_;
};

class NodeLink {
public:
    explicit NodeLink(int port) {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_port = htons(port);
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, (sockaddr*)&a, sizeof a)) std::exit(3);
    }
    ~NodeLink() { ::close(fd_); }
    std::string read_document(std::uint32_t id) {
        if (::send(fd_, &id, 4, MSG_NOSIGNAL) != 4) std::exit(4);
        std::string d(2048, '\0');
        if (::recv(fd_, d.data(), d.size(), MSG_WAITALL) != (ssize_t)d.size()) std::exit(5);
        return d;
    }

private:
    int fd_;
};

static std::uint64_t count_words(const std::string& d) {
    std::uint64_t n = 0, h = 0;
    bool in = false;
    for (char c : d) {
        if (c == ' ') in = false;
        else {
            if (!in) ++n;
            in = true;
            h = h * 31 + (unsigned char)c;
        }
    }
    return h ^ n;
}

static std::uint64_t process_document(int port, std::uint32_t id) {
    thread_local std::unique_ptr<NodeLink> link;
    if (!link) link = std::make_unique<NodeLink>(port);
    return count_words(link->read_document(id));
}

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    std::uint64_t sum = 0;
    {
        StorageNode node;
        TaskPool pool(fixed ? 24 : std::max(2u, std::thread::hardware_concurrency()));
        std::vector<std::future<std::uint64_t>> fs;
        int port = node.port();
        for (std::uint32_t id = 0; id < 1100; ++id) fs.push_back(pool.submit([port, id] { return process_document(port, id); }));
        for (auto& f : fs) sum += f.get();
    }
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count());
}
