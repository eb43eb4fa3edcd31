// SPDX-License-Identifier: Apache-2.0
// ocrpipe: converts scanned forms. Pages are prepared here and read by recogniser
// processes that are fed through pipes; the recogniser's box takes a while for each page.
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { W = 192, H = 160, CELLS = 120, HELPERS = 6 };

typedef struct {
    int page;
    uint8_t cell[CELLS];
} request_t;

typedef struct {
    int page;
    char text[CELLS];
} reply_t;

typedef struct {
    pid_t pid;
    int to, from, busy;
} helper_t;

typedef struct {
    helper_t helper[HELPERS];
    int helpers;
    uint64_t digest;
    int words;
} office_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool read_full(int fd, void *p, size_t n) {
    for (char *c = p; n;) {
        ssize_t k = read(fd, c, n);
        if (k <= 0)
            return false;
        c += k, n -= (size_t)k;
    }
    return true;
}

/* The recogniser: about 5 ms per page, most of it on the accelerator. */
static void recogniser_main(int in, int out) {
    request_t q;
    while (read_full(in, &q, sizeof q)) {
        reply_t r = {.page = q.page};
        for (int i = 0; i < CELLS; i++)
            r.text[i] = q.cell[i] % 7 == 0 ? ' ' : (char)('a' + q.cell[i] % 26);
        nanosleep(&(struct timespec){0, 4600000}, NULL);
        if (write(out, &r, sizeof r) != sizeof r)
            break;
    }
    _exit(0);
}

static void hire(office_t *o, int n) {
    o->helpers = n;
    for (int i = 0; i < n; i++) {
        int a[2], b[2];
        if (pipe(a) || pipe(b))
            exit(2);
        helper_t *h = &o->helper[i];
        h->pid = fork();
        if (h->pid == 0) {
            close(a[1]), close(b[0]);
            for (int k = 0; k < i; k++)
                close(o->helper[k].to), close(o->helper[k].from);
            recogniser_main(a[0], b[1]);
        }
        close(a[0]), close(b[1]);
        h->to = a[1], h->from = b[0], h->busy = 0;
    }
}

static void dismiss(office_t *o) {
    for (int i = 0; i < o->helpers; i++) {
        close(o->helper[i].to);
        waitpid(o->helper[i].pid, NULL, 0);
        close(o->helper[i].from);
    }
}

static void scan_page(int page, uint8_t *g) {
    uint32_t x = (uint32_t)page * 2654435761u + 9;
    for (int i = 0; i < W * H; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        g[i] = (uint8_t)(128 + ((i / 11 + page) % 3 - 1) * 60 + (int)(x >> 27));
    }
}

/* Local threshold by an integral image, then a majority filter. */
static void binarise(const uint8_t *g, uint8_t *bw) {
    static uint32_t sum[H + 1][W + 1];
    for (int y = 0; y < H; y++) {
        uint32_t row = 0;
        for (int x = 0; x < W; x++) {
            row += g[y * W + x];
            sum[y + 1][x + 1] = sum[y][x + 1] + row;
        }
    }
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            int x0 = x < 8 ? 0 : x - 8, x1 = x + 8 > W ? W : x + 8;
            int y0 = y < 8 ? 0 : y - 8, y1 = y + 8 > H ? H : y + 8;
            uint32_t s = sum[y1][x1] - sum[y0][x1] - sum[y1][x0] + sum[y0][x0];
            bw[y * W + x] = (uint32_t)g[y * W + x] * (uint32_t)((x1 - x0) * (y1 - y0)) > s;
        }
}

static void despeckle(uint8_t *bw) {
    static uint8_t tmp[W * H];
    for (int round = 0; round < 26; round++) {
        memcpy(tmp, bw, sizeof tmp);
        for (int y = 1; y + 1 < H; y++)
            for (int x = 1; x + 1 < W; x++) {
                int n = 0;
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -1; dx <= 1; dx++)
                        n += tmp[(y + dy) * W + x + dx];
                bw[y * W + x] = n > 4;
            }
    }
}

static request_t prepare_page(int page) {
    static uint8_t grey[W * H], bw[W * H];
    request_t q = {.page = page};
    scan_page(page, grey);
    binarise(grey, bw);
    despeckle(bw);
    for (int i = 0; i < W * H; i++)
        q.cell[i * CELLS / (W * H)] += bw[i] * (uint8_t)(1 + i % 5);
    return q;
}

static void submit(helper_t *h, const request_t *q) {
    if (write(h->to, q, sizeof *q) != sizeof *q)
        exit(3);
    h->busy++;
}

static void collect(office_t *o, helper_t *h) {
    reply_t r;
    if (!read_full(h->from, &r, sizeof r))
        exit(4);
    h->busy--;
    uint64_t d = (uint64_t)r.page * 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < CELLS; i++) {
        d = (d ^ (uint8_t)r.text[i]) * 1099511628211ull;
        o->words += r.text[i] == ' ';
    }
    o->digest += d;
}

static void convert_page(office_t *o, int page) {
    request_t q = prepare_page(page);
    helper_t *h = &o->helper[page % o->helpers];
    submit(h, &q);
    collect(o, h);
}

static helper_t *ready_helper(office_t *o) {
    for (int i = 0; i < o->helpers; i++)
        if (o->helper[i].busy == 0)
            return &o->helper[i];
    struct pollfd p[HELPERS];
    for (int i = 0; i < o->helpers; i++)
        p[i] = (struct pollfd){o->helper[i].from, POLLIN, 0};
    poll(p, (nfds_t)o->helpers, -1);
    helper_t *any = NULL;
    for (int i = 0; i < o->helpers; i++)
        if (p[i].revents)
            collect(o, any = &o->helper[i]);
    return any;
}

static void convert_batch(office_t *o, int pages, bool overlapped) {
    for (int p = 0; p < pages; p++) {
        if (!overlapped) {
            convert_page(o, p);
            continue;
        }
        request_t q = prepare_page(p);
        submit(ready_helper(o), &q);
    }
    for (int i = 0; i < o->helpers; i++)
        while (o->helper[i].busy)
            collect(o, &o->helper[i]);
}

int main(int argc, char **argv) {
    double t0 = now();
    signal(SIGPIPE, SIG_IGN);
    office_t o = {.digest = 0};
    hire(&o, HELPERS);
    convert_batch(&o, 680, argc > 1 && !strcmp(argv[1], "fixed"));
    dismiss(&o);
    printf("words=%d digest=%016llx seconds=%.3f\n", o.words, (unsigned long long)o.digest, now() - t0);
    return 0;
}
