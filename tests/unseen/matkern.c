/* SPDX-License-Identifier: Apache-2.0 */
/* matkern: blocked single-precision matrix product, rows split over two threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N 1024
#define KB 128
#ifndef ROUNDS
#define ROUNDS 90
#endif

typedef float v8 __attribute__((vector_size(32), aligned(4)));

static float A[N][N], B[N][N], C[N][N];

struct part {
    int from, to, rounds;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

#define WIDE __attribute__((target("avx2,fma")))

/* 4 x 16 register tile over a packed panel of B */
WIDE static void micro(int i, int j, int k0, const float *panel)
{
    v8 c[4][2];
    for (int r = 0; r < 4; r++) {
        c[r][0] = *(v8 *)&C[i + r][j];
        c[r][1] = *(v8 *)&C[i + r][j + 8];
    }
    for (int k = 0; k < KB; k++, panel += 16) {
        v8 b0 = *(const v8 *)panel, b1 = *(const v8 *)(panel + 8);
        for (int r = 0; r < 4; r++) {
            c[r][0] += A[i + r][k0 + k] * b0;
            c[r][1] += A[i + r][k0 + k] * b1;
        }
    }
    for (int r = 0; r < 4; r++) {
        *(v8 *)&C[i + r][j] = c[r][0];
        *(v8 *)&C[i + r][j + 8] = c[r][1];
    }
}

WIDE static void multiply_rows(int from, int to)
{
    float panel[KB * 16] __attribute__((aligned(64)));
    for (int k = 0; k < N; k += KB)
        for (int j = 0; j < N; j += 16) {
            for (int kk = 0; kk < KB; kk++)
                memcpy(panel + kk * 16, &B[k + kk][j], 16 * sizeof(float));
            for (int i = from; i < to; i += 4)
                micro(i, j, k, panel);
        }
}

static void *multiply_part(void *p)
{
    struct part *w = p;
    for (int r = 0; r < w->rounds; r++) {
        memset(C[w->from], 0, sizeof C[0] * (w->to - w->from));
        multiply_rows(w->from, w->to);
    }
    return NULL;
}

int main(void)
{
    double t0 = now();
    uint32_t x = 1;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            x = x * 1664525u + 1013904223u;
            A[i][j] = (float)(x >> 28);
            B[i][j] = (float)((x >> 20) & 15);
        }
    pthread_t t[2];
    struct part w[2] = {{0, N / 2, ROUNDS}, {N / 2, N, ROUNDS}};
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, multiply_part, &w[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    double s = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            s += C[i][j] * ((i * 7 + j) % 13);
    printf("checksum=%.0f seconds=%.3f\n", s, now() - t0);
    return 0;
}
