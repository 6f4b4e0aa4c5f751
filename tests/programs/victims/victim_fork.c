/*
 * victim_fork: a server that forks workers without exec, and every other way to make a child:
 * `victim_fork TRUTH_PREFIX HOW`, HOW one of workers, double, spawn, vfork, threads, killed.
 *
 * Each process that goes on running code of ours has its own truth, TRUTH_PREFIX.<n>; the parent's is TRUTH_PREFIX.0.
 * A child frees blocks that it got from its parent: these are inherited, never unknown.
 */
#include "truth.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>

struct truth_file *truth;
__thread struct truth_thread *truth_me;

extern char **environ;

enum { INHERITED = 100, WORKERS = 5 };
static const char *prefix;
static uint32_t path_parent, path_child, path_moved, path_thread;
static struct truth_block inherited[INHERITED];

static void open_truth(int n)
{
	char path[4096];
	snprintf(path, sizeof path, "%s.%d", prefix, n);
	truth = open_truth_file(path, "malloc");
	truth_join_thread(0);
	path_parent = truth_name_path("truth_parent");
	path_child = truth_name_path("truth_child");
	path_moved = truth_name_path("truth_moved");
	path_thread = truth_name_path("truth_thread");
}

TRUTH_FUNCTION struct truth_block truth_parent(uint64_t n)
{
	truth_begin(path_parent, n);
	struct truth_block b = truth_got(path_parent, malloc(n), n);
	truth_stay();
	return b;
}

TRUTH_FUNCTION struct truth_block truth_child(uint64_t n)
{
	truth_begin(path_child, n);
	struct truth_block b = truth_got(path_child, calloc(n, 1), n);
	truth_stay();
	return b;
}

/* realloc of a parent's block: an inherited free and a block of our own. */
TRUTH_FUNCTION void truth_moved(struct truth_block *b)
{
	truth_begin(path_moved, 5000);
	*b = truth_got(path_moved, realloc(b->pointer, 5000), 5000);
}

TRUTH_FUNCTION struct truth_block truth_thread(uint64_t n)
{
	truth_begin(path_thread, n);
	struct truth_block b = truth_got(path_thread, malloc(n), n);
	truth_stay();
	return b;
}

static void fill(void)
{
	for (int i = 0; i < INHERITED; i++)
		inherited[i] = truth_parent((uint64_t)i + 100);
}

static void *thread_of_child(void *unused)
{
	truth_join_thread(1);
	for (int i = 0; i < 1000; i++) {
		struct truth_block b = truth_thread((uint64_t)i + 1);
		if (i % 2)
			truth_free(b);
	}
	return unused;
}

/* A worker: its own blocks, the frees of half of its parent's, a realloc of one, a thread. */
static void be_worker(int n)
{
	open_truth(n);
	for (int i = 0; i < 2000; i++) {
		struct truth_block b = truth_child((uint64_t)(i % 300) + 1);
		if (i % 3)
			truth_free(b);
	}
	for (int i = 0; i < INHERITED / 2; i++)
		free(inherited[i].pointer);
	truth_moved(&inherited[INHERITED - 1]);
	pthread_t t;
	if (pthread_create(&t, NULL, thread_of_child, NULL))
		truth_die("pthread_create");
	pthread_join(t, NULL);
	truth->complete = 1;
}

static void wait_for(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			truth_die("waitpid");
}

static void run_workers(const char *end)
{
	pid_t pids[WORKERS];
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			be_worker(i + 1);
			truth_end_process(end);
		}
		truth_free(truth_parent(50)); /* the parent goes on between the forks */
	}
	for (int i = 0; i < WORKERS; i++)
		wait_for(pids[i]);
}

/* The grandchild outlives its parent by nothing that matters: the grandparent waits on a pipe. */
static void run_double_fork(void)
{
	int ends[2];
	char byte;
	if (pipe(ends))
		truth_die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		if (fork())
			_exit(0);
		be_worker(1);
		setsid();
		_exit(0);
	}
	close(ends[1]);
	wait_for(pid);
	if (read(ends[0], &byte, 1) != 0)
		truth_die("read");
}

static void run_spawn(void)
{
	for (int i = 0; i < 20; i++) {
		char *arguments[] = {(char *)"true", NULL};
		pid_t pid;
		if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ))
			truth_die("posix_spawn");
		wait_for(pid);
		truth_parent(10);
	}
	if (system("exit 0") != 0)
		truth_die("system");
	FILE *f = popen("echo from-popen", "r");
	char line[64] = "";
	if (!f || !fgets(line, sizeof line, f) || strcmp(line, "from-popen\n") || pclose(f))
		truth_die("popen");
}

/* What a vfork child allocates and frees is its suspended parent's, on the same heap. */
static void vfork_children(void)
{
	static struct truth_block kept[20];
	static volatile int i;
	for (i = 0; i < 20; i++) {
		pid_t pid = vfork();
		if (pid == 0) {
			kept[i] = truth_child(77);
			truth_free(inherited[i]);
			if (i % 2)
				_exit(0);
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		wait_for(pid);
	}
	for (i = 0; i < 10; i++)
		truth_free(kept[i]);
}

static int is_stopping;

static void *churn(void *argument)
{
	truth_join_thread(1 + (uint32_t)(uintptr_t)argument);
	uint64_t random = (uint64_t)(uintptr_t)argument + 1;
	while (!__atomic_load_n(&is_stopping, __ATOMIC_ACQUIRE))
		truth_free(truth_thread(1 + truth_random(&random) % 500));
	return NULL;
}

/* fork while other threads are in the midst of everything: the child has one thread and may use malloc. */
static void run_fork_among_threads(void)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)i))
			truth_die("pthread_create");
	for (int i = 0; i < 40; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (i < 4)
				be_worker(i + 1);
			_exit(0);
		}
		wait_for(pid);
	}
	__atomic_store_n(&is_stopping, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		truth_die("usage: victim_fork TRUTH_PREFIX HOW");
	const char *how = argv[2];
	prefix = argv[1];
	open_truth(0);
	fill();
	if (!strcmp(how, "workers"))
		run_workers("exit");
	else if (!strcmp(how, "killed"))
		run_workers("kill");
	else if (!strcmp(how, "double"))
		run_double_fork();
	else if (!strcmp(how, "spawn"))
		run_spawn();
	else if (!strcmp(how, "vfork"))
		vfork_children();
	else if (!strcmp(how, "threads"))
		run_fork_among_threads();
	else
		truth_die(how);
	truth->complete = 1;
	return 0;
}
