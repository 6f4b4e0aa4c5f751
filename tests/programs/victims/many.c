/*
 * many: a little of all that is interposed, in threads, in a forked child and in an image that this one execs; says what
 * came of it. Built with musl-gcc by tests/programs/dist.sh, and needs nothing of glibc: `many OWN_PATH`, ends with 3.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, BLOCKS = 100, ROUNDS = 100 };

static void *work(void *argument)
{
	unsigned char *blocks[BLOCKS];
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < BLOCKS; i++)
			memset(blocks[i] = malloc((size_t)i * 7 + 1), i, (size_t)i * 7 + 1);
		for (int i = 0; i < BLOCKS; i++)
			blocks[i] = realloc(blocks[i], (size_t)i * 9 + 1);
		for (int i = 0; i < BLOCKS; i++) {
			if (blocks[i][i * 7] != i)
				abort();
			free(blocks[i]);
		}
	}
	return argument;
}

static void rest_of_the_family(void)
{
	void *p = NULL;
	int error = posix_memalign(&p, 64, 100);
	printf("posix_memalign %d, aligned %d\n", error, (int)((unsigned long)p % 64));
	free(p);
	free(aligned_alloc(64, 128));
	free(memalign(64, 128));
	free(calloc(3, 5));
	free(reallocarray(NULL, 3, 4));
	p = malloc(10);
	printf("usable %d\n", malloc_usable_size(p) >= 10);
	free(p);
	errno = 0;
	p = malloc((size_t)-1 / 2);
	printf("too much: %d, errno %d\n", p != NULL, errno == ENOMEM);
}

static void map(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p[8191] = 1;
	p = mremap(p, 8192, 16384, MREMAP_MAYMOVE);
	printf("mapped %d\n", p[8191]);
	printf("unmapped %d\n", munmap(p, 16384));
}

static int child(const char *path)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		work(NULL);
		execl(path, path, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	rest_of_the_family();
	map();
	fflush(stdout);
	if (argc > 1)
		printf("child %d\n", child(argv[1]));
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	void *self = dlopen(NULL, RTLD_NOW);
	printf("dlclose %d, dlerror %s\n", self ? dlclose(self) : -1, dlerror() ? "set" : "clear");
	return 3;
}
