// SPDX-License-Identifier: Apache-2.0
// link: -lm
// sensorgw: gateway of a test bench. Calibrated blocks of samples go to the recorder
// over one TCP connection; the recorder confirms every block.
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CHANNELS = 8, SAMPLES = 128, VALUES = CHANNELS * SAMPLES, CUTS = 64 };

typedef struct {
    uint32_t magic, number, bytes, check;
} header_t;

typedef struct {
    int fd;
    bool gather; /* header and body in one call */
} link_t;

typedef struct {
    int lfd;
    uint64_t sum;
} recorder_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void put_all(int fd, const void *p, size_t n) {
    for (const char *c = p; n;) {
        ssize_t k = send(fd, c, n, MSG_NOSIGNAL);
        if (k <= 0)
            exit(3);
        c += k, n -= (size_t)k;
    }
}

static bool get_all(int fd, void *p, size_t n) {
    for (char *c = p; n;) {
        ssize_t k = read(fd, c, n);
        if (k <= 0)
            return false;
        c += k, n -= (size_t)k;
    }
    return true;
}

static uint32_t check_of(const int16_t *v, size_t n) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) {
        a = (a + (uint16_t)v[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* ---- recorder ---- */

static void *recorder_main(void *arg) {
    recorder_t *r = arg;
    int fd = accept(r->lfd, NULL, NULL);
    header_t h;
    int16_t v[VALUES];
    while (get_all(fd, &h, sizeof h) && get_all(fd, v, h.bytes)) {
        if (h.check != check_of(v, h.bytes / sizeof *v))
            exit(5);
        for (size_t i = 0; i < h.bytes / sizeof *v; i += 16)
            r->sum = r->sum * 31 + (uint16_t)v[i];
        put_all(fd, &h.number, sizeof h.number);
    }
    close(fd);
    return NULL;
}

/* ---- bench side ---- */

static int open_listener(struct sockaddr_in *a) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t l = sizeof *a;
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)a, sizeof *a) || listen(fd, 4))
        exit(2);
    getsockname(fd, (struct sockaddr *)a, &l);
    return fd;
}

static void link_open(link_t *k, const struct sockaddr_in *a, bool gather) {
    k->fd = socket(AF_INET, SOCK_STREAM, 0);
    k->gather = gather;
    if (connect(k->fd, (const struct sockaddr *)a, sizeof *a))
        exit(2);
    if (gather)
        setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static void send_block(link_t *k, const header_t *h, const int16_t *v) {
    if (k->gather) {
        struct iovec io[2] = {{(void *)h, sizeof *h}, {(void *)v, h->bytes}};
        if (writev(k->fd, io, 2) != (ssize_t)(sizeof *h + h->bytes))
            exit(3);
        return;
    }
    put_all(k->fd, h, sizeof *h);
    put_all(k->fd, v, h->bytes);
}

static void await_confirmation(link_t *k, uint32_t number) {
    uint32_t got;
    if (!get_all(k->fd, &got, sizeof got) || got != number)
        exit(4);
}

static void store_block(link_t *k, uint32_t number, const int16_t *v) {
    header_t h = {0x53454e53, number, VALUES * sizeof *v, check_of(v, VALUES)};
    send_block(k, &h, v);
    await_confirmation(k, number);
}

static void acquire(uint32_t number, float *raw) {
    uint32_t x = number * 2654435761u + 3;
    for (int i = 0; i < VALUES; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        raw[i] = sinf((float)(i / CHANNELS) * 0.02f * (float)(1 + i % CHANNELS)) + (float)(x >> 20) / 40960.0f;
    }
}

/* A windowed low-pass for each channel, followed by the characteristic curve. */
static void calibrate(const float *raw, int16_t *out, float offset) {
    static float window[CUTS];
    if (window[CUTS / 2] == 0)
        for (int k = 0; k < CUTS; k++)
            window[k] = (0.54f - 0.46f * cosf(6.2831853f * (float)k / CUTS)) / (0.54f * CUTS);
    for (int c = 0; c < CHANNELS; c++)
        for (int s = 0; s < SAMPLES; s++) {
            float v = 0;
            for (int k = 0; k < CUTS; k++) {
                int at = s + k - CUTS / 2;
                if (at >= 0 && at < SAMPLES)
                    v += window[k] * raw[at * CHANNELS + c];
            }
            for (int it = 0; it < 24; it++) /* invert the probe's curve */
                v -= (v + 0.05f * v * v * v - raw[s * CHANNELS + c] + offset) / (1.0f + 0.15f * v * v) * 0.4f;
            out[s * CHANNELS + c] = (int16_t)lrintf(v * 4000.0f);
        }
}

static void run_bench(link_t *k, uint32_t blocks) {
    float raw[VALUES];
    int16_t v[VALUES], mean[VALUES] = {0};
    for (uint32_t b = 0; b < blocks; b++) {
        for (int turn = 0; turn < 80; turn++) { /* a block is the mean of several turns */
            acquire(b * 128 + (uint32_t)turn, raw);
            calibrate(raw, v, 0.001f * (float)turn);
            for (int i = 0; i < VALUES; i++)
                mean[i] = (int16_t)(turn ? mean[i] + (v[i] - mean[i]) / (turn + 1) : v[i]);
        }
        store_block(k, b, mean);
    }
    close(k->fd);
}

int main(int argc, char **argv) {
    double t0 = now();
    struct sockaddr_in a;
    recorder_t r = {open_listener(&a), 0};
    pthread_t t;
    pthread_create(&t, NULL, recorder_main, &r);
    link_t k;
    link_open(&k, &a, argc > 1 && !strcmp(argv[1], "fixed"));
    run_bench(&k, 56);
    pthread_join(t, NULL);
    printf("recorded=%016llx seconds=%.3f\n", (unsigned long long)r.sum, now() - t0);
    return 0;
}
