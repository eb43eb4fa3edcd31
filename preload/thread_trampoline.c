/* SPDX-License-Identifier: Apache-2.0 */
#include "preload/thread_trampoline.h"

#include <pthread.h>
#include <threads.h>

void* tailback_thread_main(void* block) {
  const struct tailback_thread_entry entry = tailback_thread_begin(block);
  void* result;
  pthread_cleanup_push(tailback_thread_end, NULL);
  result = entry.routine(entry.argument);
  pthread_cleanup_pop(1);
  return result;
}

int tailback_c11_thread_main(void* block) {
  const struct tailback_thread_entry entry = tailback_thread_begin(block);
  int result;
  pthread_cleanup_push(tailback_thread_end, NULL);
  result = ((thrd_start_t)(void (*)(void))entry.routine)(entry.argument);
  pthread_cleanup_pop(1);
  return result;
}
