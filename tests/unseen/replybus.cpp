// SPDX-License-Identifier: Apache-2.0
// replybus: blocking client of a booking back end. Many agent threads share one
// connection; a reader thread hands every reply to the agent that waits for it.
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

struct Request {
    std::uint32_t id;
    std::string text;
};

struct Reply {
    std::uint32_t id = 0;
    std::uint64_t seat = 0;
    std::string wire;
};

static std::uint64_t stir(const std::string& s, int rounds) {
    std::uint64_t h = 0xcbf29ce484222325ull;
    for (int r = 0; r < rounds; ++r)
        for (unsigned char c : s) h = (h ^ c) * 0x100000001b3ull, h ^= h >> 29;
    return h;
}

// The back end: a round trip takes some 400 us and carries up to 40 requests.
class BackEnd {
public:
    void put(Request r) {
        std::lock_guard g(mu_);
        in_.push_back(std::move(r));
        cv_.notify_one();
    }
    bool round_trip(std::vector<Reply>& out) {
        out.clear();
        std::vector<Request> batch;
        {
            std::unique_lock lk(mu_);
            cv_.wait(lk, [this] { return closed_ || !in_.empty(); });
            while (!in_.empty() && batch.size() < 40) {
                batch.push_back(std::move(in_.front()));
                in_.pop_front();
            }
        }
        if (batch.empty()) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(300));
        for (auto& r : batch) out.push_back({r.id, 0, std::move(r.text)});
        return true;
    }
    void close() {
        std::lock_guard g(mu_);
        closed_ = true;
        cv_.notify_all();
    }

private:
    std::mutex mu_;
    std::condition_variable cv_;
    std::deque<Request> in_;
    bool closed_ = false;
};

class ReplyBoard {
public:
    virtual ~ReplyBoard() = default;
    virtual void announce(std::uint32_t id) = 0;
    virtual Reply await_reply(std::uint32_t id) = 0;
    virtual void deliver(const Reply& r) = 0;
};

class SharedBoard : public ReplyBoard {
public:
    void announce(std::uint32_t) override {}
    Reply await_reply(std::uint32_t id) override {
        std::unique_lock lk(mu_);
        arrived_.wait(lk, [&] { return replies_.count(id) != 0; });
        auto node = replies_.extract(id);
        return node.mapped();
    }
    void deliver(const Reply& r) override {
        std::lock_guard g(mu_);
        replies_.emplace(r.id, r);
        arrived_.notify_all();  // we can't know which of them waits for this one
    }

private:
    std::mutex mu_;
    std::condition_variable arrived_;
    std::unordered_map<std::uint32_t, Reply> replies_;
};

class SlottedBoard : public ReplyBoard {
    struct Slot {
        std::condition_variable cv;
        bool done = false;
        Reply reply;
    };

public:
    void announce(std::uint32_t id) override {
        std::lock_guard g(mu_);
        slots_[id];
    }
    Reply await_reply(std::uint32_t id) override {
        std::unique_lock lk(mu_);
        Slot& s = slots_.at(id);
        s.cv.wait(lk, [&] { return s.done; });
        Reply r = s.reply;
        slots_.erase(id);
        return r;
    }
    void deliver(const Reply& r) override {
        std::lock_guard g(mu_);
        Slot& s = slots_.at(r.id);
        s.reply = r;
        s.done = true;
        s.cv.notify_one();
    }

private:
    std::mutex mu_;
    std::unordered_map<std::uint32_t, Slot> slots_;
};

class BookingClient {
public:
    BookingClient(BackEnd& b, ReplyBoard& r) : back_(b), board_(r), reader_([this] { read_replies(); }) {}
    ~BookingClient() {
        back_.close();
        reader_.join();
    }
    Reply call(std::uint32_t id, std::string text) {
        board_.announce(id);
        back_.put({id, std::move(text)});
        return board_.await_reply(id);
    }

private:
    void read_replies() {
        std::vector<Reply> batch;
        while (back_.round_trip(batch))
            for (auto& r : batch) {
                r.seat = stir(r.wire, 500);
                board_.deliver(r);
            }
    }
    BackEnd& back_;
    ReplyBoard& board_;
    std::thread reader_;
};

static void agent(BookingClient& client, std::uint32_t me, int bookings, std::uint64_t& sum) {
    for (int i = 0; i < bookings; ++i) {
        std::string ask = "agent=" + std::to_string(me) + ";train=" + std::to_string(i % 90) + ";class=2;seats=";
        ask += std::to_string(1 + i % 4);
        std::uint64_t form = stir(ask, 400);
        Reply r = client.call(me << 16 | (std::uint32_t)i, ask + ";form=" + std::to_string(form & 0xffff));
        sum += r.seat ^ form;
    }
}

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    SharedBoard shared;
    SlottedBoard slotted;
    BackEnd back;
    const int kAgents = 56;
    std::vector<std::uint64_t> sums(kAgents, 0);
    {
        BookingClient client(back, fixed ? (ReplyBoard&)slotted : (ReplyBoard&)shared);
        std::vector<std::thread> agents;
        for (int a = 0; a < kAgents; ++a)
            agents.emplace_back([&, a] { agent(client, (std::uint32_t)a + 1, 340, sums[a]); });
        for (auto& t : agents) t.join();
    }
    std::uint64_t all = 0;
    for (auto s : sums) all = all * 3 + s;
    std::chrono::duration<double> d = std::chrono::steady_clock::now() - t0;
    std::printf("booked=%016llx seconds=%.3f\n", (unsigned long long)all, d.count());
}
