/* SPDX-License-Identifier: Apache-2.0 */
/* tilesrv: renders map tiles. Each request paints features into a canvas and
 * returns a run-length encoded crop. Two render threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CANVAS_W 4096
#define CANVAS_H 2560
#define CANVAS_BYTES ((size_t)CANVAS_W * CANVAS_H * 4)

struct request {
    uint32_t x, y, zoom;
};

struct renderer {
    int id;
    int requests;
    int keep;
    uint32_t *canvas;
    uint64_t sum;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint32_t *canvas_open(struct renderer *r)
{
    if (r->keep) {
        if (!r->canvas)
            r->canvas = malloc(CANVAS_BYTES);
        return r->canvas;
    }
    return malloc(CANVAS_BYTES);
}

static void canvas_close(struct renderer *r, uint32_t *c)
{
    if (!r->keep)
        free(c);
}

/* Row header words take part in the encoding, so they are written first. */
static void clear_rows(uint32_t *c, uint32_t shade)
{
    for (int y = 0; y < CANVAS_H; y++) {
        uint32_t *row = c + (size_t)y * CANVAS_W;
        for (int x = 0; x < CANVAS_W; x += 512)
            row[x] = shade + y;
    }
}

static void draw_road(uint32_t *c, uint32_t seed, uint32_t ink)
{
    int y = seed % CANVAS_H;
    for (int x = 0; x < CANVAS_W; x += 512) {
        c[(size_t)y * CANVAS_W + x] = ink ^ x;
        y = (y + (int)((seed >> (x & 15)) & 7)) % CANVAS_H;
    }
}

static uint64_t encode_crop(const uint32_t *c, const struct request *q)
{
    uint64_t h = 1469598103934665603ull;
    for (int y = 0; y < CANVAS_H; y++) {
        const uint32_t *row = c + (size_t)y * CANVAS_W;
        for (int x = 0; x < CANVAS_W; x += 512)
            h = (h ^ row[x] ^ (q->zoom * y)) * 1099511628211ull;
    }
    return h;
}

static uint64_t render_tile(struct renderer *r, const struct request *q)
{
    uint32_t *c = canvas_open(r);
    clear_rows(c, q->x ^ q->y);
    for (uint32_t i = 0; i < 40; i++)
        draw_road(c, q->x * 2654435761u + i * 40503u, i);
    uint64_t h = encode_crop(c, q);
    canvas_close(r, c);
    return h;
}

static void *render_main(void *p)
{
    struct renderer *r = p;
    uint32_t s = 17 + r->id;
    for (int i = 0; i < r->requests; i++) {
        s = s * 1664525u + 1013904223u;
        struct request q = {s >> 20, (s >> 8) & 4095, 3 + s % 12};
        r->sum = r->sum * 31 + render_tile(r, &q);
    }
    free(r->canvas);
    return NULL;
}

int main(int argc, char **argv)
{
    struct renderer r[2];
    pthread_t t[2];
    double t0 = now();
    memset(r, 0, sizeof r);
    for (int i = 0; i < 2; i++) {
        r[i].id = i;
        r[i].requests = 190;
        r[i].keep = argc > 1 && !strcmp(argv[1], "fixed");
        pthread_create(&t[i], NULL, render_main, &r[i]);
    }
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        sum = sum * 131 + r[i].sum;
    }
    printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum, now() - t0);
    return 0;
}
