/*
 * victim_spin: what must not go wrong although nothing is measured: `victim_spin WHAT`, prints "done" and ends with 0.
 *
 * closefds: closes every descriptor, then goes on allocating. limitfs, limitas: sets a small
 * RLIMIT_FSIZE or RLIMIT_AS for itself.
 * mlock: mlockall(MCL_CURRENT | MCL_FUTURE). deep: 3 000 frames. wild: writes every usable byte, as redis does.
 * storm: threads, dlopen, fork, exec and signals at once for SECONDS (argument 2).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

static void churn(int n)
{
	void *keep[64] = {NULL};
	for (int i = 0; i < n; i++) {
		free(keep[i % 64]);
		keep[i % 64] = malloc((size_t)(i % 700) + 1);
		if (!keep[i % 64])
			die("malloc");
	}
	for (int i = 0; i < 64; i++)
		free(keep[i]);
}

static void close_all(int from)
{
	for (int fd = from; fd < 1024; fd++)
		close(fd);
	churn(200000);
	if (open("/dev/null", 0) != from)
		die("somebody took a descriptor");
}

/* A segment must not be what raises SIGXFSZ, nor what makes malloc fail. */
static void limit(int resource, rlim_t bytes)
{
	struct rlimit r = {bytes, bytes};
	if (setrlimit(resource, &r))
		die("setrlimit");
	churn(500000);
	void *blocks[100];
	for (int i = 0; i < 100; i++)
		if (!(blocks[i] = malloc(1u << 20)))
			die("malloc under RLIMIT_AS");
	for (int i = 0; i < 100; i++)
		free(blocks[i]);
}

static void lock_memory(void)
{
	mlockall(MCL_CURRENT | MCL_FUTURE); /* may fail for want of privilege: then there is nothing to see */
	churn(100000);
}

__attribute__((noipa)) static void *go_deep(int n)
{
	void *p = n ? go_deep(n - 1) : malloc(123);
	__asm__ volatile("" ::: "memory");
	return p;
}

static void *be_born_and_die(void *unused)
{
	churn(50);
	return unused;
}

static void *storm_of_threads(void *end)
{
	while (time(NULL) < *(time_t *)end) {
		pthread_t t[8];
		for (int i = 0; i < 8; i++)
			if (pthread_create(&t[i], NULL, be_born_and_die, NULL))
				die("pthread_create");
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
	return NULL;
}

static void *storm_of_forks(void *end)
{
	while (time(NULL) < *(time_t *)end) {
		pid_t pid = fork();
		if (pid == 0) {
			churn(100);
			if (getpid() % 2)
				execl("/bin/true", "true", (char *)NULL);
			_exit(0);
		}
		int status;
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (status)
			die("a forked child did not end well");
	}
	return NULL;
}

static void *storm_of_libraries(void *end)
{
	while (time(NULL) < *(time_t *)end) {
		void *library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
		if (!library)
			library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
		churn(20);
		dlclose(library);
	}
	return NULL;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signal)
{
	(void)signal;
	alarms++;
}

static void storm(int seconds)
{
	time_t end = time(NULL) + seconds;
	pthread_t t[5];
	void *(*const what[5])(void *) = {storm_of_threads, storm_of_threads, storm_of_forks, storm_of_forks,
		storm_of_libraries};
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &action, NULL);
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec every = {{0, 500000}, {0, 500000}};
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &every, NULL))
		die("timer");
	for (int i = 0; i < 5; i++)
		if (pthread_create(&t[i], NULL, what[i], &end))
			die("pthread_create");
	for (int i = 0; i < 5; i++)
		pthread_join(t[i], NULL);
}

static void go_wild(void)
{
	for (size_t n = 1; n < 5000; n += 7) {
		char *p = malloc(n);
		size_t usable = malloc_usable_size(p);
		memset(p, 0xee, usable); /* as redis does: every usable byte is the program's */
		p = realloc(p, usable + 1);
		memset(p, 0xdd, malloc_usable_size(p));
		free(p);
		p = memalign(64, n);
		memset(p, 0xcc, malloc_usable_size(p));
		free(p);
	}
	if (malloc_usable_size(NULL) != 0)
		die("malloc_usable_size(NULL)");
	free(NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "closefds"))
		close_all(3);
	else if (!strcmp(what, "limitfs"))
		limit(RLIMIT_FSIZE, 4096);
	else if (!strcmp(what, "limitas"))
		limit(RLIMIT_AS, 256u << 20);
	else if (!strcmp(what, "mlock"))
		lock_memory();
	else if (!strcmp(what, "deep"))
		for (int i = 0; i < 100; i++)
			go_deep(3000);
	else if (!strcmp(what, "storm"))
		storm(argc > 2 ? atoi(argv[2]) : 2);
	else if (!strcmp(what, "wild"))
		go_wild();
	else
		die("usage: victim_spin closefds|limitfs|limitas|mlock|deep|storm|wild");
	if (write(1, "done\n", 5) != 5)
		die("write");
	return 0;
}
