// SPDX-License-Identifier: Apache-2.0
// link: -fopenmp -lz -lm
/* Long-read mapper: indexes a reference by k-mers, finds seeds for each read
 * and aligns it in a band around the best diagonal (OpenMP over the reads). */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { REF_LEN = 400000, READS = 7500, K = 13, MIN_READ = 240, MAX_READ = 9000, BUCKETS = 1 << 20 };

static uint64_t rng_state = 0x2545f4914f6cdd1dull;

static uint32_t rnd(void) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)(rng_state >> 32);
}

struct read {
    int id, len;
    char *seq;
};

struct hit {
    int pos, score, seeds;
};

/* ---------------------------------------------------------------- inputs */

static char *make_reference(void) {
    char *ref = malloc(REF_LEN + 1);
    for (int i = 0; i < REF_LEN; i++) ref[i] = "ACGT"[rnd() & 3];
    ref[REF_LEN] = 0;
    return ref;
}

/* Read lengths follow the heavy tailed distribution of the instrument. */
static int draw_length(void) {
    double u = (rnd() + 1.0) / 4294967297.0;
    double len = MIN_READ * pow(u, -1.0 / 1.25);
    return len > MAX_READ ? MAX_READ : (int)len;
}

static struct read *make_reads(const char *ref) {
    struct read *reads = malloc(READS * sizeof *reads);
    for (int r = 0; r < READS; r++) {
        int len = draw_length(), n = 0;
        int from = (int)(rnd() % (REF_LEN - MAX_READ - 200));
        char *s = malloc((size_t)len + 1);
        for (int p = from; n < len; p++) {
            uint32_t e = rnd() % 100;
            if (e < 3) continue;                             /* deletion */
            if (e < 6 && n + 1 < len) s[n++] = "ACGT"[rnd() & 3]; /* insertion */
            s[n++] = e < 11 ? "ACGT"[rnd() & 3] : ref[p];
        }
        s[len] = 0;
        reads[r] = (struct read){r, len, s};
    }
    return reads;
}

static int longer_first(const void *a, const void *b) {
    const struct read *x = a, *y = b;
    return y->len != x->len ? y->len - x->len : x->id - y->id;
}

/* ----------------------------------------------------------------- index */

struct index {
    int32_t *head; /* bucket -> newest position */
    int32_t *next; /* position -> older position of the same bucket */
};

static int base_code(char c) { return c == 'A' ? 0 : c == 'C' ? 1 : c == 'G' ? 2 : 3; }

static uint32_t kmer_at(const char *s) {
    uint32_t v = 0;
    for (int i = 0; i < K; i++) v = v << 2 | (uint32_t)base_code(s[i]);
    return v;
}

static uint32_t bucket_of(uint32_t kmer) { return (kmer * 2654435761u) >> 12; }

static struct index build_index(const char *ref) {
    struct index ix = {malloc(BUCKETS * sizeof(int32_t)), malloc(REF_LEN * sizeof(int32_t))};
    memset(ix.head, -1, BUCKETS * sizeof(int32_t));
    for (int p = 0; p + K <= REF_LEN; p++) {
        uint32_t b = bucket_of(kmer_at(ref + p));
        ix.next[p] = ix.head[b];
        ix.head[b] = p;
    }
    return ix;
}

/* Votes of the seeds, by diagonal of 64 bases. */
static int best_diagonal(const struct index *ix, const char *ref, const struct read *r, uint16_t *votes, int *seeds) {
    int n_diag = REF_LEN / 64 + 1, best = 0;
    memset(votes, 0, (size_t)n_diag * sizeof *votes);
    int span = r->len < 1500 ? r->len : 1500;
    for (int i = 0; i + K <= span; i += 3) {
        uint32_t k = kmer_at(r->seq + i);
        for (int32_t p = ix->head[bucket_of(k)]; p >= 0; p = ix->next[p])
            if (p >= i && memcmp(ref + p, r->seq + i, K) == 0) votes[(p - i) / 64]++;
    }
    for (int d = 1; d < n_diag; d++)
        if (votes[d] > votes[best]) best = d;
    *seeds = votes[best];
    return best * 64;
}

/* ------------------------------------------------------------- alignment */

#define MAXI(a, b) ((a) > (b) ? (a) : (b))

/* The band widens with the read, as the drift of the diagonal does. */
static int banded_score(const char *ref, int from, const struct read *r, int *row) {
    int half = 24 + r->len / 40, width = 2 * half + 1, best = 0;
    for (int j = 0; j < width; j++) row[j] = 0;
    row[width] = -100000;
    for (int i = 0; i < r->len; i++) {
        int left = -100000, base = from + i - half;
        for (int j = 0; j < width; j++) {
            int p = base + j;
            int diag = p >= 0 && p < REF_LEN ? row[j] + (ref[p] == r->seq[i] ? 2 : -3) : -100000;
            int up = row[j + 1] - 4;
            int v = MAXI(MAXI(diag, up), MAXI(left - 4, 0));
            row[j] = left = v;
            best = MAXI(best, v);
        }
    }
    return best;
}

struct workspace {
    uint16_t *votes;
    int *row;
};

static struct workspace workspace_new(void) {
    return (struct workspace){malloc((REF_LEN / 64 + 1) * sizeof(uint16_t)), malloc((2 * (24 + MAX_READ / 40) + 3) * sizeof(int))};
}

static void workspace_free(struct workspace w) {
    free(w.votes);
    free(w.row);
}

static void align_read(const struct index *ix, const char *ref, const struct read *r, struct workspace w, struct hit *h) {
    h->pos = best_diagonal(ix, ref, r, w.votes, &h->seeds);
    h->score = banded_score(ref, h->pos + 32, r, w.row);
}

static void align_reads(const struct index *ix, const char *ref, const struct read *reads, struct hit *hits) {
#pragma omp parallel
    {
        struct workspace w = workspace_new();
#pragma omp for schedule(static)
        for (int i = 0; i < READS; i++) align_read(ix, ref, &reads[i], w, &hits[reads[i].id]);
        workspace_free(w);
    }
}

static void align_reads_on_demand(const struct index *ix, const char *ref, const struct read *reads, struct hit *hits) {
#pragma omp parallel
    {
        struct workspace w = workspace_new();
#pragma omp for schedule(dynamic, 4)
        for (int i = 0; i < READS; i++) align_read(ix, ref, &reads[i], w, &hits[reads[i].id]);
        workspace_free(w);
    }
}

/* ---------------------------------------------------------------- output */

static void summarize(const struct read *reads, const struct hit *hits) {
    long bases = 0, score = 0, mapped = 0;
    uLong crc = crc32(0, NULL, 0);
    char line[128];
    for (int i = 0; i < READS; i++) {
        const struct hit *h = &hits[reads[i].id];
        bases += reads[i].len;
        score += h->score;
        mapped += h->seeds >= 4;
        int n = snprintf(line, sizeof line, "r%d\t%d\t%d\t%d\n", reads[i].id, h->pos, h->score, h->seeds);
        crc = crc32(crc, (const Bytef *)line, (uInt)n);
    }
    printf("reads=%d bases=%ld mapped=%ld score=%ld crc=%08lx\n", READS, bases, mapped, score, crc);
}

int main(int argc, char **argv) {
    const int on_demand = argc > 1 && strcmp(argv[1], "fixed") == 0;
    char *ref = make_reference();
    struct read *reads = make_reads(ref);
    struct hit *hits = calloc(READS, sizeof *hits);

    double t0 = omp_get_wtime();
    struct index ix = build_index(ref);
    qsort(reads, READS, sizeof *reads, longer_first);
    if (on_demand)
        align_reads_on_demand(&ix, ref, reads, hits);
    else
        align_reads(&ix, ref, reads, hits);
    double secs = omp_get_wtime() - t0;

    summarize(reads, hits);
    printf("seconds=%.3f\n", secs);
    for (int i = 0; i < READS; i++) free(reads[i].seq);
    free(reads);
    free(hits);
    free(ix.head);
    free(ix.next);
    free(ref);
    return 0;
}
