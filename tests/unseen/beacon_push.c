// SPDX-License-Identifier: Apache-2.0
// link: -lssl -lcrypto -lz
/* Host agent: gathers gauges, packs them as compressed JSON and pushes each
 * report over TLS to the collector, which checks and aggregates it. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { REPORTS = 1350, GAUGES = 160, MAX_REPORT = 64 * 1024 };

static const unsigned char report_key[32] = "agent-report-key-0123456789abcd";

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    fprintf(stderr, "beacon_push: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* ------------------------------------------------------------ identity */

static EVP_PKEY *collector_key;
static X509 *collector_cert;

static void make_identity(void) {
    collector_key = EVP_RSA_gen(2048);
    collector_cert = X509_new();
    X509_set_version(collector_cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(collector_cert), 11);
    X509_gmtime_adj(X509_getm_notBefore(collector_cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(collector_cert), 86400);
    X509_NAME *name = X509_get_subject_name(collector_cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"collector.local", -1, -1, 0);
    X509_set_issuer_name(collector_cert, name);
    X509_set_pubkey(collector_cert, collector_key);
    if (!X509_sign(collector_cert, collector_key, EVP_sha256())) die("sign");
}

/* --------------------------------------------------------------- frames */

static bool send_all(SSL *ssl, const void *data, size_t n) {
    size_t done;
    return SSL_write_ex(ssl, data, n, &done) == 1 && done == n;
}

static bool recv_all(SSL *ssl, void *data, size_t n) {
    for (size_t have = 0, got; have < n; have += got)
        if (SSL_read_ex(ssl, (char *)data + have, n - have, &got) != 1) return false;
    return true;
}

/* ------------------------------------------------------------ collector */

struct collector {
    int listen_fd;
    uint64_t reports, gauges, digits;
};

static uint32_t accept_report(struct collector *c, const unsigned char *frame, size_t n) {
    unsigned char mac[32], text[MAX_REPORT];
    unsigned maclen = sizeof mac;
    if (n < 32) return 400;
    HMAC(EVP_sha256(), report_key, sizeof report_key, frame + 32, n - 32, mac, &maclen);
    if (CRYPTO_memcmp(mac, frame, 32) != 0) return 403;
    uLongf len = sizeof text;
    if (uncompress(text, &len, frame + 32, n - 32) != Z_OK) return 400;
    for (uLongf i = 0; i < len; i++) {
        if (text[i] == ':') c->gauges++;
        if (text[i] >= '0' && text[i] <= '9') c->digits += text[i] - '0';
    }
    c->reports++;
    return 200;
}

static int collector_main(void *arg) {
    struct collector *c = arg;
    unsigned char *frame = malloc(MAX_REPORT);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, collector_cert);
    SSL_CTX_use_PrivateKey(ctx, collector_key);
    while (c->reports < REPORTS) {
        int fd = accept(c->listen_fd, NULL, NULL);
        if (fd < 0) break;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        uint32_t head;
        if (SSL_accept(ssl) == 1) {
            while (recv_all(ssl, &head, sizeof head)) {
                size_t n = ntohl(head);
                if (n > MAX_REPORT || !recv_all(ssl, frame, n)) break;
                uint32_t status = htonl(accept_report(c, frame, n));
                if (!send_all(ssl, &status, sizeof status)) break;
            }
        }
        SSL_shutdown(ssl);
        SSL_free(ssl);
        close(fd);
    }
    SSL_CTX_free(ctx);
    free(frame);
    return 0;
}

/* ---------------------------------------------------------------- agent */

struct uplink {
    struct sockaddr_in peer;
    bool keep;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static void uplink_open(struct uplink *u) {
    u->ctx = SSL_CTX_new(TLS_client_method());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(u->ctx), collector_cert);
    SSL_CTX_set_verify(u->ctx, SSL_VERIFY_PEER, NULL);
    u->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(u->fd, (struct sockaddr *)&u->peer, sizeof u->peer) != 0) die("connect");
    setsockopt(u->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    u->ssl = SSL_new(u->ctx);
    SSL_set_fd(u->ssl, u->fd);
    SSL_set1_host(u->ssl, "collector.local");
    if (SSL_connect(u->ssl) != 1) die("handshake");
}

static void uplink_close(struct uplink *u) {
    if (!u->ssl) return;
    SSL_shutdown(u->ssl);
    SSL_free(u->ssl);
    SSL_CTX_free(u->ctx);
    close(u->fd);
    u->ssl = NULL;
    u->ctx = NULL;
}

static uint32_t uplink_push(struct uplink *u, const unsigned char *frame, size_t n) {
    uint32_t head = htonl((uint32_t)n), status = 0;
    if (!u->ssl) uplink_open(u);
    if (!send_all(u->ssl, &head, sizeof head) || !send_all(u->ssl, frame, n)) die("send");
    if (!recv_all(u->ssl, &status, sizeof status)) die("receive");
    if (!u->keep) uplink_close(u);
    return ntohl(status);
}

struct host_state {
    uint64_t rng;
    double gauge[GAUGES];
};

static void sample_gauges(struct host_state *h) {
    for (int i = 0; i < GAUGES; i++) {
        h->rng = h->rng * 6364136223846793005ull + 1442695040888963407ull;
        double noise = (double)(h->rng >> 40) / (1 << 24) - 0.5;
        h->gauge[i] = h->gauge[i] * 0.95 + 40 * noise;
    }
}

static size_t encode_report(const struct host_state *h, int seq, unsigned char *frame) {
    static char text[MAX_REPORT];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"host\":\"node-17\",\"seq\":%d,\"values\":{", seq);
    for (int i = 0; i < GAUGES; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s\"gauge.%03d.%s\":%.6f", i ? "," : "", i,
                              i % 3 ? "usage" : "rate", h->gauge[i]);
    n += (size_t)snprintf(text + n, sizeof text - n, "}}");
    uLongf packed = MAX_REPORT - 32;
    if (compress2(frame + 32, &packed, (const Bytef *)text, n, 6) != Z_OK) die("compress");
    unsigned maclen = 32;
    HMAC(EVP_sha256(), report_key, sizeof report_key, frame + 32, packed, frame, &maclen);
    return packed + 32;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    make_identity();

    struct collector col = {.listen_fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t alen = sizeof addr;
    if (bind(col.listen_fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(col.listen_fd, 64) != 0) die("listen");
    getsockname(col.listen_fd, (struct sockaddr *)&addr, &alen);
    thrd_t server;
    if (thrd_create(&server, collector_main, &col) != thrd_success) die("thread");

    double t0 = now_s();
    struct uplink up = {.peer = addr, .keep = argc > 1 && strcmp(argv[1], "fixed") == 0, .fd = -1};
    struct host_state host = {.rng = 42};
    unsigned char *frame = malloc(MAX_REPORT);
    uint64_t accepted = 0, bytes = 0;
    for (int seq = 0; seq < REPORTS; seq++) {
        for (int k = 0; k < 20; k++) sample_gauges(&host);
        size_t n = encode_report(&host, seq, frame);
        bytes += n;
        accepted += uplink_push(&up, frame, n) == 200;
    }
    uplink_close(&up);
    thrd_join(server, NULL);
    double secs = now_s() - t0;

    printf("accepted=%lu bytes=%lu gauges=%lu digits=%lu\n", (unsigned long)accepted, (unsigned long)bytes,
           (unsigned long)col.gauges, (unsigned long)col.digits);
    printf("seconds=%.3f\n", secs);
    close(col.listen_fd);
    free(frame);
    X509_free(collector_cert);
    EVP_PKEY_free(collector_key);
    return 0;
}
