/*
 * births: threads made by pthread_create, from their creation stack to their end. Called by hooks only.
 *
 * The new thread starts in our routine, which knows the creation stack and the stack's size, and goes on to the
 * program's. What it needs is handed over in a slot of a fixed pool, taken by the creating thread and given back by
 * the new one. Bound: 1024 threads being created at one time; beyond that a thread starts without a birth record.
 */
#ifndef MTRACE_BIRTHS_H
#define MTRACE_BIRTHS_H

#include <pthread.h>

#include "unwind/unwind.h"

typedef int births_function(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

/* pthread_create by the real function, `create`; as it returns. */
int births_create(births_function *create, pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                  void *argument, const struct unwind_start *at);

#endif
