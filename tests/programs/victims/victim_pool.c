/*
 * victim_pool: a pool allocator that tells mtrace.h what it hands out: `victim_pool TRUTH_FILE ENDING`.
 *
 * Prints whether libmtrace records it, so that the same program can be run without. Two pools, one of which hands
 * out addresses inside malloc blocks that are live themselves.
 */
#include "truth.h"

#include "mtrace.h"

struct truth_file *truth;
__thread struct truth_thread *truth_me;

enum { CELLS = 1000, CELL_BYTES = 64 };
static uint32_t path_small, path_large;

TRUTH_FUNCTION struct truth_block truth_pool_small(const void *pool, void *cell, uint64_t n)
{
	truth_begin(path_small, n);
	mtrace_pool_alloc(pool, cell, n);
	return truth_got(path_small, cell, n);
}

TRUTH_FUNCTION struct truth_block truth_pool_large(const void *pool, void *cell, uint64_t n)
{
	truth_begin(path_large, n);
	mtrace_pool_alloc(pool, cell, n);
	return truth_got(path_large, cell, n);
}

static const void *pool_of_release;

static void release(void *cell)
{
	mtrace_pool_free(pool_of_release, cell);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		truth_die("usage: victim_pool TRUTH_FILE ENDING");
	truth = open_truth_file(argv[1], "pool");
	truth_join_thread(0);
	path_small = truth_name_path("truth_pool_small");
	path_large = truth_name_path("truth_pool_large");
	static char fixed[CELLS][CELL_BYTES];
	char *heap = (char *)malloc((size_t)CELLS * CELL_BYTES);
	pool_of_release = fixed;

	mtrace_mark("begin");
	for (int round = 0; round < 10; round++)
		for (int i = 0; i < CELLS; i++) {
			struct truth_block b = truth_pool_small(fixed, fixed[i], (uint64_t)(i % CELL_BYTES) + 1);
			if (round < 9 || i % 5)
				truth_free_with(b, release);
		}
	for (int i = 0; i < CELLS; i++)
		truth_pool_large(heap, heap + (size_t)i * CELL_BYTES, 32); /* the first has malloc's own address */
	mtrace_snapshot("end");
	printf("active %d\n", mtrace_active());
	fflush(stdout);
	truth->complete = 1;
	truth_end_process(argv[2]);
	return 6;
}
