/* threads: storms of threads that come and go, of their destructors, and of libraries. */
#include "storm.h"

#include <dlfcn.h>
#include <sched.h>

/* Short threads share the pool's places: one at a time is in each, for one event. */
static int pool_locks[POOL];

static void enter_pool(uint32_t index)
{
	while (__atomic_exchange_n(&pool_locks[index % POOL], 1, __ATOMIC_ACQUIRE))
		sched_yield();
	truth_join_thread(POOL_FIRST + index % POOL);
}

static void leave_pool(uint32_t index)
{
	__atomic_store_n(&pool_locks[index % POOL], 0, __ATOMIC_RELEASE);
}

static pthread_barrier_t all_there;

TRUTH_FUNCTION void *truth_short_thread(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	struct truth_block blocks[4];
	for (int i = 0; i < 4; i++) {
		enter_pool(me);
		blocks[i] = truth_take(TAKE_SHORT, 10 + me % 100);
		leave_pool(me);
	}
	if (me % 10 == 0) {
		char name[16];
		snprintf(name, sizeof name, "short-%u", me);
		pthread_setname_np(pthread_self(), name);
	}
	pthread_barrier_wait(&all_there);
	for (int i = 0; i < 4; i++) {
		enter_pool(me);
		truth_free(exchange(me + (uint32_t)i, blocks[i]));
		leave_pool(me);
	}
	return NULL;
}

int threads_at_once = 1000;

void storm_threads(void)
{
	pthread_t *t = calloc((size_t)threads_at_once, sizeof *t);
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN + (64 << 10));
	while (!is_over()) {
		pthread_barrier_init(&all_there, NULL, (unsigned)threads_at_once);
		for (int i = 0; i < threads_at_once; i++)
			if (pthread_create(&t[i], &small, truth_short_thread, (void *)(uintptr_t)i))
				truth_die("pthread_create");
		for (int i = 0; i < threads_at_once; i++)
			pthread_join(t[i], NULL);
		count_round();
	}
	free(t);
}

/* ---- destructors of threads ---------------------------------------------------------------------------------------- */

static pthread_key_t key;
struct keyed {
	struct truth_block block;
	uint32_t me;
	int left; /* times that the destructor asks to be called again */
};

TRUTH_FUNCTION void truth_key_destructor(void *value)
{
	struct keyed *k = value;
	enter_pool(k->me);
	truth_free(k->block);
	k->block = truth_take(TAKE_DESTRUCTOR, 40);
	leave_pool(k->me);
	if (k->left-- > 0) {
		pthread_setspecific(key, k);
		return;
	}
	enter_pool(k->me);
	truth_free(exchange(k->me, k->block));
	leave_pool(k->me);
	free(k);
}

/* What C++ calls for thread_local objects: after the keys' values are set, before their destructors. */
int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso_handle);
extern void *__dso_handle;

TRUTH_FUNCTION void truth_thread_local_destructor(void *value)
{
	struct keyed *k = value;
	enter_pool(k->me);
	truth_free(truth_take(TAKE_LAST, 55));
	leave_pool(k->me);
}

TRUTH_FUNCTION void truth_before_key(struct keyed *k)
{
	enter_pool(k->me);
	k->block = truth_take(TAKE_KEY, 30);
	leave_pool(k->me);
}

static void *with_key(void *argument)
{
	struct keyed *k = malloc(sizeof *k);
	k->me = (uint32_t)(uintptr_t)argument;
	k->left = (int)(k->me % 4);
	truth_before_key(k);
	__cxa_thread_atexit_impl(truth_thread_local_destructor, k, &__dso_handle);
	pthread_setspecific(key, k);
	if (k->me % 3 == 0)
		pthread_exit(NULL);
	return NULL;
}

void *keys_driver(void *unused)
{
	while (!is_over()) {
		pthread_t t[8];
		for (int i = 0; i < 8; i++)
			if (pthread_create(&t[i], NULL, with_key, (void *)(uintptr_t)i))
				truth_die("pthread_create");
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
		count_round();
	}
	return unused;
}

void make_key(void)
{
	pthread_key_create(&key, truth_key_destructor);
}

void storm_keys(void)
{
	make_key();
	run(2, (void *(*const[])(void *)){keys_driver, keys_driver}, 2);
}

/* ---- libraries ---------------------------------------------------------------------------------------------------- */

TRUTH_FUNCTION struct truth_block truth_library(void *library, uint32_t path, uint64_t bytes)
{
	void *(*leak)(size_t) = NULL;
	*(void **)&leak = dlsym(library, "plugin_leak");
	truth_begin(path, bytes);
	struct truth_block b = truth_got(path, leak(bytes), bytes);
	truth_stay();
	return b;
}

void *library_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	uint64_t random = (uintptr_t)argument;
	char file[PATH_MAX];
	while (!is_over()) {
		uint32_t r = truth_random(&random);
		snprintf(file, sizeof file, "%s/plugin_%c.so", directory, r % 2 ? 'a' : 'b');
		void *library = dlopen(file, r % 3 ? RTLD_NOW | RTLD_LOCAL : RTLD_LAZY | RTLD_LOCAL);
		if (!library)
			truth_die(file);
		for (int i = 0; i < 5; i++)
			truth_free(exchange(truth_random(&random), truth_library(library, r % 2 ? LEAK_A : LEAK_B, 20 + r % 50)));
		void *other = r % 4 ? NULL : dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
		dlclose(library);
		if (other)
			dlclose(other);
		count_round();
	}
	return NULL;
}

void storm_libraries(void)
{
	run(3, (void *(*const[])(void *)){library_driver, library_driver}, 2);
}
