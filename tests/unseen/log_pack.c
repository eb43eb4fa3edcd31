// SPDX-License-Identifier: Apache-2.0
// link: -lzstd
/* Log archiver: cuts a log stream into blocks, compresses the blocks with a
 * pool of C11 threads (zstd), writes them in order and verifies the archive. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

enum { WORKERS = 2, SLOTS = 8, BLOCK = 512 * 1024, BLOCKS = 700, LEVEL = 5 };

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "log_pack: %s\n", what);
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------ block ring */

enum slot_state { EMPTY, FILLED, BUSY, PACKED };

struct slot {
    enum slot_state state;
    size_t raw_len, packed_len;
    char *raw, *packed;
};

/* Block n lives in slot n % SLOTS, from being filled until it is written. */
struct ring {
    mtx_t lock;
    cnd_t filled, packed, emptied;
    struct slot slot[SLOTS];
    unsigned next_fill, next_pack, next_write;
    bool closed;
    size_t packed_cap;
};

static void ring_init(struct ring *r) {
    memset(r, 0, sizeof *r);
    mtx_init(&r->lock, mtx_plain);
    cnd_init(&r->filled);
    cnd_init(&r->packed);
    cnd_init(&r->emptied);
    r->packed_cap = ZSTD_compressBound(BLOCK);
    for (int i = 0; i < SLOTS; i++) {
        r->slot[i].raw = malloc(BLOCK);
        r->slot[i].packed = malloc(r->packed_cap);
        check(r->slot[i].raw && r->slot[i].packed, "memory");
    }
}

static void ring_destroy(struct ring *r) {
    for (int i = 0; i < SLOTS; i++) {
        free(r->slot[i].raw);
        free(r->slot[i].packed);
    }
    mtx_destroy(&r->lock);
    cnd_destroy(&r->filled);
    cnd_destroy(&r->packed);
    cnd_destroy(&r->emptied);
}

static struct slot *ring_to_fill(struct ring *r) {
    mtx_lock(&r->lock);
    struct slot *s = &r->slot[r->next_fill % SLOTS];
    while (s->state != EMPTY) cnd_wait(&r->emptied, &r->lock);
    mtx_unlock(&r->lock);
    return s;
}

static void ring_filled(struct ring *r, struct slot *s) {
    mtx_lock(&r->lock);
    s->state = FILLED;
    r->next_fill++;
    mtx_unlock(&r->lock);
    cnd_signal(&r->filled);
}

static void ring_close(struct ring *r) {
    mtx_lock(&r->lock);
    r->closed = true;
    mtx_unlock(&r->lock);
    cnd_broadcast(&r->filled);
    cnd_signal(&r->packed);
}

static struct slot *ring_to_pack(struct ring *r) {
    struct slot *s = NULL;
    mtx_lock(&r->lock);
    while (r->next_pack == r->next_fill && !r->closed) cnd_wait(&r->filled, &r->lock);
    if (r->next_pack != r->next_fill) {
        s = &r->slot[r->next_pack++ % SLOTS];
        s->state = BUSY;
    }
    mtx_unlock(&r->lock);
    return s;
}

static void ring_packed(struct ring *r, struct slot *s) {
    mtx_lock(&r->lock);
    s->state = PACKED;
    bool head = s == &r->slot[r->next_write % SLOTS];
    mtx_unlock(&r->lock);
    if (head) cnd_signal(&r->packed);
}

static struct slot *ring_to_write(struct ring *r) {
    mtx_lock(&r->lock);
    struct slot *s = &r->slot[r->next_write % SLOTS];
    while (s->state != PACKED && !(r->closed && r->next_write == r->next_fill)) cnd_wait(&r->packed, &r->lock);
    if (s->state != PACKED) s = NULL;
    mtx_unlock(&r->lock);
    return s;
}

static void ring_written(struct ring *r, struct slot *s) {
    mtx_lock(&r->lock);
    s->state = EMPTY;
    r->next_write++;
    mtx_unlock(&r->lock);
    cnd_signal(&r->emptied);
}

/* ---------------------------------------------------------------- threads */

static int pack_thread(void *arg) {
    struct ring *r = arg;
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
    for (struct slot *s; (s = ring_to_pack(r));) {
        s->packed_len = ZSTD_compress2(ctx, s->packed, r->packed_cap, s->raw, s->raw_len);
        check(!ZSTD_isError(s->packed_len), "compress");
        ring_packed(r, s);
    }
    ZSTD_freeCCtx(ctx);
    return 0;
}

struct writer {
    struct ring *ring;
    FILE *out;
    uint64_t raw, packed;
};

static int write_thread(void *arg) {
    struct writer *w = arg;
    for (struct slot *s; (s = ring_to_write(w->ring));) {
        uint32_t head[2] = {(uint32_t)s->raw_len, (uint32_t)s->packed_len};
        check(fwrite(head, sizeof head, 1, w->out) == 1, "write");
        check(fwrite(s->packed, 1, s->packed_len, w->out) == s->packed_len, "write");
        w->raw += s->raw_len;
        w->packed += s->packed_len;
        ring_written(w->ring, s);
    }
    return 0;
}

/* ----------------------------------------------------------------- source */

struct source {
    uint64_t rng;
    uint32_t second;
};

static uint32_t draw(struct source *s) {
    s->rng = s->rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(s->rng >> 33);
}

static size_t read_block(struct source *s, char *buf, size_t cap) {
    static const char *const verb[] = {"GET", "POST", "PUT", "DELETE"};
    static const char *const path[] = {"/api/orders", "/api/users", "/static/app.js", "/health", "/api/search"};
    size_t n = 0;
    while (n + 200 < cap) {
        uint32_t a = draw(s), b = draw(s);
        s->second += a % 3 == 0;
        n += (size_t)snprintf(buf + n, cap - n, "%u 10.%u.%u.%u %s %s/%u status=%u bytes=%u ua=client-%u\n",
                              1700000000 + s->second, a >> 8 & 15, a >> 12 & 255, b & 255, verb[b >> 8 & 3],
                              path[a % 5], b % 5000, a % 20 ? 200 : 500, b >> 4 & 0xffff, a % 37);
    }
    return n;
}

static uint64_t verify(const char *path, uint64_t *raw_total) {
    FILE *f = fopen(path, "rb");
    check(f != NULL, "open");
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    size_t cap = ZSTD_compressBound(BLOCK);
    char *packed = malloc(cap), *raw = malloc(BLOCK);
    uint64_t lines = 0;
    uint32_t head[2];
    while (fread(head, sizeof head, 1, f) == 1) {
        check(head[1] <= cap && fread(packed, 1, head[1], f) == head[1], "read");
        size_t n = ZSTD_decompressDCtx(ctx, raw, BLOCK, packed, head[1]);
        check(n == head[0], "verify");
        for (const char *p = raw; (p = memchr(p, '\n', (size_t)(raw + n - p))); p++) lines++;
        *raw_total += n;
    }
    free(raw);
    free(packed);
    ZSTD_freeDCtx(ctx);
    fclose(f);
    return lines;
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    char dir[256], path[300];
    snprintf(dir, sizeof dir, "%s/logpackXXXXXX", tmp && *tmp ? tmp : "/tmp");
    check(mkdtemp(dir) != NULL, "mkdtemp");
    snprintf(path, sizeof path, "%s/archive.zst", dir);

    double t0 = now_s();
    struct ring ring;
    ring_init(&ring);
    struct writer writer = {.ring = &ring, .out = fopen(path, "wb")};
    check(writer.out != NULL, "create");
    thrd_t packers[WORKERS], writing;
    for (int i = 0; i < WORKERS; i++) check(thrd_create(&packers[i], pack_thread, &ring) == thrd_success, "thread");
    check(thrd_create(&writing, write_thread, &writer) == thrd_success, "thread");

    struct source src = {.rng = 17};
    for (int b = 0; b < BLOCKS; b++) {
        struct slot *s = ring_to_fill(&ring);
        s->raw_len = read_block(&src, s->raw, BLOCK);
        ring_filled(&ring, s);
    }
    ring_close(&ring);
    for (int i = 0; i < WORKERS; i++) thrd_join(packers[i], NULL);
    thrd_join(writing, NULL);
    fclose(writer.out);
    ring_destroy(&ring);

    uint64_t raw = 0, lines = verify(path, &raw);
    double secs = now_s() - t0;
    check(raw == writer.raw, "length");
    unlink(path);
    rmdir(dir);
    printf("lines=%lu raw=%lu packed=%lu\n", (unsigned long)lines, (unsigned long)raw, (unsigned long)writer.packed);
    printf("seconds=%.3f\n", secs);
    return 0;
}
