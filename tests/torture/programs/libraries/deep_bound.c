/* SPDX-License-Identifier: Apache-2.0 */
/* Opened with RTLD_DEEPBIND: its malloc and free are those that its own dependencies define, whatever the program has. */
#include <stdlib.h>
#include <string.h>

void* deep_bound_allocate(size_t bytes) { return memset(malloc(bytes), 1, bytes); }
void* deep_bound_resize(void* block, size_t bytes) { return realloc(block, bytes); }
void deep_bound_free(void* block) { free(block); }
