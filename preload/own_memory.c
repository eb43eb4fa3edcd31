/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler and the agent need of <string.h>, inside this library. Each function taken from libc is one more symbol for
 * the loader to look up in every process that starts, with a resolver to run before libc is ready for the rest; what the agent
 * copies and compares is short. Hidden: nobody else sees them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OWN __attribute__((visibility("hidden")))

/* Two words, perhaps overlapping, that cover `size` bytes of a type's size to twice that. */
#define COPY_ENDS(type)                                                        \
  do {                                                                         \
    type first, last;                                                          \
    __builtin_memcpy(&first, from, sizeof first);                              \
    __builtin_memcpy(&last, from + size - sizeof last, sizeof last);           \
    __builtin_memcpy(to, &first, sizeof first);                                \
    __builtin_memcpy(to + size - sizeof last, &last, sizeof last);             \
  } while (0)

static void copy_short(char* to, const char* from, size_t size) {
  if (size >= 8) COPY_ENDS(uint64_t);
  else if (size >= 4) COPY_ENDS(uint32_t);
  else if (size >= 2) COPY_ENDS(uint16_t);
  else if (size) *to = *from;
}

OWN void* memcpy(void* restrict into, const void* restrict source, size_t size) {
  char* to = into;
  const char* from = source;
  if (size <= 16) copy_short(to, from, size);
  else __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return into;
}

OWN void* memmove(void* into, const void* source, size_t size) {
  char* to = into;
  const char* from = source;
  if ((uintptr_t)to - (uintptr_t)from >= size) return memcpy(into, source, size);
  while (size--) to[size] = from[size];
  return into;
}

OWN void* memset(void* at, int value, size_t size) {
  void* to = at;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return at;
}

OWN int memcmp(const void* left, const void* right, size_t size) {
  const unsigned char *a = left, *b = right;
  for (; size && *a == *b; --size) ++a, ++b;
  return size ? *a - *b : 0;
}

OWN void* memchr(const void* in, int value, size_t size) {
  const unsigned char* at = in;
  for (; size && *at != (unsigned char)value; --size) ++at;
  return size ? (void*)(uintptr_t)at : NULL;
}

OWN size_t strlen(const char* text) {
  const char* end = text;
  while (*end) ++end;
  return (size_t)(end - text);
}

OWN int strncmp(const char* left, const char* right, size_t size) {
  for (; size && *left && *left == *right; --size) ++left, ++right;
  return size ? (unsigned char)*left - (unsigned char)*right : 0;
}

OWN char* strchr(const char* text, int wanted) {
  while (*text && *text != (char)wanted) ++text;
  return *text == (char)wanted ? (char*)(uintptr_t)text : NULL;
}

OWN size_t strcspn(const char* text, const char* ends) {
  size_t length = 0;
  while (text[length] && !strchr(ends, text[length])) ++length;
  return length;
}
