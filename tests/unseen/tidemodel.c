// SPDX-License-Identifier: Apache-2.0
// link: -lm
// tidemodel: shallow-water model of an estuary. Strips of the grid are computed by a
// crew of threads that meet at a barrier after every half step.
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int nx, ny;
    float *h, *u, *v, *depth;
} basin_t;

typedef struct {
    basin_t *b;
    pthread_barrier_t meet;
    int crew, steps;
    double gauge;
} model_t;

typedef struct {
    model_t *m;
    int me;
} hand_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static float *plane(const basin_t *b) {
    return calloc((size_t)b->nx * (size_t)b->ny, sizeof(float));
}

static void basin_open(basin_t *b, int nx, int ny) {
    b->nx = nx, b->ny = ny;
    b->h = plane(b), b->u = plane(b), b->v = plane(b), b->depth = plane(b);
    for (int y = 0; y < ny; y++)
        for (int x = 0; x < nx; x++) {
            float r = hypotf((float)(x - nx / 2) / (float)nx, (float)(y - ny / 2) / (float)ny);
            b->depth[y * nx + x] = 4.0f + 18.0f * (0.75f - r);
            b->h[y * nx + x] = expf(-90.0f * r * r);
        }
}

static void basin_close(basin_t *b) {
    free(b->h), free(b->u), free(b->v), free(b->depth);
}

static void momentum_rows(basin_t *b, int from, int to) {
    const float k = 0.012f;
    for (int y = from; y < to; y++) {
        int down = y + 1 < b->ny ? b->nx : 0;
        float *h = b->h + y * b->nx, *u = b->u + y * b->nx, *v = b->v + y * b->nx;
        for (int x = 0; x + 1 < b->nx; x++) {
            float drag = 1.0f - 0.0004f * sqrtf(u[x] * u[x] + v[x] * v[x]);
            u[x] = u[x] * drag - k * (h[x + 1] - h[x]);
            v[x] = v[x] * drag - k * (h[x + down] - h[x]);
        }
    }
}

static void continuity_rows(basin_t *b, int from, int to) {
    const float k = 0.012f;
    for (int y = from; y < to; y++) {
        int up = y ? b->nx : 0;
        float *h = b->h + y * b->nx, *u = b->u + y * b->nx, *v = b->v + y * b->nx, *d = b->depth + y * b->nx;
        for (int x = 1; x + 1 < b->nx; x++)
            h[x] -= k * d[x] * (u[x] - u[x - 1] + v[x] - (up ? v[x - up] : 0.0f));
    }
}

static void read_gauge(model_t *m, int step) {
    const basin_t *b = m->b;
    float tide = 0.2f * sinf(0.01f * (float)step);
    for (int x = 0; x < b->nx; x++)
        b->h[x] = 0.98f * b->h[x] + 0.02f * tide;
    m->gauge += fabs((double)b->h[(b->ny / 3) * b->nx + b->nx / 3]);
}

static void *crew_main(void *arg) {
    hand_t *hand = arg;
    model_t *m = hand->m;
    int from = m->b->ny * hand->me / m->crew, to = m->b->ny * (hand->me + 1) / m->crew;
    for (int s = 0; s < m->steps; s++) {
        momentum_rows(m->b, from, to);
        pthread_barrier_wait(&m->meet);
        continuity_rows(m->b, from, to);
        if (pthread_barrier_wait(&m->meet) == PTHREAD_BARRIER_SERIAL_THREAD)
            read_gauge(m, s);
        pthread_barrier_wait(&m->meet);
    }
    return NULL;
}

static void run_model(model_t *m) {
    pthread_t *t = calloc((size_t)m->crew, sizeof *t);
    hand_t *hand = calloc((size_t)m->crew, sizeof *hand);
    pthread_barrier_init(&m->meet, NULL, (unsigned)m->crew);
    for (int i = 0; i < m->crew; i++) {
        hand[i] = (hand_t){m, i};
        pthread_create(&t[i], NULL, crew_main, &hand[i]);
    }
    for (int i = 0; i < m->crew; i++)
        pthread_join(t[i], NULL);
    pthread_barrier_destroy(&m->meet);
    free(t);
    free(hand);
}

/* The values of the institute's big machine are the default. */
static int crew_size(const char *mode) {
    if (mode && !strcmp(mode, "fixed")) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        return n > 0 ? (int)n : 1;
    }
    const char *set = getenv("TIDEMODEL_CREW");
    return set ? atoi(set) : 64;
}

int main(int argc, char **argv) {
    double t0 = now();
    basin_t b;
    basin_open(&b, 320, 256);
    model_t m = {.b = &b, .crew = crew_size(argc > 1 ? argv[1] : NULL), .steps = 8500};
    run_model(&m);
    double volume = 0;
    for (int i = 0; i < b.nx * b.ny; i++)
        volume += (double)b.h[i];
    basin_close(&b);
    printf("gauge=%.4f volume=%.3f seconds=%.3f\n", m.gauge, volume, now() - t0);
    return 0;
}
