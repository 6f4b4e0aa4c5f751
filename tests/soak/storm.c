/*
 * storm: what programs do to a tracker, as fast as they can, with the truth kept meanwhile:
 * `storm WHAT SECONDS TRUTH_FILE`, prints "<n> rounds" and ends with 0 (the exits end as their names say).
 *
 * Run by soak.sh, under the shim; WHAT is one of the table at the end. Threads of `load` allocate, grow and free each
 * other's blocks all the while; the storm itself is one or two more threads. All blocks of functions truth_… are in the
 * truth (tests/programs/victims/truth.h), so the record must agree to the byte, and to one event a thread when the
 * storm is killed. Anything that the host itself must not see (a changed errno, a failed child) ends it with 99.
 */
#include "truth.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;
extern char **environ;

/* Whose stack it is; the order of `path_names`. */
enum path {
	TAKE_LOAD, ZERO_LOAD, GROW_LOAD, HUGE_LOAD, TAKE_VFORK, TAKE_CLONE, TAKE_SHORT, TAKE_KEY, TAKE_DESTRUCTOR, TAKE_LAST,
	LEAK_A, LEAK_B, TAKE_HANDLER, GROW_HANDLER, TAKE_ATEXIT, TAKE_FINI, TAKE_MAIN, TAKE_ALONE, TAKE_FIBER,
	PATHS
};
static const char *const path_names[PATHS] = {
	"truth_take<truth_load", "truth_zero<truth_load", "truth_grow<truth_load", "truth_huge<truth_load",
	"truth_take<truth_in_vfork", "truth_take<truth_in_clone", "truth_take<truth_short_thread",
	"truth_take<truth_before_key", "truth_take<truth_key_destructor", "truth_take<truth_thread_local_destructor",
	"truth_leak_a<truth_library", "truth_leak_b<truth_library",
	"truth_take<truth_on_signal", "truth_grow<truth_on_signal", "truth_take<truth_at_exit", "truth_take<truth_fini",
	"truth_take<truth_main", "truth_take", "truth_take<truth_deeper<truth_on_fiber",
};
static const char *const map_names[] = {"truth_map", "truth_remap", "truth_map_over"};
enum { MAP, REMAP, MAP_OVER };

/* Places in the truth file: main, the loads, what interrupts them, drivers, and a pool for threads that come and go. */
enum { LOADS_FIRST = 1, DRIVERS_FIRST = 12, HANDLERS_FIRST = 16, POOL_FIRST = 32, POOL = 32 };

static uint64_t ends_ms;
static _Atomic uint64_t rounds;
static const char *self, *truth_path, *directory, *seconds;

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int is_over(void)
{
	return now_ms() >= ends_ms;
}

static void count_round(void)
{
	atomic_fetch_add_explicit(&rounds, 1, memory_order_relaxed);
}

/* ---- the ways to allocate, counted ------------------------------------------------------------------------ */

TRUTH_FUNCTION struct truth_block truth_take(uint32_t path, uint64_t bytes)
{
	truth_begin(path, bytes);
	struct truth_block b = truth_got(path, malloc(bytes), bytes);
	memset(b.pointer, 0x5a, bytes);
	return b;
}

TRUTH_FUNCTION struct truth_block truth_zero(uint32_t path, uint64_t bytes)
{
	truth_begin(path, bytes);
	struct truth_block b = truth_got(path, calloc(1, bytes), bytes);
	for (uint64_t i = 0; i < bytes; i++)
		if (((char *)b.pointer)[i])
			truth_die("calloc: not zero");
	return b;
}

TRUTH_FUNCTION struct truth_block truth_grow(uint32_t path, uint64_t bytes, struct truth_block old)
{
	truth_begin_realloc(path, bytes, &old);
	void *p = realloc(old.pointer, bytes);
	if (old.pointer)
		truth_count_free(old.path, old.bytes);
	return truth_got(path, p, bytes);
}

TRUTH_FUNCTION struct truth_block truth_huge(uint32_t path, uint64_t bytes)
{
	truth_begin(path, bytes);
	return truth_got(path, malloc(bytes), bytes);
}

/* ---- load: threads that work on each other's blocks ---------------------------------------------------------- */

enum { SLOTS = 1024 };
static struct truth_slot slots[SLOTS];

static struct truth_block exchange(uint32_t index, struct truth_block block)
{
	return truth_swap(&slots[index % SLOTS], block);
}

static int realloc_share = 4; /* one event in so many */
static int huge_share = 400;
static int loads_pause_us = 200;

static const struct truth_block no_block;

TRUTH_FUNCTION struct truth_block truth_load(uint64_t *random, struct truth_block old)
{
	uint32_t r = truth_random(random);
	uint64_t bytes = 1 + (r >> 8) % 700;
	struct truth_block b;
	if (r % (uint32_t)realloc_share == 0) {
		b = truth_grow(GROW_LOAD, (r >> 4) % 64 ? bytes : 1 + r % 600000, old);
		truth_stay();
		return b;
	}
	truth_free(old);
	if (r % (uint32_t)huge_share == 1)
		b = truth_huge(HUGE_LOAD, 150000 + r % 300000);
	else
		b = r & 16 ? truth_take(TAKE_LOAD, bytes) : truth_zero(ZERO_LOAD, bytes);
	truth_stay();
	return b;
}

static void *load(void *argument)
{
	uint32_t me = (uint32_t)(uintptr_t)argument;
	uint64_t random = me * 0xbf58476d1ce4e5b9ull + (uint64_t)getpid();
	truth_join_thread(me);
	struct truth_block own = no_block;
	while (!is_over()) {
		for (int i = 0; i < 50; i++) {
			own = exchange(truth_random(&random), own);
			own = truth_load(&random, own);
		}
		if (loads_pause_us)
			usleep((useconds_t)loads_pause_us); /* two cores: the storm wants some of them */
	}
	exchange(truth_random(&random), own); /* what is pushed out is a leak */
	return NULL;
}

/* `drivers` of them run at once beside `loads` threads, until the end. */
static void run(int loads, void *(*const *drivers)(void *), int driver_count)
{
	pthread_t t[16];
	int n = 0;
	for (int i = 0; i < loads; i++)
		if (pthread_create(&t[n++], NULL, load, (void *)(uintptr_t)(LOADS_FIRST + i)))
			truth_die("pthread_create");
	for (int i = 0; i < driver_count; i++)
		if (pthread_create(&t[n++], NULL, drivers[i], (void *)(uintptr_t)(DRIVERS_FIRST + i)))
			truth_die("pthread_create");
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* ---- children --------------------------------------------------------------------------------------------------- */

static void expect(pid_t pid, int wanted)
{
	int status;
	if (pid < 0)
		truth_die("no child");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			truth_die("waitpid");
	if (status == wanted)
		return;
	fprintf(stderr, "a child ended with %#x, expected %#x\n", (unsigned)status, (unsigned)wanted);
	_exit(99);
}

/* The truth is the parent's: a child keeps its own, which nobody reads. */
static void leave_truth(void)
{
	static struct truth_thread nobodys;
	truth_me = &nobodys;
}

static void allocate_in_child(struct truth_block inherited)
{
	leave_truth();
	free(inherited.pointer);
	void *kept[40];
	for (int i = 0; i < 40; i++)
		kept[i] = malloc((size_t)(i * 37 % 900) + 1);
	for (int i = 0; i < 40; i++)
		kept[i] = realloc(kept[i], (size_t)(i * 91 % 900) + 1);
	for (int i = 0; i < 36; i++) /* four stay */
		free(kept[i]);
}

static void run_child(int how, struct truth_block inherited)
{
	allocate_in_child(inherited);
	if (how % 5 == 1)
		execl("/bin/true", "true", (char *)NULL);
	if (how % 5 == 2) {
		pid_t grandchild = fork();
		if (grandchild == 0) {
			allocate_in_child(no_block);
			_exit(0);
		}
		expect(grandchild, 0);
	}
	if (how % 5 == 3)
		kill(getpid(), SIGKILL);
	_exit(0);
}

static void *fork_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	for (int i = 0; !is_over(); i++) {
		struct truth_block block = exchange((uint32_t)i, no_block); /* the child frees its copy */
		pid_t pid = fork();
		if (pid == 0)
			run_child(i, block);
		exchange((uint32_t)i + 7, block);
		expect(pid, i % 5 == 3 ? SIGKILL : 0);
		count_round();
	}
	return NULL;
}

static void storm_fork(void)
{
	run(3, (void *(*const[])(void *)){fork_driver, fork_driver}, 2);
}

/* Runs on the suspended parent's state and heap, and is recorded as its thread. */
TRUTH_FUNCTION void truth_in_vfork(int how, struct truth_block *block)
{
	pid_t pid = vfork();
	if (pid == 0) {
		truth_free(*block);
		*block = truth_take(TAKE_VFORK, 100 + (unsigned)how % 50);
		if (how % 3 == 1)
			execl("/bin/true", "true", (char *)NULL);
		_exit(0);
	}
	expect(pid, 0);
}

static void *vfork_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	static struct truth_block blocks[16];
	struct truth_block *block = &blocks[(uintptr_t)argument % 16]; /* not in a register over vfork */
	for (int i = 0; !is_over(); i++) {
		truth_in_vfork(i, block);
		count_round();
	}
	return NULL;
}

static void storm_vfork(void)
{
	run(3, (void *(*const[])(void *)){vfork_driver, vfork_driver}, 2);
}

static void *spawn_driver(void *unused)
{
	char *arguments[] = {(char *)"true", NULL};
	char *shell[] = {(char *)"sh", (char *)"-c", (char *)"exit 3", NULL};
	for (int i = 0; !is_over(); i++) {
		pid_t pid;
		posix_spawn_file_actions_t actions;
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
		posix_spawn_file_actions_addopen(&actions, 9, "/dev/null", O_RDONLY, 0);
		int is_shell = i % 4 == 0;
		if (posix_spawnp(&pid, is_shell ? "sh" : "true", &actions, NULL, is_shell ? shell : arguments, environ))
			truth_die("posix_spawn");
		posix_spawn_file_actions_destroy(&actions);
		expect(pid, is_shell ? 3 << 8 : 0);
		if (i % 8 == 0 && system("exit 4") != 4 << 8)
			truth_die("system");
		count_round();
	}
	return unused;
}

static void storm_spawn(void)
{
	run(3, (void *(*const[])(void *)){spawn_driver, spawn_driver}, 2);
}

/* The same pid, image after image, with threads at work when the old one is thrown away. */
static void storm_exec(void)
{
	const char *carried = getenv("STORM_EXEC"); /* rounds and the end, from the image before */
	if (carried) {
		char *rest;
		rounds = strtoull(carried, &rest, 10);
		ends_ms = strtoull(rest, NULL, 10);
	}
	pthread_t t[2];
	uint64_t last = ends_ms;
	int is_last = is_over();
	ends_ms = now_ms() + 40; /* of the threads of this image */
	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, load, (void *)(uintptr_t)(LOADS_FIRST + i)))
			truth_die("pthread_create");
	if (is_last) {
		pthread_join(t[0], NULL);
		pthread_join(t[1], NULL);
		return;
	}
	usleep(1000 * (useconds_t)(5 + rounds % 12));
	char next[64];
	snprintf(next, sizeof next, "%llu %llu", (unsigned long long)rounds + 1, (unsigned long long)last);
	setenv("STORM_EXEC", next, 1);
	execl(self, "storm", "exec", seconds, truth_path, (char *)NULL);
	truth_die(self);
}

TRUTH_FUNCTION int truth_in_clone(void *argument)
{
	struct truth_block *block = argument;
	truth_free(*block);
	*block = truth_take(TAKE_CLONE, 77);
	truth_stay();
	return 0;
}

enum { CLONE_STACK = 64 << 10 };

static void *clone_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	char *stack = mmap(NULL, CLONE_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct truth_block block = no_block;
	for (int i = 0; !is_over(); i++) {
		if (i % 2) { /* another stack, the same thread pointer, as posix_spawn does it */
			expect(clone(truth_in_clone, stack + CLONE_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &block), 0);
		} else { /* a fork that no atfork handler sees; glibc's locks are as they were, so it may only end */
			long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
			if (pid == 0)
				syscall(SYS_exit_group, 0);
			expect((pid_t)pid, 0);
		}
		count_round();
	}
	return NULL;
}

static void storm_clone(void)
{
	run(3, (void *(*const[])(void *)){clone_driver, clone_driver}, 2);
}

/* The raw child of a process of one thread may allocate: nobody holds a lock. */
static void storm_clone_alone(void)
{
	for (int i = 0; !is_over(); i++) {
		struct truth_block block = truth_take(TAKE_ALONE, 64);
		long pid = i % 2 ? (long)_Fork() : syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
		if (pid == 0) {
			allocate_in_child(block);
			_exit(0);
		}
		expect((pid_t)pid, 0);
		truth_free(block);
		count_round();
	}
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

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

static int threads_at_once = 1000;

static void storm_threads(void)
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

static void *keys_driver(void *unused)
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

static void storm_keys(void)
{
	pthread_key_create(&key, truth_key_destructor);
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

static void *library_driver(void *argument)
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

static void storm_libraries(void)
{
	run(3, (void *(*const[])(void *)){library_driver, library_driver}, 2);
}

/* ---- fibers: stacks that are no thread's own, of any depth, gone when the fiber is, and another's soon after ---------- */

enum { FIBERS = 16, FIBER_STACK = 64 << 10 };
struct fiber {
	ucontext_t context;
	char *stack; /* NULL: none runs here */
	int ended;
	uint64_t random;
};
struct fibers { /* of one thread */
	ucontext_t home;
	struct fiber *now;
	struct fiber each[FIBERS];
};
static __thread struct fibers *fibers;

static void leave_fiber(struct fiber *f)
{
	if (swapcontext(&f->context, &fibers->home))
		truth_die("swapcontext");
}

/* The innermost frames of a fiber that stands still; it goes on from there. */
TRUTH_FUNCTION void truth_deeper(struct fiber *f, uint32_t depth)
{
	if (depth > 0) {
		truth_deeper(f, depth - 1);
		truth_stay();
		return;
	}
	struct truth_block block = truth_take(TAKE_FIBER, 1 + truth_random(&f->random) % 500);
	leave_fiber(f);
	truth_free(exchange(truth_random(&f->random), block));
}

TRUTH_FUNCTION void truth_on_fiber(void)
{
	struct fiber *f = fibers->now;
	for (uint32_t left = 1 + truth_random(&f->random) % 8; left > 0; left--)
		truth_deeper(f, truth_random(&f->random) % 40);
	f->ended = 1; /* and on to `home`, by uc_link */
	truth_stay();
}

static void begin_fiber(struct fiber *f)
{
	f->stack = mmap(NULL, FIBER_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->stack == MAP_FAILED || getcontext(&f->context))
		truth_die("fiber");
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = FIBER_STACK;
	f->context.uc_link = &fibers->home;
	f->ended = 0;
	makecontext(&f->context, truth_on_fiber, 0);
}

static void resume_fiber(struct fiber *f)
{
	fibers->now = f;
	if (swapcontext(&fibers->home, &f->context))
		truth_die("swapcontext");
	if (!f->ended)
		return;
	munmap(f->stack, FIBER_STACK);
	f->stack = NULL;
	count_round();
}

static void *fiber_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	uint64_t random = (uintptr_t)argument;
	fibers = mmap(NULL, sizeof *fibers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < FIBERS; i++)
		fibers->each[i].random = random * 100 + (unsigned)i;
	while (!is_over()) {
		struct fiber *f = &fibers->each[truth_random(&random) % FIBERS];
		if (!f->stack)
			begin_fiber(f);
		resume_fiber(f);
	}
	for (int i = 0; i < FIBERS; i++)
		while (fibers->each[i].stack)
			resume_fiber(&fibers->each[i]);
	return NULL;
}

static void storm_fibers(void)
{
	run(3, (void *(*const[])(void *)){fiber_driver, fiber_driver}, 2);
}

/* ---- all of these at once: more drivers than there are places for, but no handlers, so theirs are free ----------------- */

static void storm_mixed(void)
{
	void *(*const drivers[])(void *) = {fork_driver, vfork_driver, spawn_driver, clone_driver, library_driver, keys_driver,
					    fiber_driver};
	pthread_key_create(&key, truth_key_destructor);
	run(3, drivers, sizeof drivers / sizeof drivers[0]);
}

/* ---- signals: over async_malloc.so, so that only we can be interrupted at a bad time ---------------------------------- */

static __thread struct truth_block handlers_own;
static __thread uint64_t handlers_random;

TRUTH_FUNCTION void truth_on_signal(int number)
{
	int saved = errno;
	struct truth_thread *interrupted = truth_me;
	if (!interrupted || interrupted < &truth->threads[LOADS_FIRST] || interrupted >= &truth->threads[DRIVERS_FIRST])
		return;
	uint32_t me = (uint32_t)(interrupted - truth->threads);
	truth_join_thread(HANDLERS_FIRST + me);
	handlers_random += me * 2 + 1;
	uint32_t r = truth_random(&handlers_random);
	handlers_own = truth_grow(GROW_HANDLER, 1 + r % 900, handlers_own);
	if (r % 3 == 0) {
		truth_free(handlers_own);
		handlers_own = truth_take(TAKE_HANDLER, 1 + r % 300);
	}
	(void)number;
	truth_me = interrupted;
	count_round();
	errno = saved;
}

enum { SIGNAL_LOADS = 3 };

static void *load_on_two_stacks(void *argument)
{
	static char rooms[SIGNAL_LOADS][128 << 10];
	stack_t other = {.ss_sp = rooms[(uintptr_t)argument - LOADS_FIRST], .ss_size = sizeof rooms[0]};
	if (sigaltstack(&other, NULL))
		truth_die("sigaltstack");
	return load(argument);
}

static void storm_signals(void)
{
	struct sigaction action = {.sa_handler = truth_on_signal, .sa_flags = SA_RESTART};
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);
	loads_pause_us = 0;
	pthread_t t[SIGNAL_LOADS];
	for (int i = 0; i < SIGNAL_LOADS; i++)
		if (pthread_create(&t[i], NULL, load_on_two_stacks, (void *)(uintptr_t)(LOADS_FIRST + i)))
			truth_die("pthread_create");
	uint64_t random = 3, until = ends_ms;
	for (ends_ms += 50; now_ms() + 50 < until; usleep(20 + truth_random(&random) % 60)) /* they outlive the signals */
		pthread_kill(t[truth_random(&random) % SIGNAL_LOADS], truth_random(&random) % 2 ? SIGUSR1 : SIGUSR2);
	for (int i = 0; i < SIGNAL_LOADS; i++)
		pthread_join(t[i], NULL);
}

/* ---- realloc across threads --------------------------------------------------------------------------------------------- */

static void storm_realloc(void)
{
	realloc_share = 2;
	huge_share = 50;
	loads_pause_us = 0;
	run(6, NULL, 0);
	for (int i = LOADS_FIRST; i < LOADS_FIRST + 6; i++)
		rounds += truth->threads[i].counts[GROW_LOAD].alloc_blocks;
}

/* ---- mappings -------------------------------------------------------------------------------------------------------------- */

enum { PAGE = 4096, MAPPINGS = 48 };
struct mapping {
	char *at;
	uint64_t pages;
	uint32_t path;
};

static void begin_mapping(uint32_t path, uint64_t pages, const struct mapping *old)
{
	struct truth_block b = {old && old->at ? old->at : NULL, old ? old->pages * PAGE : 0, old ? old->path : 0, 0};
	truth_begin_realloc(path, pages * PAGE, &b);
}

static void got_mapping(struct mapping *m, void *at, uint64_t pages, uint32_t path)
{
	if (at == MAP_FAILED)
		truth_die("mmap");
	if (m->at)
		truth_count_free(m->path, m->pages * PAGE);
	*m = (struct mapping){at, pages, path};
	truth_got(path, at, pages * PAGE);
}

TRUTH_FUNCTION void truth_map(struct mapping *m, uint64_t pages)
{
	begin_mapping(MAP, pages, NULL);
	got_mapping(m, mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), pages, MAP);
}

TRUTH_FUNCTION void truth_map_over(struct mapping *m)
{
	begin_mapping(MAP_OVER, m->pages, m);
	void *at = mmap(m->at, m->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	got_mapping(m, at, m->pages, MAP_OVER);
}

TRUTH_FUNCTION void truth_remap(struct mapping *m, uint64_t pages)
{
	begin_mapping(REMAP, pages, m);
	got_mapping(m, mremap(m->at, m->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE), pages, REMAP);
}

static void unmap(struct mapping *m, uint64_t pages)
{
	struct mapping gone = {m->at, pages, m->path};
	begin_mapping(m->path, 0, &gone);
	if (munmap(m->at + (m->pages - pages) * PAGE, pages * PAGE))
		truth_die("munmap");
	truth_count_free(m->path, pages * PAGE);
	m->pages -= pages;
	if (!m->pages)
		m->at = NULL;
	truth_end();
}

static void *mapping_driver(void *argument)
{
	truth_join_thread((uint32_t)(uintptr_t)argument);
	struct mapping mappings[MAPPINGS] = {{NULL, 0, 0}};
	uint64_t random = (uintptr_t)argument;
	while (!is_over()) {
		struct mapping *m = &mappings[truth_random(&random) % MAPPINGS];
		uint64_t pages = 1 + truth_random(&random) % 40;
		uint32_t r = truth_random(&random) % 4;
		free(malloc(pages)); /* a report wants to see some malloc */
		if (!m->at)
			truth_map(m, pages);
		else if (r == 0)
			truth_map_over(m);
		else if (r == 1)
			truth_remap(m, pages);
		else
			unmap(m, r == 2 ? m->pages : (m->pages + 1) / 2);
		count_round();
	}
	return NULL;
}

static void storm_mmap(void)
{
	run(0, (void *(*const[])(void *)){mapping_driver, mapping_driver, mapping_driver, mapping_driver}, 4);
}

/* ---- the ways to end ----------------------------------------------------------------------------------------------------------- */

static const char *ending;
static struct truth_block kept_to_the_end[64];

TRUTH_FUNCTION void truth_at_exit(void)
{
	for (int i = 0; i < 64; i++) {
		if (i % 2)
			truth_free(kept_to_the_end[i]);
		kept_to_the_end[i] = truth_take(TAKE_ATEXIT, 100 + (unsigned)i);
	}
	truth->complete = !strcmp(ending, "quick_exit");
	truth_stay();
}

/* The last code of the program itself that runs. */
__attribute__((destructor)) TRUTH_FUNCTION void truth_fini(void)
{
	if (!ending || getpid() != (pid_t)truth->pid)
		return;
	for (int i = 0; i < 20; i++) {
		truth_free(kept_to_the_end[i]);
		kept_to_the_end[i] = truth_take(TAKE_FINI, 200);
	}
	truth->complete = 1;
	truth_stay();
}

TRUTH_FUNCTION void truth_main(void)
{
	for (int i = 0; i < 64; i++)
		kept_to_the_end[i] = truth_take(TAKE_MAIN, 50 + (unsigned)i);
	truth_stay();
}

/* Not truth_end_process: it would be a frame of the paths of at_exit and fini. */
static void end_by(const char *how)
{
	ending = how;
	truth_main();
	atexit(truth_at_exit);
	at_quick_exit(truth_at_exit);
	if (strcmp(how, "exit") && strcmp(how, "quick_exit"))
		truth->complete = 1; /* nothing more happens */
	if (!strcmp(how, "exit"))
		exit(7);
	if (!strcmp(how, "_exit"))
		_exit(8);
	if (!strcmp(how, "quick_exit"))
		quick_exit(9);
	abort();
}

static void storm_exit(void) { end_by("exit"); }
static void storm__exit(void) { end_by("_exit"); }
static void storm_quick_exit(void) { end_by("quick_exit"); }
static void storm_abort(void) { end_by("abort"); }

/* Other threads at full load when the process ends: they go on while the end is written down. */
static void *end_soon(void *unused)
{
	usleep(30000);
	_exit(8);
	return unused;
}

static void storm_exit_under_load(void)
{
	run(4, (void *(*const[])(void *)){end_soon}, 1);
}

/* ---- */

#define STORMS(X) X(fork) X(vfork) X(spawn) X(exec) X(clone) X(clone_alone) X(threads) X(keys) X(libraries) X(fibers) X(mixed) \
	X(signals) X(realloc) X(mmap) X(exit) X(_exit) X(quick_exit) X(abort) X(exit_under_load)

static const struct storm {
	const char *name;
	void (*run)(void);
} storms[] = {
#define X(name) {#name, storm_##name},
	STORMS(X)
#undef X
};

static void open_truth(const char *what)
{
	int is_mmap = !strcmp(what, "mmap");
	truth = open_truth_file(truth_path, is_mmap ? "mmap" : "malloc");
	for (int i = 0; i < (is_mmap ? 3 : PATHS); i++)
		truth_name_path(is_mmap ? map_names[i] : path_names[i]);
	truth_join_thread(0);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		truth_die("usage: storm WHAT SECONDS TRUTH_FILE");
	static char own_directory[PATH_MAX];
	if (!realpath(argv[0], own_directory) && readlink("/proc/self/exe", own_directory, sizeof own_directory - 1) < 0)
		truth_die(argv[0]);
	self = strdup(own_directory);
	*strrchr(own_directory, '/') = 0;
	directory = own_directory;
	seconds = argv[2];
	truth_path = argv[3];
	ends_ms = now_ms() + (uint64_t)(strtod(argv[2], NULL) * 1000);
	if (getenv("STORM_THREADS"))
		threads_at_once = atoi(getenv("STORM_THREADS"));
	open_truth(argv[1]);
	for (size_t i = 0; i < sizeof storms / sizeof storms[0]; i++) {
		if (strcmp(argv[1], storms[i].name))
			continue;
		storms[i].run();
		truth->complete = 1;
		printf("%llu rounds\n", (unsigned long long)rounds);
		return 0;
	}
	truth_die("no such storm");
}
