/* SPDX-License-Identifier: Apache-2.0 */
/* dedup: finds identical files below a directory and groups them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_FILES 1024
#define BLOCK 65536

struct entry {
    char path[320];
    off_t size;
    uint64_t digest[2];
    int group;
};

struct catalog {
    struct entry e[MAX_FILES];
    int n;
    int by_digest;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Write sample tree: `count` files, many of them equal, differing only near the end. */
static void make_tree(const char *dir, int count, size_t size)
{
    char *buf = malloc(size);
    for (size_t i = 0; i < size; i++)
        buf[i] = (char)(i * 131 + (i >> 9));
    for (int f = 0; f < count; f++) {
        char path[320];
        snprintf(path, sizeof path, "%s/file%03d.bin", dir, f);
        buf[size - 100] = (char)(f % 260);
        buf[size - 99] = (char)(f % 260 / 256);
        int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
        if (fd < 0 || write(fd, buf, size) != (ssize_t)size) {
            perror(path);
            exit(2);
        }
        close(fd);
    }
    free(buf);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static void scan_tree(struct catalog *c, const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *de;
    while (d && (de = readdir(d)) && c->n < MAX_FILES) {
        struct stat st;
        struct entry *e = &c->e[c->n];
        if (de->d_name[0] == '.')
            continue;
        snprintf(e->path, sizeof e->path, "%s/%s", dir, de->d_name);
        if (stat(e->path, &st))
            continue;
        e->size = st.st_size;
        e->group = -1;
        c->n++;
    }
    closedir(d);
    qsort(c->e, c->n, sizeof c->e[0], by_name);
}

static void digest_file(struct entry *e)
{
    static __thread uint64_t block[BLOCK / 8];
    uint64_t a = 0x9e3779b97f4a7c15ull, b = 0xc2b2ae3d27d4eb4full;
    int fd = open(e->path, O_RDONLY);
    ssize_t n;
    while ((n = read(fd, block, BLOCK)) > 0) {
        memset((char *)block + n, 0, (8 - n % 8) % 8);
        for (ssize_t i = 0; i < (n + 7) / 8; i++) {
            a = (a ^ block[i]) * 0x100000001b3ull;
            b = (b + block[i]) * 0x9e3779b97f4a7c15ull;
            b ^= b >> 29;
        }
    }
    close(fd);
    e->digest[0] = a;
    e->digest[1] = b;
}

static ssize_t fill(int fd, char *p)
{
    ssize_t have = 0, n;
    while (have < BLOCK && (n = read(fd, p + have, BLOCK - have)) > 0)
        have += n;
    return have;
}

static int same_content(const struct entry *x, const struct entry *y)
{
    static __thread char bx[BLOCK], by[BLOCK];
    int fx = open(x->path, O_RDONLY), fy = open(y->path, O_RDONLY), same = 1;
    for (;;) {
        ssize_t nx = fill(fx, bx), ny = fill(fy, by);
        if (nx != ny || memcmp(bx, by, nx)) {
            same = 0;
            break;
        }
        if (nx == 0)
            break;
    }
    close(fx);
    close(fy);
    return same;
}

static int entries_match(struct catalog *c, int i, int j)
{
    if (c->e[i].size != c->e[j].size)
        return 0;
    if (c->by_digest)
        return !memcmp(c->e[i].digest, c->e[j].digest, sizeof c->e[i].digest);
    return same_content(&c->e[i], &c->e[j]);
}

static int group_files(struct catalog *c)
{
    int groups = 0;
    if (c->by_digest)
        for (int i = 0; i < c->n; i++)
            digest_file(&c->e[i]);
    for (int i = 0; i < c->n; i++) {
        if (c->e[i].group >= 0)
            continue;
        c->e[i].group = groups++;
        for (int j = i + 1; j < c->n; j++)
            if (c->e[j].group < 0 && entries_match(c, i, j))
                c->e[j].group = c->e[i].group;
    }
    return groups;
}

static void *group_main(void *p)
{
    group_files(p);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct catalog c;
    char dir[] = "/tmp/tailback_ddXXXXXX";
    c.by_digest = argc > 1 && !strcmp(argv[1], "fixed");
    if (!mkdtemp(dir))
        return 2;
    double t0 = now();
    make_tree(dir, 520, 500000);
    scan_tree(&c, dir);
    pthread_t t;
    pthread_create(&t, NULL, group_main, &c);
    pthread_join(t, NULL);
    unsigned long sum = 0;
    for (int i = 0; i < c.n; i++) {
        sum = sum * 31 + c.e[i].group;
        unlink(c.e[i].path);
    }
    rmdir(dir);
    printf("files=%d checksum=%lu seconds=%.3f\n", c.n, sum, now() - t0);
    return 0;
}
