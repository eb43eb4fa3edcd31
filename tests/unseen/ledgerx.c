/* SPDX-License-Identifier: Apache-2.0 */
/* ledgerx: two posting threads export their ledgers as text files, then a
 * reconciliation step reads the exports back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct sink {
    int fd;
    size_t used, cap;
    char *buf;
};

struct ledger {
    int id;
    int postings;
    size_t cap;
    char path[64];
    uint64_t balance;
    uint64_t readback;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void sink_flush(struct sink *s)
{
    size_t off = 0;
    while (off < s->used) {
        ssize_t n = write(s->fd, s->buf + off, s->used - off);
        if (n <= 0) {
            perror("write");
            exit(2);
        }
        off += n;
    }
    s->used = 0;
}

static void sink_put(struct sink *s, const char *p, size_t n)
{
    if (s->used + n > s->cap)
        sink_flush(s);
    if (n >= s->cap) {
        if (write(s->fd, p, n) != (ssize_t)n)
            exit(2);
        return;
    }
    memcpy(s->buf + s->used, p, n);
    s->used += n;
}

static void put_text(struct sink *s, const char *t)
{
    sink_put(s, t, strlen(t));
}

static void put_number(struct sink *s, uint64_t v)
{
    char b[24];
    int n = snprintf(b, sizeof b, "%llu", (unsigned long long)v);
    sink_put(s, b, n);
}

static void export_posting(struct sink *s, uint32_t account, uint32_t cents, int day)
{
    put_number(s, day);
    put_text(s, ";");
    put_text(s, "ACC");
    put_number(s, account);
    put_text(s, ";");
    put_number(s, cents / 100);
    put_text(s, ".");
    put_number(s, cents % 100);
    put_text(s, "\n");
}

static void *post_ledger(void *arg)
{
    struct ledger *l = arg;
    struct sink s = {0};
    uint32_t x = 100 + l->id;
    s.fd = open(l->path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    s.cap = l->cap;
    s.buf = malloc(s.cap);
    for (int i = 0; i < l->postings; i++) {
        x = x * 1664525u + 1013904223u;
        export_posting(&s, x >> 18, (x >> 4) % 1000000, i / 500);
        l->balance += (x >> 4) % 1000000;
    }
    sink_flush(&s);
    close(s.fd);
    free(s.buf);
    return NULL;
}

static void reconcile(struct ledger *l)
{
    FILE *f = fopen(l->path, "r");
    char line[128];
    unsigned day, acc, whole, frac;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%u;ACC%u;%u.%u", &day, &acc, &whole, &frac) == 4)
            l->readback += whole * 100 + frac;
    fclose(f);
    unlink(l->path);
}

int main(int argc, char **argv)
{
    struct ledger l[2];
    pthread_t t[2];
    char dir[] = "/tmp/tailback_lxXXXXXX";
    int fixed = argc > 1 && !strcmp(argv[1], "fixed");
    if (!mkdtemp(dir))
        return 2;
    double t0 = now();
    memset(l, 0, sizeof l);
    for (int i = 0; i < 2; i++) {
        l[i].id = i;
        l[i].postings = 320000;
        l[i].cap = fixed ? 65536 : 1;
        snprintf(l[i].path, sizeof l[i].path, "%s/ledger%d.txt", dir, i);
        pthread_create(&t[i], NULL, post_ledger, &l[i]);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        reconcile(&l[i]);
        if (l[i].balance != l[i].readback)
            fprintf(stderr, "ledger %d differs\n", i);
        sum = sum * 31 + l[i].readback;
    }
    rmdir(dir);
    printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum, now() - t0);
    return 0;
}
