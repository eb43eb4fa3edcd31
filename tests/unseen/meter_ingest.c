// SPDX-License-Identifier: Apache-2.0
// link: -lsqlite3 -lm
/* Smart meter ingest: reads the concentrator's export file, validates and
 * smooths the readings, stores them in SQLite and prints daily roll-ups. */
#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { METERS = 60, READINGS = 26000, WINDOW = 96, BATCH = 500, HARMONICS = 8 };

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ----------------------------------------------------------- export file */

static void write_export(const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) exit(1);
    uint64_t rng = 88172645463325252ull;
    double level[METERS];
    for (int m = 0; m < METERS; m++) level[m] = 1000 + 13 * m;
    for (int i = 0; i < READINGS; i++) {
        rng ^= rng << 13;
        rng ^= rng >> 7;
        rng ^= rng << 17;
        int m = (int)(rng % METERS);
        level[m] += 0.2 + (double)(rng >> 44) / (1 << 20);
        double shown = rng % 97 == 0 ? -1.0 : level[m];
        fprintf(f, "MTR%05d;%d;%.4f;%s\n", 10000 + m, 1700000000 + i * 60, shown, rng % 5 ? "OK" : "EST");
    }
    fclose(f);
}

/* --------------------------------------------------------------- readings */

struct reading {
    char meter[12];
    int64_t at;
    double kwh;
    char quality[8];
};

struct meter_state {
    char meter[12];
    double last[WINDOW];
    int count;
    double expected;
};

static struct meter_state states[METERS];
static int n_states;

static bool parse_reading(const char *line, struct reading *r) {
    long long at;
    if (sscanf(line, "%11[^;];%lld;%lf;%7s", r->meter, &at, &r->kwh, r->quality) != 4) return false;
    r->at = at;
    return true;
}

static struct meter_state *state_of(const char *meter) {
    for (int i = 0; i < n_states; i++)
        if (strcmp(states[i].meter, meter) == 0) return &states[i];
    struct meter_state *s = &states[n_states++];
    memset(s, 0, sizeof *s);
    snprintf(s->meter, sizeof s->meter, "%s", meter);
    return s;
}

/* Projects the next value from the load profile of the recent window. */
static double project(const struct meter_state *s) {
    int n = s->count < WINDOW ? s->count : WINDOW;
    if (n < 4) return s->last[0];
    double mean = 0, sum = 0;
    for (int i = 0; i < n; i++) mean += s->last[i];
    mean /= n;
    for (int k = 1; k <= HARMONICS; k++) {
        double re = 0, im = 0;
        for (int i = 0; i < n; i++) {
            double a = 2 * M_PI * k * i / n;
            re += (s->last[i] - mean) * cos(a);
            im += (s->last[i] - mean) * sin(a);
        }
        sum += re / n * cos(2 * M_PI * k * s->count / n) + im / n;
    }
    return mean + 2 * sum;
}

static bool validate(struct reading *r) {
    struct meter_state *s = state_of(r->meter);
    if (r->kwh < 0) return false;
    s->last[s->count % WINDOW] = r->kwh;
    s->count++;
    s->expected = project(s);
    if (s->count > 8 && fabs(s->expected - r->kwh) > 0.2 * r->kwh) snprintf(r->quality, sizeof r->quality, "CHK");
    return true;
}

/* ---------------------------------------------------------------- storage */

struct store {
    sqlite3 *db;
    sqlite3_stmt *insert;
    int batch; /* rows per transaction */
    int open_rows;
    long rows;
};

static void run_sql(sqlite3 *db, const char *sql) {
    char *msg = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &msg) != SQLITE_OK) {
        fprintf(stderr, "meter_ingest: %s\n", msg);
        exit(1);
    }
}

static void store_open(struct store *s, const char *path, int batch) {
    memset(s, 0, sizeof *s);
    s->batch = batch;
    if (sqlite3_open(path, &s->db) != SQLITE_OK) exit(1);
    /* The export file is kept for a week, a damaged database is loaded again. */
    run_sql(s->db, "PRAGMA synchronous=OFF");
    run_sql(s->db,
            "CREATE TABLE reading(meter TEXT NOT NULL, at INTEGER NOT NULL, kwh REAL, quality TEXT);"
            "CREATE INDEX reading_by_meter ON reading(meter, at);");
    sqlite3_prepare_v2(s->db, "INSERT INTO reading(meter, at, kwh, quality) VALUES(?,?,?,?)", -1, &s->insert, NULL);
}

static void store_flush(struct store *s) {
    if (s->open_rows == 0) return;
    run_sql(s->db, "COMMIT");
    s->open_rows = 0;
}

static void store_reading(struct store *s, const struct reading *r) {
    if (s->batch > 1 && s->open_rows == 0) run_sql(s->db, "BEGIN");
    sqlite3_bind_text(s->insert, 1, r->meter, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s->insert, 2, r->at);
    sqlite3_bind_double(s->insert, 3, r->kwh);
    sqlite3_bind_text(s->insert, 4, r->quality, -1, SQLITE_STATIC);
    if (sqlite3_step(s->insert) != SQLITE_DONE) {
        fprintf(stderr, "meter_ingest: %s\n", sqlite3_errmsg(s->db));
        exit(1);
    }
    sqlite3_reset(s->insert);
    s->rows++;
    if (s->batch > 1 && ++s->open_rows >= s->batch) store_flush(s);
}

static void store_close(struct store *s) {
    sqlite3_finalize(s->insert);
    sqlite3_close(s->db);
}

static void ingest(struct store *s, const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) exit(1);
    char line[256];
    long refused = 0;
    struct reading r;
    while (fgets(line, sizeof line, f)) {
        if (parse_reading(line, &r) && validate(&r))
            store_reading(s, &r);
        else
            refused++;
    }
    fclose(f);
    store_flush(s);
    printf("stored=%ld refused=%ld\n", s->rows, refused);
}

static void rollup(struct store *s) {
    sqlite3_stmt *q;
    sqlite3_prepare_v2(s->db,
                       "SELECT at/86400 AS d, quality, count(*), round(sum(kwh),2) FROM reading"
                       " GROUP BY d, quality ORDER BY d, quality",
                       -1, &q, NULL);
    while (sqlite3_step(q) == SQLITE_ROW)
        printf("day %lld %-3s n=%d kwh=%.2f\n", (long long)sqlite3_column_int64(q, 0),
               (const char *)sqlite3_column_text(q, 1), sqlite3_column_int(q, 2), sqlite3_column_double(q, 3));
    sqlite3_finalize(q);

    sqlite3_prepare_v2(s->db, "SELECT max(kwh)-min(kwh) FROM reading WHERE meter=? AND quality<>'CHK'", -1, &q, NULL);
    double used = 0;
    for (int i = 0; i < n_states; i++) {
        sqlite3_bind_text(q, 1, states[i].meter, -1, SQLITE_STATIC);
        if (sqlite3_step(q) == SQLITE_ROW) used += sqlite3_column_double(q, 0);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    printf("consumption=%.2f\n", used);
}

int main(int argc, char **argv) {
    const int batch = argc > 1 && strcmp(argv[1], "fixed") == 0 ? BATCH : 1;
    const char *tmp = getenv("TMPDIR");
    char dir[256], export_path[300], db_path[300];
    snprintf(dir, sizeof dir, "%s/meterXXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        fprintf(stderr, "meter_ingest: %s\n", strerror(errno));
        return 1;
    }
    snprintf(export_path, sizeof export_path, "%s/export.csv", dir);
    snprintf(db_path, sizeof db_path, "%s/meters.db", dir);
    write_export(export_path);

    double t0 = now_s();
    struct store s;
    store_open(&s, db_path, batch);
    ingest(&s, export_path);
    rollup(&s);
    store_close(&s);
    double secs = now_s() - t0;

    unlink(export_path);
    unlink(db_path);
    rmdir(dir);
    printf("seconds=%.3f\n", secs);
    return 0;
}
