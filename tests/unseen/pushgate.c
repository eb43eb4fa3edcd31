// SPDX-License-Identifier: Apache-2.0
// link: -lpthread
/* Push gateway: clients subscribe to topics over TCP; a message posted by one
 * client is fanned out to all subscribers of its topic. One epoll loop serves
 * all connections; a second thread replays the client side of the traffic. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 360
#define TOPICS 60
#define PER_TOPIC (CLIENTS / TOPICS)
#define POSTS_PER_CLIENT 3600
#define BURST 8
#define BODY 96
#define IN_SIZE 8192
#define OUT_SIZE 65536u /* a power of two */

struct frame {
    uint16_t kind; /* 1 subscribe, 2 post, 3 delivery */
    uint16_t topic;
    uint32_t sender;
    uint32_t number;
    uint32_t check;
    unsigned char body[BODY];
};

struct peer {
    int fd;
    int dirty;          /* is on the list of peers with output */
    int writable_armed; /* EPOLLOUT is registered */
    uint32_t head, tail; /* of the ring, counted without wrap */
    size_t have;
    struct peer *next_dirty;
    unsigned char in[IN_SIZE];
    unsigned char out[OUT_SIZE];
};

struct gate {
    int ep, listen_fd;
    int accepted, open;
    int members[TOPICS];
    struct peer *topic[TOPICS][PER_TOPIC];
    struct peer *dirty;
    uint64_t posts, deliveries;
};

static void die(const char *what) { perror(what); exit(1); }

static double seconds_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t check_of(const struct frame *f) {
    uint64_t h = 0x9e3779b97f4a7c15ull ^ f->number ^ ((uint64_t)f->sender << 32);
    for (size_t i = 0; i < BODY; i += 8) {
        uint64_t w;
        memcpy(&w, f->body + i, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdull;
        h ^= h >> 32;
    }
    return (uint32_t)h;
}

static void watch(int ep, int op, int fd, uint32_t events, void *ptr) {
    struct epoll_event ev = {.events = events, .data.ptr = ptr};
    if (epoll_ctl(ep, op, fd, &ev)) die("epoll_ctl");
}

static void tune(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ---- output ring ---- */

static size_t ring_room(const struct peer *p) { return OUT_SIZE - (p->tail - p->head); }

static void ring_put(struct peer *p, const void *data, size_t n) {
    size_t at = p->tail & (OUT_SIZE - 1), first = OUT_SIZE - at;
    if (first > n) first = n;
    memcpy(p->out + at, data, first);
    memcpy(p->out, (const unsigned char *)data + first, n - first);
    p->tail += (uint32_t)n;
}

static void peer_flush(struct gate *g, struct peer *p) {
    while (p->head != p->tail) {
        size_t at = p->head & (OUT_SIZE - 1), n = p->tail - p->head, first = OUT_SIZE - at;
        if (first > n) first = n;
        struct iovec iov[2] = {{p->out + at, first}, {p->out, n - first}};
        ssize_t k = writev(p->fd, iov, n > first ? 2 : 1);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0 && errno == EAGAIN) break;
        if (k < 0) { p->head = p->tail; break; }
        p->head += (uint32_t)k;
    }
    int want = p->head != p->tail;
    if (want != p->writable_armed) {
        p->writable_armed = want;
        watch(g->ep, EPOLL_CTL_MOD, p->fd, EPOLLIN | (want ? EPOLLOUT : 0), p);
    }
}

static void peer_queue(struct gate *g, struct peer *p, const struct frame *f) {
    if (ring_room(p) < sizeof *f) peer_flush(g, p);
    if (ring_room(p) < sizeof *f) return; /* the subscriber is too far behind */
    ring_put(p, f, sizeof *f);
    g->deliveries++;
    if (!p->dirty) {
        p->dirty = 1;
        p->next_dirty = g->dirty;
        g->dirty = p;
    }
}

/* ---- input ---- */

static void on_frame(struct gate *g, struct peer *from, struct frame *f) {
    if (f->topic >= TOPICS) return;
    if (f->kind == 1) {
        if (g->members[f->topic] < PER_TOPIC) g->topic[f->topic][g->members[f->topic]++] = from;
        return;
    }
    if (check_of(f) != f->check) return;
    g->posts++;
    f->kind = 3;
    for (int i = 0; i < g->members[f->topic]; i++) peer_queue(g, g->topic[f->topic][i], f);
}

static int peer_readable(struct gate *g, struct peer *p) {
    ssize_t n = recv(p->fd, p->in + p->have, IN_SIZE - p->have, 0);
    if (n == 0) return 0;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    p->have += (size_t)n;
    size_t at = 0;
    struct frame f;
    for (; p->have - at >= sizeof f; at += sizeof f) {
        memcpy(&f, p->in + at, sizeof f);
        on_frame(g, p, &f);
    }
    memmove(p->in, p->in + at, p->have - at);
    p->have -= at;
    return 1;
}

static void accept_peers(struct gate *g) {
    for (;;) {
        int fd = accept4(g->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        struct peer *p = malloc(sizeof *p);
        if (!p) die("malloc");
        memset(p, 0, offsetof(struct peer, in));
        p->fd = fd;
        tune(fd);
        watch(g->ep, EPOLL_CTL_ADD, fd, EPOLLIN, p);
        g->accepted++;
        g->open++;
    }
}

static void *gate_main(void *arg) {
    struct gate *g = arg;
    struct epoll_event got[256];
    watch(g->ep, EPOLL_CTL_ADD, g->listen_fd, EPOLLIN, NULL);
    while (g->open > 0 || g->accepted < CLIENTS) {
        int n = epoll_wait(g->ep, got, 256, -1);
        for (int i = 0; i < n; i++) {
            struct peer *p = got[i].data.ptr;
            if (!p) {
                accept_peers(g);
                continue;
            }
            if (got[i].events & EPOLLOUT) peer_flush(g, p);
            if ((got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !peer_readable(g, p)) {
                close(p->fd);
                p->fd = -1;
                g->open--;
            }
        }
        while (g->dirty) {
            struct peer *p = g->dirty;
            g->dirty = p->next_dirty;
            p->dirty = 0;
            if (p->fd >= 0 && !p->writable_armed) peer_flush(g, p);
        }
    }
    return NULL;
}

/* ---- client side ---- */

struct client {
    int fd;
    uint32_t id;
    uint32_t posted, got;
    size_t have;
    uint64_t digest;
    unsigned char in[IN_SIZE * 2];
};

static void client_burst(struct client *c) {
    struct frame f[BURST];
    uint32_t n = POSTS_PER_CLIENT - c->posted < BURST ? POSTS_PER_CLIENT - c->posted : BURST;
    for (uint32_t i = 0; i < n; i++) {
        f[i].kind = 2;
        f[i].topic = (uint16_t)(c->id % TOPICS);
        f[i].sender = c->id;
        f[i].number = c->posted++;
        uint64_t r = ((uint64_t)c->id << 32 | f[i].number) * 0x9e3779b97f4a7c15ull;
        for (size_t b = 0; b < BODY; b += 8) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            memcpy(f[i].body + b, &r, 8);
        }
        f[i].check = check_of(&f[i]);
    }
    size_t len = n * sizeof f[0];
    if (send(c->fd, f, len, MSG_NOSIGNAL) != (ssize_t)len) die("send burst");
}

/* Returns 1 when this client has received everything of its topic. */
static int client_readable(struct client *c) {
    ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, MSG_DONTWAIT);
    if (n <= 0) return 0;
    c->have += (size_t)n;
    size_t at = 0;
    struct frame f;
    for (; c->have - at >= sizeof f; at += sizeof f) {
        memcpy(&f, c->in + at, sizeof f);
        if (check_of(&f) == f.check) c->digest += f.check * (uint64_t)(f.number + 1);
        c->got++;
        if (f.sender == c->id && f.number + 1 == c->posted && c->posted < POSTS_PER_CLIENT) client_burst(c);
    }
    memmove(c->in, c->in + at, c->have - at);
    c->have -= at;
    return c->got == PER_TOPIC * POSTS_PER_CLIENT;
}

static void connect_clients(struct client *cs, int ep, uint16_t port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *c = &cs[i];
        struct frame f = {.kind = 1, .topic = (uint16_t)(i % TOPICS), .sender = i};
        c->id = i;
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a)) die("connect");
        tune(c->fd);
        watch(ep, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
        if (send(c->fd, &f, sizeof f, MSG_NOSIGNAL) != (ssize_t)sizeof f) die("subscribe");
    }
}

int main(void) {
    struct gate *g = calloc(1, sizeof *g);
    struct client *cs = calloc(CLIENTS, sizeof *cs);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    struct rlimit rl = {2048, 2048};
    if (!g || !cs) die("calloc");
    setrlimit(RLIMIT_NOFILE, &rl);
    g->ep = epoll_create1(0);
    g->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (g->listen_fd < 0 || bind(g->listen_fd, (struct sockaddr *)&a, sizeof a) || listen(g->listen_fd, 512)) die("listen");
    getsockname(g->listen_fd, (struct sockaddr *)&a, &len);

    double t0 = seconds_now();
    pthread_t th;
    pthread_create(&th, NULL, gate_main, g);
    int ep = epoll_create1(0), left = CLIENTS;
    connect_clients(cs, ep, ntohs(a.sin_port));
    struct epoll_event got[256];
    struct timespec settle = {0, 30000000};
    nanosleep(&settle, NULL);
    for (int i = 0; i < CLIENTS; i++) client_burst(&cs[i]);
    while (left > 0) {
        int n = epoll_wait(ep, got, 256, -1);
        for (int i = 0; i < n; i++) left -= client_readable(got[i].data.ptr);
    }
    uint64_t digest = 0;
    for (int i = 0; i < CLIENTS; i++) {
        digest = digest * 31 + cs[i].digest;
        close(cs[i].fd);
    }
    pthread_join(th, NULL);
    printf("posts=%llu deliveries=%llu digest=%016llx seconds=%.3f\n", (unsigned long long)g->posts,
           (unsigned long long)g->deliveries, (unsigned long long)digest, seconds_now() - t0);
    return 0;
}
