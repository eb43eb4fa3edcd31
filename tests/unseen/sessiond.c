// SPDX-License-Identifier: Apache-2.0
// link: -lpthread
/* Session store daemon: keeps login sessions in memory, answers touch/put
 * requests over TCP from one epoll loop, and ages sessions by a virtual clock
 * that the requests carry. A load driver in a second thread replays traffic. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS (1u << 18)
#define SESSIONS 560000u
#define CONNECTIONS 24
#define REQUESTS 24000
#define GAP_NS 95000ull
#define AGING_PERIOD_NS 160000000ull

enum { CMD_TOUCH = 1, CMD_PUT = 2 };

struct request { uint32_t cmd, seq; uint64_t key, clock; };
struct reply { uint32_t seq, status; uint64_t value; };

struct session {
    struct session *next;
    uint64_t key;
    uint64_t last_used;
    uint32_t hits;
    uint32_t weight;
    char user[24];
    char token[32];
};

struct store {
    struct session **bucket;
    size_t live;
    uint64_t clock;
    uint64_t aged;
    uint32_t cursor;     /* first bucket of the next portion of an aging pass */
    int in_pass;
};

struct conn {
    int fd;
    size_t have;
    char in[4096];
    size_t out_len;
    char out[4096];
};

struct daemon_cfg { int listen_fd, ep; size_t portion; struct store *st; uint64_t served; uint64_t passes; };

static uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

static uint64_t mix(uint64_t x) {
    x ^= x >> 30; x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27; x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static struct session *store_find(struct store *st, uint64_t key) {
    struct session *s = st->bucket[mix(key) & (BUCKETS - 1)];
    while (s && s->key != key) s = s->next;
    return s;
}

static struct session *store_put(struct store *st, uint64_t key, uint64_t clock) {
    struct session *s = store_find(st, key);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s) die("calloc");
        struct session **head = &st->bucket[mix(key) & (BUCKETS - 1)];
        s->key = key;
        s->next = *head;
        *head = s;
        st->live++;
        snprintf(s->user, sizeof s->user, "u%llu", (unsigned long long)key);
        for (int i = 0; i < 4; i++) {
            uint64_t w = mix(key + (uint64_t)i);
            memcpy(s->token + 8 * i, &w, 8);
        }
    }
    s->last_used = clock;
    s->weight = 1000;
    return s;
}

static void age_bucket(struct store *st, uint32_t b) {
    struct session **link = &st->bucket[b];
    while (*link) {
        struct session *s = *link;
        uint64_t idle = st->clock > s->last_used ? st->clock - s->last_used : 0;
        s->weight -= s->weight >> 5;
        s->hits -= s->hits >> 3;
        if (idle > 4000000000ull) {
            *link = s->next;
            free(s);
            st->live--;
            continue;
        }
        st->aged++;
        link = &s->next;
    }
}

/* Ages up to `portion` buckets; returns 1 when a pass is complete. */
static int store_age(struct store *st, size_t portion) {
    while (portion-- > 0) {
        age_bucket(st, st->cursor++);
        if (st->cursor == BUCKETS) {
            st->cursor = 0;
            return 1;
        }
    }
    return 0;
}

static void handle_request(struct store *st, const struct request *rq, struct reply *rp) {
    struct session *s;
    if (rq->clock > st->clock) st->clock = rq->clock;
    rp->seq = rq->seq;
    if (rq->cmd == CMD_PUT) {
        s = store_put(st, rq->key, rq->clock);
    } else {
        s = store_find(st, rq->key);
        if (s) { s->last_used = rq->clock; s->hits++; }
    }
    rp->status = s ? 200 : 404;
    uint64_t h = 0;
    if (s)
        for (int i = 0; i < 32; i += 8) { uint64_t w; memcpy(&w, s->token + i, 8); h = mix(h ^ w); }
    rp->value = h;
}

static void conn_flush(struct conn *c) {
    size_t off = 0;
    while (off < c->out_len) {
        ssize_t n = send(c->fd, c->out + off, c->out_len - off, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) die("send reply");
        off += (size_t)n;
    }
    c->out_len = 0;
}

/* Returns 0 when the peer has closed. */
static int conn_readable(struct daemon_cfg *d, struct conn *c) {
    ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, MSG_DONTWAIT);
    if (n == 0) return 0;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c->have += (size_t)n;
    size_t at = 0;
    while (c->have - at >= sizeof(struct request)) {
        struct request rq;
        struct reply rp;
        memcpy(&rq, c->in + at, sizeof rq);
        at += sizeof rq;
        handle_request(d->st, &rq, &rp);
        d->served++;
        if (c->out_len + sizeof rp > sizeof c->out) conn_flush(c);
        memcpy(c->out + c->out_len, &rp, sizeof rp);
        c->out_len += sizeof rp;
    }
    memmove(c->in, c->in + at, c->have - at);
    c->have -= at;
    conn_flush(c);
    return 1;
}

static void *daemon_main(void *arg) {
    struct daemon_cfg *d = arg;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, got[32];
    int open_conns = 0, seen = 0;
    epoll_ctl(d->ep, EPOLL_CTL_ADD, d->listen_fd, &ev);
    uint64_t next_aging = now_ns() + AGING_PERIOD_NS;
    while (open_conns > 0 || seen < CONNECTIONS) {
        uint64_t now = now_ns();
        if (!d->st->in_pass && now >= next_aging) {
            d->st->in_pass = 1;
            next_aging += AGING_PERIOD_NS;
        }
        if (d->st->in_pass && store_age(d->st, d->portion)) {
            d->st->in_pass = 0;
            d->passes++;
        }
        int wait_ms = d->st->in_pass ? 1 : next_aging > now ? (int)((next_aging - now) / 1000000) + 1 : 0;
        int n = epoll_wait(d->ep, got, 32, wait_ms);
        for (int i = 0; i < n; i++) {
            struct conn *c = got[i].data.ptr;
            if (!c) {
                int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0) continue;
                int one = 1;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                if (!c) die("calloc");
                c->fd = fd;
                ev.data.ptr = c;
                epoll_ctl(d->ep, EPOLL_CTL_ADD, fd, &ev);
                open_conns++;
                seen++;
            } else if (!conn_readable(d, c)) {
                close(c->fd);
                free(c);
                open_conns--;
            }
        }
    }
    return NULL;
}

struct driver { uint16_t port; uint32_t *lat_us; uint64_t sent_ns[REQUESTS]; uint64_t digest; uint32_t found; };

static void driver_collect(struct driver *dr, int fd, int *missing) {
    struct reply rp[64];
    ssize_t n = recv(fd, rp, sizeof rp, MSG_DONTWAIT);
    if (n <= 0) return;
    while (n % (ssize_t)sizeof *rp) n += recv(fd, (char *)rp + n, sizeof *rp - (size_t)n % sizeof *rp, MSG_WAITALL);
    uint64_t now = now_ns();
    for (size_t i = 0; i < (size_t)n / sizeof *rp; i++) {
        dr->lat_us[rp[i].seq] = (uint32_t)((now - dr->sent_ns[rp[i].seq]) / 1000);
        dr->digest += mix(rp[i].value + rp[i].seq);
        dr->found += rp[i].status == 200;
        --*missing;
    }
}

/* Sends at fixed times whatever the daemon does; latency counts from then. */
static void driver_run(struct driver *dr) {
    int fds[CONNECTIONS], ep = epoll_create1(0), missing = REQUESTS, next = 0;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(dr->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < CONNECTIONS; i++) {
        int one = 1;
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&a, sizeof a)) die("connect");
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev);
    }
    uint64_t start = now_ns();
    while (missing > 0) {
        uint64_t now = now_ns();
        for (; next < REQUESTS && start + (uint64_t)next * GAP_NS <= now; next++) {
            uint64_t r = mix((uint64_t)next + 99);
            struct request rq = {.cmd = r % 5 == 0 ? CMD_PUT : CMD_TOUCH, .seq = (uint32_t)next,
                                 .key = (r >> 12) % SESSIONS, .clock = (uint64_t)next * 1000};
            dr->sent_ns[next] = start + (uint64_t)next * GAP_NS;
            if (send(fds[next % CONNECTIONS], &rq, sizeof rq, MSG_NOSIGNAL) != (ssize_t)sizeof rq) die("send");
        }
        struct timespec ts = {0, 0};
        if (next < REQUESTS) {
            uint64_t due = start + (uint64_t)next * GAP_NS;
            now = now_ns();
            ts.tv_nsec = due > now ? (long)(due - now) : 0;
        } else {
            ts.tv_nsec = 20000000;
        }
        struct epoll_event got[32];
        int n = epoll_pwait2(ep, got, 32, &ts, NULL);
        for (int i = 0; i < n; i++) driver_collect(dr, got[i].data.fd, &missing);
    }
    for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
    close(ep);
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    struct store st = {.bucket = calloc(BUCKETS, sizeof(struct session *))};
    struct daemon_cfg d = {.st = &st, .portion = argc > 1 && !strcmp(argv[1], "fixed") ? 256 : BUCKETS};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    d.ep = epoll_create1(0);
    d.listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (d.listen_fd < 0 || bind(d.listen_fd, (struct sockaddr *)&a, sizeof a) || listen(d.listen_fd, 64)) die("listen");
    getsockname(d.listen_fd, (struct sockaddr *)&a, &len);
    for (uint64_t i = 0; i < SESSIONS; i++) store_put(&st, i * 7919 % SESSIONS, 0);

    struct driver *dr = calloc(1, sizeof *dr);
    dr->lat_us = calloc(REQUESTS, sizeof *dr->lat_us);
    dr->port = ntohs(a.sin_port);
    pthread_t th;
    uint64_t t0 = now_ns();
    pthread_create(&th, NULL, daemon_main, &d);
    driver_run(dr);
    pthread_join(th, NULL);
    double sec = (double)(now_ns() - t0) / 1e9;
    qsort(dr->lat_us, REQUESTS, sizeof *dr->lat_us, by_value);
    printf("served=%llu found=%u live=%zu digest=%016llx p99_ms=%.2f seconds=%.3f\n", (unsigned long long)d.served,
           dr->found, st.live, (unsigned long long)dr->digest, dr->lat_us[REQUESTS / 100 * 99] / 1000.0, sec);
    return 0;
}
