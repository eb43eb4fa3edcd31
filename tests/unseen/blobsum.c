/* SPDX-License-Identifier: Apache-2.0 */
/* blobsum: streams a large file in 1 MiB reads and computes a checksum per block;
 * the reader fills one buffer while the summing thread works on another. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (1 << 20)
#define BUFFERS 4

struct stream {
    pthread_mutex_t mu;
    pthread_cond_t full, empty;
    uint64_t *buf[BUFFERS];
    ssize_t len[BUFFERS];
    unsigned head, tail;
    uint64_t sum;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint64_t sum_block(const uint64_t *p, size_t words)
{
    uint64_t a[4] = {1, 2, 3, 4};
    for (size_t i = 0; i + 4 <= words; i += 4)
        for (int k = 0; k < 4; k++) {
            a[k] = (a[k] ^ p[i + k]) * 0x9e3779b97f4a7c15ull;
            a[k] ^= a[k] >> 31;
        }
    return a[0] ^ a[1] * 3 ^ a[2] * 5 ^ a[3] * 7;
}

static void *sum_main(void *arg)
{
    struct stream *s = arg;
    for (;;) {
        pthread_mutex_lock(&s->mu);
        while (s->head == s->tail)
            pthread_cond_wait(&s->full, &s->mu);
        unsigned i = s->head % BUFFERS;
        pthread_mutex_unlock(&s->mu);
        if (s->len[i] <= 0)
            return NULL;
        s->sum = s->sum * 31 + sum_block(s->buf[i], s->len[i] / 8);
        pthread_mutex_lock(&s->mu);
        s->head++;
        pthread_cond_signal(&s->empty);
        pthread_mutex_unlock(&s->mu);
    }
}

static void stream_file(struct stream *s, const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t n;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    do {
        pthread_mutex_lock(&s->mu);
        while (s->tail - s->head == BUFFERS)
            pthread_cond_wait(&s->empty, &s->mu);
        unsigned i = s->tail % BUFFERS;
        pthread_mutex_unlock(&s->mu);
        n = read(fd, s->buf[i], CHUNK);
        pthread_mutex_lock(&s->mu);
        s->len[i] = n;
        s->tail++;
        pthread_cond_signal(&s->full);
        pthread_mutex_unlock(&s->mu);
    } while (n > 0);
    close(fd);
}

static void write_sample(const char *path, int chunks)
{
    uint64_t *b = malloc(CHUNK), x = 88172645463325252ull;
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    for (int c = 0; c < chunks; c++) {
        for (size_t i = 0; i < CHUNK / 8; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            b[i] = x;
        }
        if (write(fd, b, CHUNK) != CHUNK)
            exit(2);
    }
    close(fd);
    free(b);
}

int main(void)
{
    char dir[] = "/tmp/tailback_bsXXXXXX", path[64];
    static struct stream s;
    if (!mkdtemp(dir))
        return 2;
    snprintf(path, sizeof path, "%s/blob.bin", dir);
    double t0 = now();
    pthread_mutex_init(&s.mu, NULL);
    pthread_cond_init(&s.full, NULL);
    pthread_cond_init(&s.empty, NULL);
    for (int i = 0; i < BUFFERS; i++)
        s.buf[i] = aligned_alloc(4096, CHUNK);
    write_sample(path, 1400);
    pthread_t t;
    pthread_create(&t, NULL, sum_main, &s);
    stream_file(&s, path);
    pthread_join(t, NULL);
    unlink(path);
    rmdir(dir);
    printf("checksum=%llu seconds=%.3f\n", (unsigned long long)s.sum, now() - t0);
    return 0;
}
