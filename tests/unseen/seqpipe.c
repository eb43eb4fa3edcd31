// SPDX-License-Identifier: Apache-2.0
// link: -lz -lm
// seqpipe: archive writer for sequencing reads: a reader thread makes blocks, two packers
// compress them, a writer puts them into the archive in order. Stages are joined by
// bounded queues of reusable buffers.
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 256 * 1024, BUFFERS = 12, PACKERS = 2 };

typedef struct {
    unsigned number;
    size_t raw_len, packed_len;
    uint8_t *raw, *packed;
} block_t;

typedef struct {
    pthread_mutex_t mu;
    pthread_cond_t some, room;
    block_t *item[BUFFERS];
    int head, count;
    bool closed;
} queue_t;

typedef struct {
    queue_t idle, to_pack, to_write;
    unsigned blocks;
    const char *path;
    uint64_t raw_bytes, packed_bytes;
    uint32_t crc;
} archive_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void queue_init(queue_t *q) {
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->mu, NULL);
    pthread_cond_init(&q->some, NULL);
    pthread_cond_init(&q->room, NULL);
}

static void queue_push(queue_t *q, block_t *b) {
    pthread_mutex_lock(&q->mu);
    while (q->count == BUFFERS)
        pthread_cond_wait(&q->room, &q->mu);
    q->item[(q->head + q->count++) % BUFFERS] = b;
    pthread_mutex_unlock(&q->mu);
    pthread_cond_signal(&q->some);
}

static block_t *queue_pop(queue_t *q) {
    pthread_mutex_lock(&q->mu);
    while (q->count == 0 && !q->closed)
        pthread_cond_wait(&q->some, &q->mu);
    block_t *b = NULL;
    if (q->count) {
        b = q->item[q->head];
        q->head = (q->head + 1) % BUFFERS;
        q->count--;
    }
    pthread_mutex_unlock(&q->mu);
    pthread_cond_signal(&q->room);
    return b;
}

static void queue_close(queue_t *q) {
    pthread_mutex_lock(&q->mu);
    q->closed = true;
    pthread_mutex_unlock(&q->mu);
    pthread_cond_broadcast(&q->some);
}

static size_t make_reads(unsigned number, uint8_t *out) {
    uint64_t x = number * 0x9e3779b97f4a7c15ull + 1;
    size_t at = 0;
    unsigned read = 0;
    while (at + 340 < BLOCK) {
        at += (size_t)sprintf((char *)out + at, "@run7:%u:%u\n", number, read++);
        for (int part = 0; part < 2; part++) {
            for (int k = 0; k < 150; k++) {
                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                out[at++] = part ? (uint8_t)('F' - (x >> 60 ? 0 : (x >> 40) % 12)) : (uint8_t)"ACGT"[x >> 40 & 3];
            }
            out[at++] = '\n';
            if (!part)
                out[at++] = '+', out[at++] = '\n';
        }
    }
    return at;
}

static void *reader_main(void *arg) {
    archive_t *a = arg;
    for (unsigned n = 0; n < a->blocks; n++) {
        block_t *b = queue_pop(&a->idle);
        b->number = n;
        b->raw_len = make_reads(n, b->raw);
        queue_push(&a->to_pack, b);
    }
    queue_close(&a->to_pack);
    return NULL;
}

static void *packer_main(void *arg) {
    archive_t *a = arg;
    z_stream z = {0};
    if (deflateInit(&z, 2) != Z_OK)
        exit(2);
    for (block_t *b; (b = queue_pop(&a->to_pack));) {
        z.next_in = b->raw, z.avail_in = (uInt)b->raw_len;
        z.next_out = b->packed, z.avail_out = BLOCK + 4096;
        if (deflate(&z, Z_FINISH) != Z_STREAM_END)
            exit(3);
        b->packed_len = BLOCK + 4096 - z.avail_out;
        deflateReset(&z);
        queue_push(&a->to_write, b);
    }
    deflateEnd(&z);
    return NULL;
}

static void write_block(archive_t *a, FILE *f, block_t *b) {
    if (fwrite(b->packed, 1, b->packed_len, f) != b->packed_len)
        exit(4);
    a->crc = (uint32_t)crc32(a->crc, b->packed, (uInt)b->packed_len);
    a->raw_bytes += b->raw_len;
    a->packed_bytes += b->packed_len;
    queue_push(&a->idle, b);
}

static void *writer_main(void *arg) {
    archive_t *a = arg;
    FILE *f = fopen(a->path, "wb");
    if (!f)
        exit(4);
    block_t *early[BUFFERS];
    int n = 0;
    for (unsigned next = 0; next < a->blocks;) {
        bool found = false;
        for (int i = 0; i < n && !found; i++)
            if (early[i]->number == next) {
                write_block(a, f, early[i]);
                early[i] = early[--n];
                next++;
                found = true;
            }
        if (!found)
            early[n++] = queue_pop(&a->to_write);
    }
    fclose(f);
    return NULL;
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    char dir[256], path[300];
    snprintf(dir, sizeof dir, "%s/seqpipe-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 2;
    snprintf(path, sizeof path, "%s/reads.arc", dir);
    double t0 = now();
    archive_t a = {.blocks = 1700, .path = path};
    queue_init(&a.idle), queue_init(&a.to_pack), queue_init(&a.to_write);
    block_t block[BUFFERS];
    for (int i = 0; i < BUFFERS; i++) {
        block[i] = (block_t){.raw = malloc(BLOCK), .packed = malloc(BLOCK + 4096)};
        queue_push(&a.idle, &block[i]);
    }
    pthread_t t[PACKERS + 2];
    pthread_create(&t[0], NULL, reader_main, &a);
    pthread_create(&t[1], NULL, writer_main, &a);
    for (int i = 0; i < PACKERS; i++)
        pthread_create(&t[2 + i], NULL, packer_main, &a);
    for (int i = 0; i < PACKERS + 2; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < BUFFERS; i++)
        free(block[i].raw), free(block[i].packed);
    unlink(path);
    rmdir(dir);
    printf("raw_mb=%.1f crc=%08x seconds=%.3f\n", (double)a.raw_bytes / 1e6, a.crc, now() - t0);
    return 0;
}
