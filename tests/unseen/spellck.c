/* SPDX-License-Identifier: Apache-2.0 */
/* spellck: checks documents against a word list, counts unknown words and
 * proposes the nearest entry by a cheap signature. Two checker threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lexicon {
    char **word;
    int count;
    int *slot; /* open addressing, -1 = free */
    uint32_t mask;
};

struct job {
    const struct lexicon *lex;
    char **text;
    int n;
    int hashed;
    uint64_t known, unknown, sig;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static char *make_word(uint32_t seed)
{
    static const char *syl[] = {"ka", "ro", "mi", "ten", "sul", "ve", "ar", "on", "pli", "gra", "do", "ne", "ist", "um", "ber", "li"};
    char b[64] = "";
    int n = 2 + seed % 3;
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        strcat(b, syl[seed >> 28]);
    }
    return strdup(b);
}

static uint32_t word_hash(const char *s)
{
    uint32_t h = 2166136261u;
    while (*s)
        h = (h ^ (unsigned char)*s++) * 16777619u;
    return h ^ h >> 15;
}

static int find_slot(const struct lexicon *l, const char *w)
{
    uint32_t i = word_hash(w) & l->mask;
    while (l->slot[i] >= 0 && strcmp(l->word[l->slot[i]], w))
        i = (i + 1) & l->mask;
    return (int)i;
}

static void load_lexicon(struct lexicon *l, int want)
{
    l->mask = 65535;
    l->slot = malloc((l->mask + 1) * sizeof *l->slot);
    memset(l->slot, 0xff, (l->mask + 1) * sizeof *l->slot);
    l->word = malloc(want * sizeof *l->word);
    for (uint32_t s = 1; l->count < want; s++) {
        char *w = make_word(s * 2654435761u);
        int i = find_slot(l, w);
        if (l->slot[i] >= 0) {
            free(w);
            continue;
        }
        l->slot[i] = l->count;
        l->word[l->count++] = w;
    }
}

static int in_word_list(const struct lexicon *l, const char *w)
{
    for (int i = 0; i < l->count; i++)
        if (!strcmp(l->word[i], w))
            return i;
    return -1;
}

static int in_index(const struct lexicon *l, const char *w)
{
    return l->slot[find_slot(l, w)];
}

static uint64_t letter_signature(const char *w)
{
    uint64_t s = 0;
    for (; *w; w++)
        s += 1ull << ((*w - 'a') * 2);
    return s;
}

static void check_word(struct job *j, const char *w)
{
    int i = j->hashed ? in_index(j->lex, w) : in_word_list(j->lex, w);
    if (i >= 0) {
        j->known += i;
    } else {
        j->unknown++;
        j->sig ^= letter_signature(w);
    }
}

static void *check_document(void *p)
{
    struct job *j = p;
    for (int i = 0; i < j->n; i++)
        check_word(j, j->text[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct lexicon lex;
    struct job j[2];
    pthread_t t[2];
    double t0 = now();
    load_lexicon(&lex, 12000);
    memset(j, 0, sizeof j);
    for (int k = 0; k < 2; k++) {
        j[k].lex = &lex;
        j[k].n = 150000;
        j[k].hashed = argc > 1 && !strcmp(argv[1], "fixed");
        j[k].text = malloc(j[k].n * sizeof(char *));
        uint32_t x = 7 + k;
        for (int i = 0; i < j[k].n; i++) {
            x = x * 1664525u + 1013904223u;
            j[k].text[i] = (x >> 16) % 12 == 0 ? make_word(x ^ 0x55555u) : strdup(lex.word[(x >> 10) % lex.count]);
            if ((x >> 20) % 9 == 0)
                j[k].text[i][0] = 'q';
        }
        pthread_create(&t[k], NULL, check_document, &j[k]);
    }
    uint64_t sum = 0;
    for (int k = 0; k < 2; k++) {
        pthread_join(t[k], NULL);
        sum = sum * 31 + j[k].known + (j[k].unknown << 40) + j[k].sig;
    }
    printf("checksum=%llu seconds=%.3f\n", (unsigned long long)sum, now() - t0);
    return 0;
}
