/*
 * victim_threads: threads that live, threads that ended, by who created them: `victim_threads TRUTH_FILE ENDING`.
 *
 * The block is the thread, its bytes the size of its stack. Joined, detached and returned threads are freed; parked
 * ones stay live.
 */
#include "truth.h"

#include <pthread.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;

enum { STACK_BYTES = 256 * 1024 };

static pthread_attr_t attributes;
static uint32_t path_parked, path_joined, path_detached, path_nested;
static pthread_barrier_t parked;

static void *park(void *unused)
{
	pthread_setname_np(pthread_self(), (const char *)unused);
	pthread_barrier_wait(&parked);
	for (;;)
		pause();
	return NULL;
}

static void *end_at_once(void *unused)
{
	return unused;
}

static pthread_t create(void *(*start)(void *), void *argument)
{
	pthread_t t;
	if (pthread_create(&t, &attributes, start, argument))
		truth_die("pthread_create");
	return t;
}

TRUTH_FUNCTION void truth_create_parked(int n)
{
	for (int i = 0; i < n; i++) {
		create(park, (void *)"parked-by-truth");
		truth_count_alloc(path_parked, STACK_BYTES);
	}
}

TRUTH_FUNCTION void truth_create_joined(int n)
{
	for (int i = 0; i < n; i++) {
		pthread_join(create(end_at_once, NULL), NULL);
		truth_count_alloc(path_joined, STACK_BYTES);
		truth_count_free(path_joined, STACK_BYTES);
	}
}

static int ended;

static void *end_by_exit(void *unused)
{
	__atomic_fetch_add(&ended, 1, __ATOMIC_RELEASE);
	pthread_exit(unused);
}

TRUTH_FUNCTION void truth_create_detached(int n)
{
	for (int i = 0; i < n; i++) {
		pthread_detach(create(end_by_exit, NULL));
		truth_count_alloc(path_detached, STACK_BYTES);
		truth_count_free(path_detached, STACK_BYTES);
	}
	while (__atomic_load_n(&ended, __ATOMIC_ACQUIRE) < n)
		usleep(1000);
	usleep(100000); /* they have said so and still have to leave */
}

TRUTH_FUNCTION void *truth_create_nested(void *unused)
{
	(void)unused;
	create(park, (void *)"nested-by-truth");
	truth_count_alloc(path_nested, STACK_BYTES);
	pthread_barrier_wait(&parked);
	return NULL;
}

static void *nested(void *argument)
{
	truth_join_thread(1);
	return truth_create_nested(argument);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		truth_die("usage: victim_threads TRUTH_FILE ENDING");
	truth = open_truth_file(argv[1], "thread");
	truth_join_thread(0);
	path_parked = truth_name_path("truth_create_parked");
	path_joined = truth_name_path("truth_create_joined");
	path_detached = truth_name_path("truth_create_detached");
	path_nested = truth_name_path("truth_create_nested");
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_barrier_init(&parked, NULL, 20 + 2 + 1);

	truth_create_joined(300);
	truth_create_detached(50);
	truth_create_parked(20);
	pthread_t t;
	if (pthread_create(&t, NULL, nested, NULL))
		truth_die("pthread_create");
	pthread_barrier_wait(&parked);
	pthread_join(t, NULL);
	truth->complete = 1;
	truth_end_process(argv[2]);
	return 6;
}
