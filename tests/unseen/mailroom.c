/* SPDX-License-Identifier: Apache-2.0 */
/* mailroom: messages travel through three desks (sort -> stamp -> dispatch),
 * a thread each, joined by small mailboxes; the sender waits for the receipt. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16

struct letter {
    uint32_t serial;
    uint32_t zip;
    uint64_t stamp;
};

struct mailbox {
    pthread_mutex_t mu;
    pthread_cond_t filled;
    struct letter slot[SLOTS];
    unsigned head, tail;
    int signalled; /* wake the desk instead of having it look now and then */
};

static struct mailbox tray[4]; /* sort, stamp, dispatch, receipts */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void mailbox_init(struct mailbox *m, int signalled)
{
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->mu, NULL);
    pthread_cond_init(&m->filled, NULL);
    m->signalled = signalled;
}

static void deliver(struct mailbox *m, const struct letter *l)
{
    pthread_mutex_lock(&m->mu);
    m->slot[m->tail++ % SLOTS] = *l;
    if (m->signalled)
        pthread_cond_signal(&m->filled);
    pthread_mutex_unlock(&m->mu);
}

static void collect(struct mailbox *m, struct letter *l)
{
    pthread_mutex_lock(&m->mu);
    while (m->head == m->tail) {
        if (m->signalled) {
            pthread_cond_wait(&m->filled, &m->mu);
        } else {
            pthread_mutex_unlock(&m->mu);
            usleep(1000);
            pthread_mutex_lock(&m->mu);
        }
    }
    *l = m->slot[m->head++ % SLOTS];
    pthread_mutex_unlock(&m->mu);
}

static uint64_t sort_letter(struct letter *l)
{
    uint64_t h = l->zip;
    for (int i = 0; i < 3000; i++)
        h = h * 6364136223846793005ull + l->serial;
    return h;
}

static uint64_t ink(uint64_t v)
{
    for (int i = 0; i < 3000; i++)
        v ^= v << 13, v ^= v >> 7, v ^= v << 17;
    return v;
}

static void *sort_desk(void *p)
{
    struct letter l;
    (void)p;
    for (;;) {
        collect(&tray[0], &l);
        if (l.serial)
            l.stamp = sort_letter(&l);
        deliver(&tray[1], &l);
        if (!l.serial)
            return NULL;
    }
}

static void *stamp_desk(void *p)
{
    struct letter l;
    (void)p;
    for (;;) {
        collect(&tray[1], &l);
        if (l.serial)
            l.stamp = ink(l.stamp | 1);
        deliver(&tray[2], &l);
        if (!l.serial)
            return NULL;
    }
}

static void *dispatch_desk(void *p)
{
    struct letter l;
    (void)p;
    for (;;) {
        collect(&tray[2], &l);
        if (!l.serial)
            return NULL;
        l.stamp += l.zip % 97;
        deliver(&tray[3], &l);
    }
}

int main(int argc, char **argv)
{
    int signalled = argc > 1 && !strcmp(argv[1], "fixed");
    pthread_t t[3];
    double t0 = now();
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++)
        mailbox_init(&tray[i], signalled);
    pthread_create(&t[0], NULL, sort_desk, NULL);
    pthread_create(&t[1], NULL, stamp_desk, NULL);
    pthread_create(&t[2], NULL, dispatch_desk, NULL);
    for (uint32_t i = 1; i <= 1200; i++) {
        struct letter l = {i, i * 7919 % 99999, 0};
        deliver(&tray[0], &l);
        collect(&tray[3], &l);
        sum = sum * 31 + l.stamp;
    }
    struct letter end = {0, 0, 0};
    deliver(&tray[0], &end);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum, now() - t0);
    return 0;
}
