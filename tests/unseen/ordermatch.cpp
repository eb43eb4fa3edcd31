// SPDX-License-Identifier: Apache-2.0
// ordermatch: limit order book, price/time priority, one instrument per book.
#include <sys/time.h>
#include <stdio.h>
#include <string.h>
#include <algorithm>
#include <vector>

typedef unsigned long long u64;

struct Order {
    u64 seq;
    int price;
    int qty;
    int owner;
    char side;
    char tif;
    char tag[14];
};

// Worst price first so that the best order sits at the back.
struct BidLess {
    bool operator()(const Order& a, const Order& b) const {
        if (a.price != b.price) return a.price < b.price;
        return a.seq > b.seq;
    }
};
struct AskLess {
    bool operator()(const Order& a, const Order& b) const {
        if (a.price != b.price) return a.price > b.price;
        return a.seq > b.seq;
    }
};

class Random {
public:
    Random(u64 s) : s_(s) {}
    unsigned next() {
        s_ ^= s_ << 13;
        s_ ^= s_ >> 7;
        s_ ^= s_ << 17;
        return (unsigned)(s_ >> 11);
    }
private:
    u64 s_;
};

class OrderBook {
public:
    OrderBook(bool placed) : placed_(placed), trades_(0), volume_(0), hash_(17) { memset(exposure_, 0, sizeof exposure_); }

    // Sum of open exposure over all owners; orders beyond the limit are flagged.
    long margin(const Order& o) {
        exposure_[o.owner][o.seq % kSlots] += (o.side == 'B' ? 1 : -1) * (long)o.qty * (o.price - 9000);
        long worst = 0;
        for (int w = 0; w < kOwners; ++w) {
            long net = 0;
            for (int s = 0; s < kSlots; ++s) net += exposure_[w][s];
            if (net < 0) net = -net;
            if (net > worst) worst = net;
        }
        return worst;
    }

    void submit(Order o) {
        if (margin(o) > 400000) hash_ ^= o.seq;
        if (o.side == 'B') {
            cross(o, asks_, true);
            if (o.qty > 0) rest(o, bids_, BidLess());
        } else {
            cross(o, bids_, false);
            if (o.qty > 0) rest(o, asks_, AskLess());
        }
    }

    void expire(u64 before) {
        drop_older(bids_, before);
        drop_older(asks_, before);
    }

    u64 trades() const { return trades_; }
    u64 digest() const { return hash_ ^ volume_ ^ (bids_.size() << 20) ^ asks_.size(); }
    size_t depth() const { return bids_.size() + asks_.size(); }

private:
    template <class Less>
    void rest(const Order& o, std::vector<Order>& side, Less less) {
        if (placed_) {
            side.insert(std::upper_bound(side.begin(), side.end(), o, less), o);
        } else {
            side.push_back(o);
            std::sort(side.begin(), side.end(), less);
        }
    }

    void cross(Order& o, std::vector<Order>& other, bool buying) {
        while (o.qty > 0 && !other.empty()) {
            Order& best = other.back();
            if (buying ? best.price > o.price : best.price < o.price) break;
            int q = std::min(o.qty, best.qty);
            o.qty -= q;
            best.qty -= q;
            ++trades_;
            volume_ += (u64)q * best.price;
            hash_ = hash_ * 31 + best.seq * 7 + o.seq;
            if (best.qty == 0) other.pop_back();
        }
    }

    static void drop_older(std::vector<Order>& side, u64 before) {
        size_t w = 0;
        for (size_t i = 0; i < side.size(); ++i)
            if (side[i].seq >= before) side[w++] = side[i];
        side.resize(w);
    }

    enum { kOwners = 300, kSlots = 64 };
    long exposure_[kOwners][kSlots];
    bool placed_;
    std::vector<Order> bids_, asks_;
    u64 trades_, volume_, hash_;
};

class Feed {
public:
    Feed() : rnd_(88172645463325252ull), seq_(0) {}
    Order next() {
        Order o;
        memset(&o, 0, sizeof o);
        o.seq = ++seq_;
        o.side = (rnd_.next() & 1) ? 'B' : 'S';
        int off = (int)(rnd_.next() % 400);
        o.price = o.side == 'B' ? 10020 - off : 9980 + off;
        o.qty = 1 + (int)(rnd_.next() % 50);
        o.owner = (int)(rnd_.next() % 300);
        snprintf(o.tag, sizeof o.tag, "c%d", o.owner);
        return o;
    }
    u64 seq() const { return seq_; }
private:
    Random rnd_;
    u64 seq_;
};

static double seconds() {
    struct timeval tv;
    gettimeofday(&tv, NULL);
    return tv.tv_sec + tv.tv_usec * 1e-6;
}

static void run_session(OrderBook& book, Feed& feed, int orders) {
    for (int i = 0; i < orders; ++i) {
        book.submit(feed.next());
        if (i % 1000 == 999 && feed.seq() > 5000) book.expire(feed.seq() - 5000);
    }
}

int main(int argc, char** argv) {
    bool placed = argc > 1 && !strcmp(argv[1], "fixed");
    double t0 = seconds();
    OrderBook book(placed);
    Feed feed;
    run_session(book, feed, 50000);
    printf("trades=%llu depth=%zu checksum=%llu seconds=%.3f\n", book.trades(), book.depth(), book.digest(),
           seconds() - t0);
    return 0;
}
