// SPDX-License-Identifier: Apache-2.0
// link: -lz
/* Compaction of an append-only key/value store: walks the closed segments,
 * keeps the newest version of each key and writes one merged segment. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define WINDOW (64 * 1024)
#define SEGMENTS 6
#define RECORDS_PER_SEGMENT 100000
#define KEY_SPACE 200000u

struct rec_head {
    uint32_t crc;
    uint16_t klen;
    uint16_t vlen;
    uint64_t version;
};

struct entry {
    uint64_t hash;
    uint64_t version;
    uint64_t offset;
    uint32_t segment;
};

struct keydir {
    struct entry *slot;
    size_t mask, used;
};

/* A sliding view of a segment file. */
struct view {
    int fd;
    int sliding;
    uint64_t file_size;
    uint64_t start;
    size_t len;
    unsigned char *data;
};

struct writer {
    int fd;
    size_t len;
    uint64_t total;
    unsigned char *buf;
};

struct stats {
    uint64_t scanned, kept, bytes_out, digest;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double seconds_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t hash_key(const unsigned char *k, size_t n) {
    uint64_t h = 1469598103934665603ull;
    for (size_t i = 0; i < n; i++) h = (h ^ k[i]) * 1099511628211ull;
    h ^= h >> 29;
    return h ? h : 1;
}

/* ---- writer ---- */

static void writer_open(struct writer *w, const char *path) {
    w->fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (w->fd < 0) die(path);
    w->len = 0;
    w->total = 0;
    w->buf = malloc(1 << 18);
    if (!w->buf) die("malloc");
}

static void writer_flush(struct writer *w) {
    size_t off = 0;
    while (off < w->len) {
        ssize_t n = write(w->fd, w->buf + off, w->len - off);
        if (n < 0) {
            if (errno == EINTR) continue;
            die("write segment");
        }
        off += (size_t)n;
    }
    w->len = 0;
}

static void writer_put(struct writer *w, const void *p, size_t n) {
    if (w->len + n > (1 << 18)) writer_flush(w);
    memcpy(w->buf + w->len, p, n);
    w->len += n;
    w->total += n;
}

static void writer_close(struct writer *w) {
    writer_flush(w);
    free(w->buf);
    close(w->fd);
}

/* ---- reading ---- */

static void view_open(struct view *v, const char *path, int sliding) {
    struct stat sb;
    v->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (v->fd < 0 || fstat(v->fd, &sb)) die(path);
    v->file_size = (uint64_t)sb.st_size;
    v->sliding = sliding;
    v->start = 0;
    v->len = 0;
    v->data = malloc(WINDOW);
    if (!v->data) die("malloc");
}

static void view_close(struct view *v) {
    free(v->data);
    close(v->fd);
}

static void view_load(struct view *v, uint64_t off) {
    size_t got = 0;
    while (got < WINDOW && off + got < v->file_size) {
        ssize_t n = pread(v->fd, v->data + got, WINDOW - got, (off_t)(off + got));
        if (n < 0) {
            if (errno == EINTR) continue;
            die("pread segment");
        }
        if (n == 0) break;
        got += (size_t)n;
    }
    v->start = off;
    v->len = got;
}

/* Gives a pointer to `want` bytes at `off`, or NULL beyond the end. */
static const unsigned char *view_at(struct view *v, uint64_t off, size_t want) {
    if (off + want > v->file_size) return NULL;
    int inside = off >= v->start && off + want <= v->start + v->len;
    if (!inside || (v->sliding && off != v->start)) view_load(v, off);
    return v->data + (off - v->start);
}

/* Positions on the record at `off`; returns its whole length, 0 at the end. */
static size_t record_at(struct view *v, uint64_t off, struct rec_head *h, const unsigned char **body) {
    const unsigned char *p = view_at(v, off, sizeof *h);
    if (!p) return 0;
    memcpy(h, p, sizeof *h);
    size_t n = sizeof *h + h->klen + h->vlen;
    p = view_at(v, off, n);
    if (!p) return 0;
    *body = p + sizeof *h;
    return n;
}

static int record_intact(const struct rec_head *h, const unsigned char *body) {
    return crc32(0, body, (uInt)h->klen + h->vlen) == h->crc;
}

/* ---- key directory ---- */

static void keydir_init(struct keydir *d, size_t expected) {
    size_t cap = 1024;
    while (cap < expected * 2) cap *= 2;
    d->slot = calloc(cap, sizeof *d->slot);
    if (!d->slot) die("calloc");
    d->mask = cap - 1;
    d->used = 0;
}

static struct entry *keydir_slot(struct keydir *d, uint64_t hash) {
    size_t i = hash & d->mask;
    while (d->slot[i].hash && d->slot[i].hash != hash) i = (i + 1) & d->mask;
    return &d->slot[i];
}

static void keydir_note(struct keydir *d, uint64_t hash, const struct rec_head *h, uint32_t seg, uint64_t off) {
    struct entry *e = keydir_slot(d, hash);
    if (!e->hash) {
        e->hash = hash;
        d->used++;
    } else if (e->version > h->version) {
        return;
    }
    e->version = h->version;
    e->segment = seg;
    e->offset = off;
}

/* ---- compaction ---- */

static void segment_path(char *out, size_t n, const char *dir, uint32_t seg) {
    snprintf(out, n, "%s/seg-%04u.log", dir, seg);
}

static void index_segment(struct keydir *d, const char *dir, uint32_t seg, int sliding, struct stats *st) {
    char path[512];
    struct view v;
    struct rec_head h;
    const unsigned char *body;
    segment_path(path, sizeof path, dir, seg);
    view_open(&v, path, sliding);
    uint64_t off = 0;
    for (size_t n; (n = record_at(&v, off, &h, &body)) > 0; off += n) {
        st->scanned++;
        if (!record_intact(&h, body)) {
            fprintf(stderr, "%s: record at %llu is damaged\n", path, (unsigned long long)off);
            continue;
        }
        keydir_note(d, hash_key(body, h.klen), &h, seg, off);
    }
    view_close(&v);
}

static void merge_segment(struct keydir *d, const char *dir, uint32_t seg, int sliding, struct writer *w, struct stats *st) {
    char path[512];
    struct view v;
    struct rec_head h;
    const unsigned char *body;
    segment_path(path, sizeof path, dir, seg);
    view_open(&v, path, sliding);
    uint64_t off = 0;
    for (size_t n; (n = record_at(&v, off, &h, &body)) > 0; off += n) {
        uint64_t hash = hash_key(body, h.klen);
        struct entry *e = keydir_slot(d, hash);
        if (e->segment != seg || e->offset != off) continue;
        writer_put(w, &h, sizeof h);
        writer_put(w, body, (size_t)h.klen + h.vlen);
        st->kept++;
        st->digest = (st->digest ^ hash ^ h.crc) * 0x9e3779b97f4a7c15ull;
    }
    view_close(&v);
}

static void compact(const char *dir, int sliding, struct stats *st) {
    char path[512], final_path[512];
    struct keydir d;
    struct writer w;
    keydir_init(&d, KEY_SPACE);
    for (uint32_t s = 0; s < SEGMENTS; s++) index_segment(&d, dir, s, sliding, st);
    snprintf(path, sizeof path, "%s/merged.tmp", dir);
    snprintf(final_path, sizeof final_path, "%s/merged.log", dir);
    writer_open(&w, path);
    for (uint32_t s = 0; s < SEGMENTS; s++) merge_segment(&d, dir, s, sliding, &w, st);
    st->bytes_out = w.total;
    writer_close(&w);
    if (rename(path, final_path)) die("rename");
    free(d.slot);
}

static void fill_segment(const char *dir, uint32_t seg, uint64_t *rng) {
    static const char hex[] = "0123456789abcdef";
    char path[512];
    unsigned char body[512];
    struct writer w;
    segment_path(path, sizeof path, dir, seg);
    writer_open(&w, path);
    for (uint32_t i = 0; i < RECORDS_PER_SEGMENT; i++) {
        *rng ^= *rng << 13, *rng ^= *rng >> 7, *rng ^= *rng << 17;
        uint64_t r = *rng;
        struct rec_head h = {.version = (uint64_t)seg * RECORDS_PER_SEGMENT + i};
        h.klen = (uint16_t)snprintf((char *)body, 64, "user:%06llu:profile", (unsigned long long)(r >> 20) % KEY_SPACE);
        h.vlen = (uint16_t)(60 + r % 160);
        for (uint32_t b = 0; b < h.vlen; b++) body[h.klen + b] = (unsigned char)hex[(r >> (b % 15 * 4)) & 15];
        h.crc = (uint32_t)crc32(0, body, (uInt)h.klen + h.vlen);
        writer_put(&w, &h, sizeof h);
        writer_put(&w, body, (size_t)h.klen + h.vlen);
    }
    writer_close(&w);
}

int main(int argc, char **argv) {
    int sliding = !(argc > 1 && !strcmp(argv[1], "fixed"));
    char dir[400], path[512];
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/segcompactXXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir)) die("mkdtemp");
    double t0 = seconds_now();
    uint64_t rng = 0x1234567890abcdefull;
    struct stats st = {0};
    for (uint32_t s = 0; s < SEGMENTS; s++) fill_segment(dir, s, &rng);
    compact(dir, sliding, &st);
    double sec = seconds_now() - t0;
    for (uint32_t s = 0; s < SEGMENTS; s++) {
        segment_path(path, sizeof path, dir, s);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/merged.log", dir);
    unlink(path);
    rmdir(dir);
    printf("scanned=%llu kept=%llu bytes=%llu digest=%016llx seconds=%.3f\n", (unsigned long long)st.scanned,
           (unsigned long long)st.kept, (unsigned long long)st.bytes_out, (unsigned long long)st.digest, sec);
    return 0;
}
