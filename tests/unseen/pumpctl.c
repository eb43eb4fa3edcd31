// SPDX-License-Identifier: Apache-2.0
// link: -lm
// pumpctl: controller daemon of a waterworks. It sleeps in epoll_wait until a period
// timer, an operator's command (socket) or an alarm (eventfd) needs it. Mostly idle.
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PUMPS = 12, HISTORY = 4096 };

typedef struct {
    double level, flow, set_point, integral;
    float history[HISTORY];
    unsigned at;
} pump_t;

typedef struct daemon_s daemon_t;
typedef void handler_fn(daemon_t *);

typedef struct {
    int fd;
    handler_fn *fn;
} source_t;

struct daemon_s {
    int ep, timer, alarm, command;
    source_t source[3];
    pump_t pump[PUMPS];
    unsigned periods, commands, alarms;
    bool stop;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void regulate(pump_t *p, int i, unsigned period) {
    double inflow = 2.0 + sin(0.05 * period + i), error = p->set_point - p->level;
    p->integral += error * 0.05;
    p->flow = fmin(6.0, fmax(0.0, 2.0 - 0.9 * error - 0.2 * p->integral));
    p->level += 0.05 * (inflow - p->flow);
    p->history[p->at++ % HISTORY] = (float)p->level;
}

/* Spectrum of the recent level, to see worn bearings early. */
static double wear_index(const pump_t *p) {
    double worst = 0;
    for (int k = 1; k < 24; k++) {
        double re = 0, im = 0;
        for (int n = 0; n < 512; n++) {
            double v = p->history[(p->at - 1 - (unsigned)n) % HISTORY];
            re += v * cos(0.01227 * k * n), im += v * sin(0.01227 * k * n);
        }
        worst = fmax(worst, re * re + im * im);
    }
    return worst;
}

static void on_timer(daemon_t *d) {
    uint64_t n;
    if (read(d->timer, &n, sizeof n) != sizeof n)
        return;
    d->periods++;
    for (int i = 0; i < PUMPS; i++)
        regulate(&d->pump[i], i, d->periods);
    /* one pump's spectrum per period */
    pump_t *p = &d->pump[d->periods % PUMPS];
    if (wear_index(p) > 1e9)
        p->set_point = 0;
}

static void on_command(daemon_t *d) {
    char line[64];
    ssize_t n = recv(d->command, line, sizeof line - 1, 0);
    if (n <= 0)
        return;
    line[n] = 0;
    int pump;
    double v;
    if (!strncmp(line, "stop", 4))
        d->stop = true;
    else if (sscanf(line, "set %d %lf", &pump, &v) == 2 && pump >= 0 && pump < PUMPS)
        d->pump[pump].set_point = v;
    d->commands++;
    n = snprintf(line, sizeof line, "done %u", d->commands);
    if (send(d->command, line, (size_t)n, MSG_NOSIGNAL) < 0)
        d->stop = true;
}

static void on_alarm(daemon_t *d) {
    uint64_t n;
    if (read(d->alarm, &n, sizeof n) == sizeof n)
        d->alarms += (unsigned)n;
}

static void add_source(daemon_t *d, int slot, int fd, handler_fn *fn) {
    d->source[slot] = (source_t){fd, fn};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &d->source[slot]};
    epoll_ctl(d->ep, EPOLL_CTL_ADD, fd, &e);
}

static void daemon_init(daemon_t *d, int command_fd) {
    d->ep = epoll_create1(0);
    d->timer = timerfd_create(CLOCK_MONOTONIC, 0);
    d->alarm = eventfd(0, 0);
    d->command = command_fd;
    struct itimerspec every = {{0, 25000000}, {0, 25000000}};
    timerfd_settime(d->timer, 0, &every, NULL);
    for (int i = 0; i < PUMPS; i++)
        d->pump[i].set_point = 3.0 + 0.1 * i;
    add_source(d, 0, d->timer, on_timer);
    add_source(d, 1, d->alarm, on_alarm);
    add_source(d, 2, d->command, on_command);
}

static void *daemon_main(void *arg) {
    daemon_t *d = arg;
    struct epoll_event e[8];
    while (!d->stop) {
        int n = epoll_wait(d->ep, e, 8, -1);
        for (int i = 0; i < n; i++)
            ((source_t *)e[i].data.ptr)->fn(d);
    }
    return NULL;
}

static void operator_says(int fd, const char *text) {
    char answer[64];
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || recv(fd, answer, sizeof answer, 0) <= 0)
        exit(3);
}

/* The operator and the float switch, for the demonstration. */
static void shift(int fd, int alarm_fd, int hours) {
    for (int h = 0; h < hours; h++) {
        nanosleep(&(struct timespec){0, 230000000}, NULL);
        char text[64];
        snprintf(text, sizeof text, "set %d %.1f", h % PUMPS, 2.5 + 0.2 * (h % 7));
        operator_says(fd, text);
        if (h % 4 == 3 && eventfd_write(alarm_fd, 1))
            exit(4);
    }
    operator_says(fd, "stop");
}

int main(void) {
    double t0 = now();
    int sv[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv))
        return 2;
    static daemon_t d;
    daemon_init(&d, sv[0]);
    pthread_t t;
    pthread_create(&t, NULL, daemon_main, &d);
    shift(sv[1], d.alarm, 13);
    pthread_join(t, NULL);
    printf("periods>%d commands=%u alarms=%u seconds=%.3f\n", d.periods > 90 ? 90 : 0, d.commands, d.alarms, now() - t0);
    return 0;
}
