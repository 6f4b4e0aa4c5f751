/*
 * victim_mmap: mapped regions with a model of who owns each page: `victim_mmap TRUTH_FILE ENDING`.
 *
 * A window of address space is reserved; inside it functions map over each other, unmap pieces, move and resize
 * (mmap with MAP_FIXED, munmap, mremap, madvise), as a JVM does. The model is an owner per page, so the live bytes
 * of each call path are known to the page. A few regions outside the window come from the kernel's own choice of
 * address. What mremap resizes or moves belongs to the call of mremap, as with realloc.
 */
#include "truth.h"

struct truth_file *truth;
__thread struct truth_thread *truth_me;

enum { PAGE = 4096, WINDOW_PAGES = 2048, NOBODY = -1, EVENTS = 3000 };

static char *window;
static int owner[WINDOW_PAGES];
static int path_window, path_fixed, path_fixed_deep, path_shared, path_move, path_shrink, path_kept, path_kept_odd,
	path_grown, path_alias;

static void own(int first, int pages, int path)
{
	for (int i = first; i < first + pages; i++) {
		if (owner[i] != NOBODY)
			truth_count_free((uint32_t)owner[i], PAGE);
		owner[i] = path;
		if (path != NOBODY)
			truth_count_alloc((uint32_t)path, PAGE);
	}
}

static void *checked(void *p)
{
	if (p == MAP_FAILED)
		truth_die("mmap");
	return p;
}

static void map_fixed(int first, int pages, int flags)
{
	void *at = window + (size_t)first * PAGE;
	if (checked(mmap(at, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0)) != at)
		truth_die("MAP_FIXED elsewhere");
}

TRUTH_FUNCTION void truth_reserve(void)
{
	window = checked(mmap(NULL, (size_t)WINDOW_PAGES * PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	for (int i = 0; i < WINDOW_PAGES; i++)
		owner[i] = NOBODY;
	own(0, WINDOW_PAGES, path_window);
}

TRUTH_FUNCTION void truth_fixed(int first, int pages)
{
	map_fixed(first, pages, MAP_PRIVATE | MAP_ANONYMOUS);
	own(first, pages, path_fixed);
	truth_stay();
}

TRUTH_FUNCTION void truth_fixed_deep(int first, int pages, int depth)
{
	if (depth)
		truth_fixed_deep(first, pages, depth - 1);
	else
		map_fixed(first, pages, MAP_PRIVATE | MAP_ANONYMOUS);
	truth_stay();
}

TRUTH_FUNCTION void truth_shared(int first, int pages)
{
	map_fixed(first, pages, MAP_SHARED | MAP_ANONYMOUS);
	own(first, pages, path_shared);
	truth_stay();
}

TRUTH_FUNCTION void truth_unmap(int first, int pages)
{
	if (munmap(window + (size_t)first * PAGE, (size_t)pages * PAGE))
		truth_die("munmap");
	own(first, pages, NOBODY);
}

/* From one place of the window over another; the source must be one mapping, so it is made afresh. */
TRUTH_FUNCTION void truth_move(int from, int to, int pages, int new_pages)
{
	truth_fixed(from, pages);
	void *target = window + (size_t)to * PAGE;
	if (mremap(window + (size_t)from * PAGE, (size_t)pages * PAGE, (size_t)new_pages * PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, target) != target)
		truth_die("mremap");
	own(from, pages, NOBODY);
	own(to, new_pages, path_move);
}

TRUTH_FUNCTION void truth_shrink(int first, int pages)
{
	truth_fixed(first, pages);
	if (mremap(window + (size_t)first * PAGE, (size_t)pages * PAGE, (size_t)(pages / 2) * PAGE, 0) == MAP_FAILED)
		truth_die("mremap");
	own(first, pages, NOBODY);
	own(first, pages / 2, path_shrink);
}

/* Fails, and must leave everything as it was. */
TRUTH_FUNCTION void truth_failures(int first, int pages)
{
	if (mmap(window + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED ||
	    munmap(window + 1, PAGE) == 0 ||
	    mmap(window + (size_t)first * PAGE, (size_t)pages * PAGE, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED ||
	    mremap(window + (size_t)first * PAGE, 0, PAGE, 0) != MAP_FAILED)
		truth_die("should have failed");
	truth_stay();
}

static void one_event(uint64_t *random)
{
	int half = WINDOW_PAGES / 2;
	int first = 1 + (int)(truth_random(random) % (half - 70)), pages = 2 + (int)(truth_random(random) % 60);
	switch (truth_random(random) % 8) {
	case 0: truth_fixed(first, pages); break;
	case 1:
		truth_fixed_deep(first, pages, 5);
		own(first, pages, path_fixed_deep);
		break;
	case 2: truth_shared(first, pages); break;
	case 3: truth_unmap(first, pages); break;
	case 4: truth_move(first, half + first, pages, 1 + pages / 2); break;
	case 5: truth_shrink(first, pages); break;
	case 6: truth_move(half + first, first, pages, pages); break;
	default:
		truth_fixed(first, pages);
		truth_failures(first, pages);
		madvise(window + (size_t)first * PAGE, (size_t)pages * PAGE, MADV_DONTNEED);
		break;
	}
}

/* Regions at addresses of the kernel's choice, some with a size that is no multiple of the page. */
TRUTH_FUNCTION void truth_kept(void)
{
	for (int i = 1; i <= 50; i++) {
		char *p = checked(mmap(NULL, (size_t)i * 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0));
		truth_count_alloc((uint32_t)path_kept, (uint64_t)i * 16 * PAGE);
		if (i % 2) { /* a hole in the middle leaves two pieces */
			munmap(p + 4 * PAGE, 8 * PAGE);
			truth_count_free((uint32_t)path_kept, 8 * PAGE);
		}
	}
}

TRUTH_FUNCTION void truth_kept_odd(void)
{
	for (int i = 0; i < 20; i++) {
		checked(mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		truth_count_alloc((uint32_t)path_kept_odd, 2 * PAGE);
	}
}

TRUTH_FUNCTION void truth_grown(void)
{
	size_t bytes = 16 * PAGE;
	char *p = checked(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < 12; i++) {
		p = checked(mremap(p, bytes, bytes * 2, MREMAP_MAYMOVE));
		bytes *= 2;
	}
	truth_count_alloc((uint32_t)path_grown, bytes);
}

/* An old size of 0 makes a second mapping of the same shared pages. */
TRUTH_FUNCTION void truth_alias(void)
{
	char *p = checked(mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	checked(mremap(p, 0, 64 * PAGE, MREMAP_MAYMOVE));
	truth_count_alloc((uint32_t)path_alias, 2 * 64 * PAGE);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		truth_die("usage: victim_mmap TRUTH_FILE ENDING");
	truth = open_truth_file(argv[1], "mmap");
	truth_join_thread(0);
	path_window = (int)truth_name_path("truth_reserve");
	path_fixed = (int)truth_name_path("truth_fixed");
	path_fixed_deep = (int)truth_name_path("truth_fixed_deep");
	path_shared = (int)truth_name_path("truth_shared");
	path_move = (int)truth_name_path("truth_move");
	path_shrink = (int)truth_name_path("truth_shrink");
	path_kept = (int)truth_name_path("truth_kept");
	path_kept_odd = (int)truth_name_path("truth_kept_odd");
	path_grown = (int)truth_name_path("truth_grown");
	path_alias = (int)truth_name_path("truth_alias");
	/* truth_fixed called by the two that resize: the same function, other paths, overwritten at once */
	truth_name_path("truth_fixed<truth_move");
	truth_name_path("truth_fixed<truth_shrink");

	void *volatile one = malloc(1);
	free(one); /* a run without any malloc is an error to the report */
	uint64_t random = 12345;
	truth_reserve();
	for (int i = 0; i < EVENTS; i++)
		one_event(&random);
	truth_kept();
	truth_kept_odd();
	truth_grown();
	truth_alias();
	truth->complete = 1;
	truth_end_process(argv[2]);
	return 6;
}
