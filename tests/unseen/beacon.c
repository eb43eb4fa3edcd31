// SPDX-License-Identifier: Apache-2.0
// link: -lsqlite3 -lm
// beacon: collects position reports of ships' transponders, decodes and smooths them and
// keeps the tracks in an SQLite database.
#include <math.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHIPS = 300, BITS = 168 };

typedef struct {
    uint8_t bit[BITS];
} burst_t;

typedef struct {
    uint32_t ship;
    double lat, lon, speed;
} report_t;

typedef struct {
    double lat, lon, gain;
    int reports;
} track_t;

typedef struct {
    sqlite3 *db;
    sqlite3_stmt *insert, *latest;
    int batch, open; /* rows per transaction */
} store_t;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int rc, store_t *s) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW) {
        fprintf(stderr, "%s\n", sqlite3_errmsg(s->db));
        exit(2);
    }
}

static void store_open(store_t *s, const char *path, int batch) {
    memset(s, 0, sizeof *s);
    s->batch = batch;
    must(sqlite3_open(path, &s->db), s);
    must(sqlite3_exec(s->db,
                      "CREATE TABLE report(ship INT, at INT, lat REAL, lon REAL);"
                      "CREATE TABLE latest(ship INTEGER PRIMARY KEY, lat REAL, lon REAL, speed REAL);",
                      0, 0, 0), s);
    must(sqlite3_prepare_v2(s->db, "INSERT INTO report VALUES(?,?,?,?)", -1, &s->insert, 0), s);
    must(sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO latest VALUES(?,?,?,?)", -1, &s->latest, 0), s);
}

static void store_flush(store_t *s) {
    if (s->open)
        must(sqlite3_exec(s->db, "COMMIT", 0, 0, 0), s);
    s->open = 0;
}

static void run_statement(store_t *s, sqlite3_stmt *st) {
    must(sqlite3_step(st), s);
    must(sqlite3_reset(st), s);
}

static void store_report(store_t *s, const report_t *r, const track_t *t, int at) {
    if (s->batch && !s->open++)
        must(sqlite3_exec(s->db, "BEGIN", 0, 0, 0), s);
    sqlite3_bind_int(s->insert, 1, (int)r->ship);
    sqlite3_bind_int(s->insert, 2, at);
    sqlite3_bind_double(s->insert, 3, r->lat);
    sqlite3_bind_double(s->insert, 4, r->lon);
    run_statement(s, s->insert);
    if (at % 8 == 0) {
        sqlite3_bind_int(s->latest, 1, (int)r->ship);
        sqlite3_bind_double(s->latest, 2, t->lat);
        sqlite3_bind_double(s->latest, 3, t->lon);
        sqlite3_bind_double(s->latest, 4, r->speed);
        run_statement(s, s->latest);
    }
    if (s->batch && s->open == s->batch)
        store_flush(s);
}

static double store_sum(store_t *s) {
    sqlite3_stmt *q;
    must(sqlite3_prepare_v2(s->db, "SELECT count(*) + sum(lat) + (SELECT sum(lon) FROM latest) FROM report", -1, &q, 0), s);
    must(sqlite3_step(q), s);
    double v = sqlite3_column_double(q, 0);
    sqlite3_finalize(q);
    return v;
}

static void store_close(store_t *s) {
    sqlite3_finalize(s->insert);
    sqlite3_finalize(s->latest);
    sqlite3_close(s->db);
}

static void put_bits(burst_t *b, int at, int n, uint32_t v) {
    for (int i = 0; i < n; i++)
        b->bit[at + i] = (uint8_t)(v >> (n - 1 - i) & 1);
}

static uint32_t get_bits(const burst_t *b, int at, int n) {
    uint32_t v = 0;
    for (int i = 0; i < n; i++)
        v = v << 1 | b->bit[at + i];
    return v;
}

static burst_t receive(int n) {
    burst_t b = {{0}};
    uint32_t x = (uint32_t)n * 2654435761u + 77;
    put_bits(&b, 0, 6, 1);
    put_bits(&b, 8, 30, (uint32_t)n % SHIPS);
    put_bits(&b, 50, 10, x >> 22);
    put_bits(&b, 61, 28, 108000000u + (uint32_t)n * 31 % 600000 + x % 900);
    put_bits(&b, 89, 27, 27000000u + (uint32_t)n * 17 % 600000 + x % 700);
    return b;
}

/* Demodulates the burst: correlates the oversampled signal with the two tones. */
static burst_t demodulate(const burst_t *sent) {
    enum { OVER = 16 };
    burst_t out;
    for (int i = 0; i < BITS; i++) {
        float mark = 0, space = 0;
        for (int k = 0; k < OVER; k++) {
            float p = (float)k / OVER * 6.2831853f, s = sinf(sent->bit[i] ? 2 * p : p) + 0.2f * sinf(9.0f * p);
            mark += s * sinf(2 * p);
            space += s * sinf(p);
        }
        out.bit[i] = mark > space;
    }
    return out;
}

static report_t decode(const burst_t *b) {
    report_t r = {get_bits(b, 8, 30), get_bits(b, 89, 27) / 600000.0, get_bits(b, 61, 28) / 600000.0, get_bits(b, 50, 10) / 10.0};
    return r;
}

static void smooth(track_t *t, const report_t *r) {
    t->gain = t->reports++ ? t->gain * 0.9 + 0.02 : 1.0;
    t->lat += t->gain * (r->lat - t->lat);
    t->lon += t->gain * (r->lon - t->lon);
}

int main(int argc, char **argv) {
    bool fixed = argc > 1 && !strcmp(argv[1], "fixed");
    const char *tmp = getenv("TMPDIR");
    char dir[256], path[300];
    snprintf(dir, sizeof dir, "%s/beacon-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return 2;
    snprintf(path, sizeof path, "%s/tracks.db", dir);
    double t0 = now();
    store_t s;
    store_open(&s, path, fixed ? 250 : 0);
    static track_t track[SHIPS];
    int kept = 0;
    for (int n = 0; n < 46000; n++) {
        burst_t sent = receive(n), got = demodulate(&sent);
        report_t r = decode(&got);
        smooth(&track[r.ship], &r);
        if (n % 15 == 0) /* one report in a while is kept of every ship */
            store_report(&s, &r, &track[r.ship], kept++);
    }
    store_flush(&s);
    double sum = store_sum(&s);
    store_close(&s);
    unlink(path);
    rmdir(dir);
    printf("kept=%d sum=%.3f seconds=%.3f\n", kept, sum, now() - t0);
    return 0;
}
