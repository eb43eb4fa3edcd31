// SPDX-License-Identifier: Apache-2.0
// link: -lm
// radarfeed: takes sweeps of a harbour radar, filters them and feeds two trackers and a
// plotter through small single-producer rings.
#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>

enum { BINS = 1024, SLOTS = 64, SINKS = 3 };

typedef struct {
    uint32_t number;
    bool last;
    float echo[BINS];
} sweep_t;

typedef struct feed_s feed_t;

typedef struct {
    atomic_uint head, tail;
    sem_t filled;
    feed_t *feed;
    sweep_t slot[SLOTS];
} ring_t;

struct feed_s {
    bool low_latency; /* never give the core away while a sweep may come in */
    ring_t ring[SINKS];
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void relax(void) { __builtin_ia32_pause(); }

static void ring_init(ring_t *r, feed_t *f) {
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    sem_init(&r->filled, 0, 0);
    r->feed = f;
}

static sweep_t *ring_claim(ring_t *r) {
    unsigned h = atomic_load_explicit(&r->head, memory_order_relaxed);
    while (h - atomic_load_explicit(&r->tail, memory_order_acquire) == SLOTS)
        thrd_sleep(&(struct timespec){0, 500000}, NULL);
    return &r->slot[h % SLOTS];
}

static void ring_publish(ring_t *r) {
    atomic_fetch_add_explicit(&r->head, 1, memory_order_release);
    if (!r->feed->low_latency)
        sem_post(&r->filled);
}

static const sweep_t *ring_front(ring_t *r) {
    unsigned t = atomic_load_explicit(&r->tail, memory_order_relaxed);
    if (r->feed->low_latency) {
        while (atomic_load_explicit(&r->head, memory_order_acquire) == t)
            relax();
    } else {
        while (sem_wait(&r->filled) != 0)
            ;
    }
    return &r->slot[t % SLOTS];
}

static void ring_pop(ring_t *r) { atomic_fetch_add_explicit(&r->tail, 1, memory_order_release); }

typedef struct {
    ring_t *in;
    double result;
} sink_t;

static int tracker_main(void *arg) {
    sink_t *s = arg;
    float centroid = BINS / 2.0f;
    for (bool last = false; !last;) {
        const sweep_t *w = ring_front(s->in);
        float mass = 1e-6f, moment = 0;
        for (int b = 0; b < BINS; b++) {
            float e = w->echo[b] * w->echo[b];
            mass += e;
            moment += e * (float)b;
        }
        centroid += 0.2f * (moment / mass - centroid);
        s->result += centroid;
        last = w->last;
        ring_pop(s->in);
    }
    return 0;
}

static int plotter_main(void *arg) {
    sink_t *s = arg;
    uint32_t hist[64] = {0};
    for (bool last = false; !last;) {
        const sweep_t *w = ring_front(s->in);
        for (int b = 0; b < BINS; b++) {
            int k = (int)(w->echo[b] * 12.0f);
            hist[k < 0 ? 0 : k > 63 ? 63 : k]++;
        }
        last = w->last;
        ring_pop(s->in);
    }
    for (int k = 0; k < 64; k++)
        s->result += (double)hist[k] * k;
    return 0;
}

static void acquire_sweep(uint32_t n, float *raw) {
    uint32_t x = n * 2654435761u + 1;
    for (int b = 0; b < BINS; b++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        float d = ((float)b - 300.0f - (float)(n % 400)) * 0.05f;
        raw[b] = (float)(x >> 8) / 16777216.0f + 4.0f * expf(-d * d);
    }
}

static void clutter_filter(const float *raw, float *out) {
    enum { HALF = 24 };
    for (int b = 0; b < BINS; b++) {
        int lo = b < HALF ? 0 : b - HALF, hi = b + HALF >= BINS ? BINS - 1 : b + HALF;
        float mean = 0, dev = 0;
        for (int k = lo; k <= hi; k++)
            mean += raw[k];
        mean /= (float)(hi - lo + 1);
        for (int k = lo; k <= hi; k++)
            dev += fabsf(raw[k] - mean);
        dev /= (float)(hi - lo + 1);
        float v = raw[b] - mean - 0.5f * dev;
        out[b] = v > 0 ? v : 0;
    }
}

static void run_antenna(feed_t *f, uint32_t sweeps) {
    float raw[BINS], clean[BINS];
    for (uint32_t n = 0; n < sweeps; n++) {
        acquire_sweep(n, raw);
        clutter_filter(raw, clean);
        for (int i = 0; i < SINKS; i++) {
            sweep_t *w = ring_claim(&f->ring[i]);
            w->number = n;
            w->last = n + 1 == sweeps;
            memcpy(w->echo, clean, sizeof clean);
            ring_publish(&f->ring[i]);
        }
    }
}

int main(int argc, char **argv) {
    double t0 = now();
    feed_t *f = calloc(1, sizeof *f);
    f->low_latency = !(argc > 1 && !strcmp(argv[1], "fixed"));
    sink_t sink[SINKS];
    thrd_t t[SINKS];
    for (int i = 0; i < SINKS; i++) {
        ring_init(&f->ring[i], f);
        sink[i] = (sink_t){&f->ring[i], 0};
        thrd_create(&t[i], i < 2 ? tracker_main : plotter_main, &sink[i]);
    }
    run_antenna(f, 27000);
    double sum = 0;
    for (int i = 0; i < SINKS; i++) {
        thrd_join(t[i], NULL);
        sum += sink[i].result;
    }
    free(f);
    printf("tracks=%.1f seconds=%.3f\n", sum, now() - t0);
    return 0;
}
