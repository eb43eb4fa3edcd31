/* SPDX-License-Identifier: Apache-2.0 */
/* The first frame of a recorded thread. In C, since its cleanup must run on pthread_exit and cancellation without the C++
 * runtime: glibc's own cleanup list does that. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Start routines handed to the real pthread_create and thrd_create; the argument is the thread's block. */
void* tailback_thread_main(void* block);
int tailback_c11_thread_main(void* block);

/* Provided by hooks_threads.cpp. */
struct tailback_thread_entry {
  void* (*routine)(void*);
  void* argument;
};
struct tailback_thread_entry tailback_thread_begin(void* block);
void tailback_thread_end(void* block);

#ifdef __cplusplus
}
#endif
