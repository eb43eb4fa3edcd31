// SPDX-License-Identifier: Apache-2.0
// link: -fopenmp -lm
// simjoin: finds pairs of similar protein sequences. Sequences are sorted by length so
// that only those of comparable length need to be compared.
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BAND = 12 };

typedef struct {
    int length;
    uint8_t *residue;
} sequence_t;

typedef struct {
    sequence_t *seq;
    int count;
} library_t;

typedef struct {
    const char *schedule; /* as OMP_SCHEDULE */
    double min_ratio;
} settings_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_length(const void *a, const void *b) {
    return ((const sequence_t *)b)->length - ((const sequence_t *)a)->length;
}

static library_t load_library(int count) {
    library_t l = {calloc((size_t)count, sizeof(sequence_t)), count};
    uint64_t x = 88172645463325252ull;
    for (int i = 0; i < count; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        double u = (double)(x >> 11) / 9007199254740992.0;
        int n = 40 + (int)(700.0 * u * u * u);
        l.seq[i].length = n;
        l.seq[i].residue = malloc((size_t)n);
        for (int k = 0; k < n; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            l.seq[i].residue[k] = (uint8_t)((x >> 30) % 20);
        }
    }
    qsort(l.seq, (size_t)count, sizeof *l.seq, by_length);
    return l;
}

static void free_library(library_t *l) {
    for (int i = 0; i < l->count; i++)
        free(l->seq[i].residue);
    free(l->seq);
}

static int max3(int a, int b, int c) { return a > b ? (a > c ? a : c) : (b > c ? b : c); }

/* Score of the best alignment within a band round the diagonal. */
static int banded_score(const sequence_t *a, const sequence_t *b) {
    int row[2 * BAND + 2] = {0};
    int best = 0;
    for (int i = 0; i < a->length; i++) {
        int left = 0;
        for (int k = 0; k <= 2 * BAND; k++) {
            int j = i + k - BAND;
            if (j < 0 || j >= b->length)
                continue;
            int match = a->residue[i] == b->residue[j] ? 5 : -2;
            int v = max3(row[k] + match, row[k + 1] - 3, left - 3);
            row[k] = left = v > 0 ? v : 0;
            if (v > best)
                best = v;
        }
    }
    return best;
}

static void apply_settings(const settings_t *s) {
    int chunk = 0;
    const char *comma = strchr(s->schedule, ',');
    if (comma)
        chunk = atoi(comma + 1);
    omp_set_schedule(strncmp(s->schedule, "dynamic", 7) ? omp_sched_static : omp_sched_dynamic, chunk);
    omp_set_num_threads(omp_get_num_procs());
}

static long compare_with_shorter(const library_t *l, int i, double min_ratio) {
    const sequence_t *a = &l->seq[i];
    long sum = 0;
    for (int j = i + 1; j < l->count && j < i + 160; j++) {
        const sequence_t *b = &l->seq[j];
        if ((double)b->length < min_ratio * (double)a->length)
            break;
        int s = banded_score(a, b);
        if (s > 30)
            sum += s * (long)(i % 7 + 1);
    }
    return sum;
}

static long join_library(const library_t *l, const settings_t *s) {
    long total = 0;
#pragma omp parallel for schedule(runtime) reduction(+ : total)
    for (int i = 0; i < l->count; i++)
        total += compare_with_shorter(l, i, s->min_ratio);
    return total;
}

/* Composition statistics of the whole library, for the report. */
static double composition_entropy(const library_t *l) {
    double entropy = 0;
    for (int i = 0; i < l->count; i++) {
        int n[20] = {0};
        for (int k = 0; k < l->seq[i].length; k++)
            n[l->seq[i].residue[k]]++;
        for (int r = 0; r < 20; r++) {
            double p = (double)n[r] / l->seq[i].length;
            if (p > 0)
                entropy -= p * log2(p);
        }
    }
    return entropy / l->count;
}

int main(int argc, char **argv) {
    settings_t s = {"static", 0.8};
    if (argc > 1 && !strcmp(argv[1], "fixed"))
        s.schedule = "dynamic,8";
    double t0 = now();
    apply_settings(&s);
    library_t l = load_library(2700);
    double e = composition_entropy(&l);
    long score = join_library(&l, &s);
    free_library(&l);
    printf("score=%ld entropy=%.4f seconds=%.3f\n", score, e, now() - t0);
    return 0;
}
