/*
 * victim_hazards: what a host may do that catches a shim at a bad moment: `victim_hazards HAZARD`. Prints "well" and
 * ends with 0 when it came through; the same untracked.
 *
 *   cancel       threads that end by pthread_cancel
 *   segfork      fork from a signal handler that interrupted malloc; the child returns from the handler and goes on
 *   open LIB     dlopen, LIB's run() when it has one, dlclose, twice: LIB's destructor speaks each time
 *   come_and_go ONE OTHER
 *                children with two threads: each opens its library, calls its run(), closes it, again and again
 *   attributes   pthread_getattr_np in many threads, of themselves and of the first
 *   refused      unmapping and reallocation that the system refuses
 *   busy         blocks, mappings and stacks for a second and a half, in two threads
 *   full         one place that calls malloc, 6 times, and mmap, 3 times, a hundred frames deep: mmap only when another thread
 *                has had stacks enough to fill a small table
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *waits(void *unused)
{
	free(malloc(10));
	for (;;)
		pause();
	return unused;
}

static int cancel(void)
{
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, waits, NULL))
			return 1;
		usleep(i % 2 ? 1000 : 0);
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	return 0;
}

static volatile pid_t child = -1;

static void forks(int signal)
{
	(void)signal;
	if (child == -1)
		child = fork();
}

static int segfork(void)
{
	struct sigaction action = {.sa_handler = forks, .sa_flags = SA_RESTART};
	struct itimerval every = {{0, 2000}, {0, 2000}};
	int died = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int forked = 0; forked < 100;) {
		void *volatile p = aligned_alloc(64, 64);
		free(p);
		if (child == 0)
			_exit(0);
		if (child > 0) {
			int status;
			while (waitpid(child, &status, 0) != child)
				;
			if (WIFSIGNALED(status))
				fprintf(stderr, "a child died by signal %d\n", WTERMSIG(status));
			died += WIFSIGNALED(status);
			forked++;
			child = -1;
		}
	}
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
	if (child == 0)
		_exit(0);
	return died;
}

static int open_twice(const char *path)
{
	for (int i = 0; i < 2; i++) {
		void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		int (*run)(void) = library ? (int (*)(void))dlsym(library, "run") : NULL;
		if (!library || (run && run()))
			return 1;
		dlclose(library);
		puts("closed");
		fflush(stdout);
	}
	return 0;
}

static void *comes_and_goes(void *path)
{
	for (int i = 0; i < 20; i++) {
		void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		int (*run)(void) = library ? (int (*)(void))dlsym(library, "run") : NULL;
		if (!run || run() || dlclose(library))
			_exit(1);
	}
	return NULL;
}

static int come_and_go(char **paths)
{
	int bad = 0;
	for (int i = 0; i < 100; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0) {
			pthread_t thread;
			if (pthread_create(&thread, NULL, comes_and_goes, paths[0]))
				_exit(1);
			comes_and_goes(paths[1]);
			pthread_join(thread, NULL);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			bad++;
	}
	return bad;
}

/* The C library allocates in it, with the lock of that very thread held: who asks for it inside malloc waits for ever. */
static void *asks(void *thread)
{
	for (int i = 0; i < 200; i++) {
		pthread_attr_t attributes;
		if (pthread_getattr_np(thread ? *(pthread_t *)thread : pthread_self(), &attributes))
			return thread;
		pthread_attr_destroy(&attributes);
	}
	return NULL;
}

static int attributes(void)
{
	pthread_t first = pthread_self(), threads[4];
	void *bad;
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, asks, i % 2 ? &first : NULL))
			return 1;
	if (asks(&first))
		return 1;
	for (int i = 0; i < 4; i++)
		if (pthread_join(threads[i], &bad) || bad)
			return 1;
	return 0;
}

/* The unknown block is libc's own: nobody saw it. The break goes up two pages and down one; three pages stay mapped. */
static int refused(void)
{
	extern void *__libc_malloc(size_t size);
	extern void __libc_free(void *block);
	char *pages = mmap(NULL, 12288, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *unknown = __libc_malloc(100);
	volatile size_t much = PTRDIFF_MAX;
	if (!munmap(pages, (size_t)1 << 62) || !munmap(pages + 1, 4096) || realloc(unknown, much))
		return 1;
	__libc_free(unknown);
	char *end = sbrk(0);
	return brk(end + 8192) || sbrk(-4096) != end + 8192 || sbrk(0) != end + 4096;
}

static void *__attribute__((noinline)) allocate(unsigned depth, size_t size)
{
	void *volatile p = depth ? allocate(depth - 1, size) : malloc(size);
	return p;
}

static void *is_busy(void *seed)
{
	unsigned r = (unsigned)(size_t)seed;
	void *blocks[512] = {NULL};
	for (time_t end = time(NULL) + 2; time(NULL) < end;) {
		r = r * 1103515245 + 12345;
		unsigned k = r >> 9 & 511;
		free(blocks[k]);
		blocks[k] = allocate(r >> 20 & 15, r >> 12 & 4095);
		if (r >> 28 == 0)
			munmap(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192);
	}
	for (int i = 0; i < 512; i++)
		free(blocks[i]);
	return NULL;
}

static int busy(void)
{
	pthread_t threads[2];
	for (size_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, is_busy, (void *)(i + 7));
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* ---- a full table -------------------------------------------------------------------------------------- */

__attribute__((noipa)) static void descend(unsigned ways, int left)
{
	if (!left) {
		void *volatile block = malloc(8);
		free(block);
	} else if (ways & 1) {
		descend(ways >> 1, left - 1);
		__asm__ volatile("# one" ::: "memory");
	} else {
		descend(ways >> 1, left - 1);
		__asm__ volatile("# other" ::: "memory");
	}
}

static void *fill_table(void *unused)
{
	for (unsigned i = 0; i < 60000; i++)
		descend(i * 2654435761u >> 8, 20);
	return unused;
}

typedef void *maker(size_t first, size_t size, int protection, int flags, int file, long offset);
static maker *volatile makers[2] = {(maker *)(void *)malloc, (maker *)(void *)mmap};

/* One place in the code, whichever it calls. */
__attribute__((noipa)) static int make(int which)
{
	void *made = makers[which](1234 * !which, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return made == NULL || made == MAP_FAILED;
}

__attribute__((noipa)) static void fill_at(int i, int when)
{
	pthread_t filling;
	if (i == when && !pthread_create(&filling, NULL, fill_table, NULL))
		pthread_join(filling, NULL);
}

__attribute__((noipa)) static int make_beneath(int frames)
{
	static const volatile int which[] = {0, 0, 0, 0, 1, 0, 1, 0, 1};
	int bad = 0;
	if (frames) {
		bad = make_beneath(frames - 1);
		__asm__ volatile("" ::: "memory");
		return bad;
	}
	for (int i = 0; i < 9; i++) {
		fill_at(i, 3);
		bad |= make(which[i]);
	}
	return bad;
}

int main(int count, char **args)
{
	const char *hazard = count > 1 ? args[1] : "";
	int bad = 2;
	if (!strcmp(hazard, "cancel"))
		bad = cancel();
	else if (!strcmp(hazard, "segfork"))
		bad = segfork();
	else if (!strcmp(hazard, "open") && count > 2)
		bad = open_twice(args[2]);
	else if (!strcmp(hazard, "come_and_go") && count > 3)
		bad = come_and_go(args + 2);
	else if (!strcmp(hazard, "attributes"))
		bad = attributes();
	else if (!strcmp(hazard, "refused"))
		bad = refused();
	else if (!strcmp(hazard, "busy"))
		bad = busy();
	else if (!strcmp(hazard, "full"))
		bad = make_beneath(100);
	puts(bad ? "hurt" : "well");
	return bad != 0;
}
