/*
 * unwind_objects: walks through libraries made for the purpose: lazily bound, unloaded and loaded over each other, a
 * random program by every compiler at hand; threads that walk meanwhile. Equal to libunwind's.
 */
#include "unwind_shapes.h"

/* ---- lazy binding ---- */

static const char lazy_caller[] =
	"int lazily(int x);\n"
	"int deep(int n) { volatile char pad[n * 8 + 8]; pad[n] = 1;\n"
	"  return n ? deep(n - 1) + pad[n] : lazily(n) + pad[n]; }\n";
static const char lazy_flags[] = "-Wl,-z,lazy -fplt -fno-optimize-sibling-calls";
static int (*lazy_deep)(int);

static void work_lazy(void)
{
	lazy_deep(3);
}

/* The first call of an IFUNC, lazily bound: its resolver runs under _dl_runtime_resolve, whose CFA is in rbx. */
START_TEST(lazily_bound_calls)
{
	make_scratch();
	compile("callee",
	        "void (*called)(void);\n"
	        "static int answer(int x) { return x + 1; }\n"
	        "static int (*resolve(void))(int) { if (called) called(); return answer; }\n"
	        "int lazily(int x) __attribute__((ifunc(\"resolve\")));\n",
	        "");
	compile("caller", lazy_caller, lazy_flags);
	compile("stepped", lazy_caller, lazy_flags);
	void *callee = load("callee", RTLD_LAZY);
	void *called = dlsym(callee, "called");
	action compare = oracle_compare;
	memcpy(called, &compare, sizeof compare);
	void *caller = load("caller", RTLD_LAZY);
	*(void **)&lazy_deep = dlsym(caller, "deep");
	ck_assert_int_eq(lazy_deep(7), 9);
	oracle_expect_whole(12);
	oracle_expect(1);
	memset(called, 0, sizeof compare);
	*(void **)&lazy_deep = dlsym(load("stepped", RTLD_LAZY), "deep");
	step_on(work_lazy, 0); /* and the linker at every instruction */
	printf("%d instructions of a lazy call\n", handled);
	oracle_expect(500);
	remove_scratch();
}
END_TEST

/* Two libraries of one layout but different frames: the second is loaded where the first one was. */
static const char *frame_library = "void middle(void (*then)(void)) { volatile char pad[SIZE]; pad[0] = 1; then();\n"
                                   "  __asm__ volatile(\"\" ::: \"memory\"); (void)pad[0]; }\n";

static uintptr_t run_library(const char *name)
{
	void *handle = load(name, RTLD_NOW);
	void (*middle)(action);
	*(void **)&middle = dlsym(handle, "middle");
	middle(oracle_compare);
	uintptr_t where = (uintptr_t)middle;
	dlclose(handle);
	return where;
}

START_TEST(unloaded_code_is_forgotten)
{
	int moved = 0;
	make_scratch();
	compile("small", frame_library, "-DSIZE=400"); /* one size of instruction, two of frame */
	compile("large", frame_library, "-DSIZE=800");
	for (int i = 0; i < 50; i++) {
		uintptr_t first = run_library("small");
		unwind_forget();
		moved += run_library("large") != first;
		unwind_forget();
	}
	ck_assert_msg(moved == 0, "the second library was never loaded over the first: the test shows nothing");
	oracle_expect_whole(3);
	oracle_expect(100);
	remove_scratch();
}
END_TEST

/* The same, where the walk before has left its words: the second library's frame is as much larger as the caller's is
   smaller, so the walk starts at the same pc and sp, and where the first frame had its return address there it still is,
   untouched, in the middle of the second. */
static void (*volatile middle_now)(action);
static volatile int shift_one = 416, shift_two = 16; /* the compiler is not to know */

#define SHIFTED(name, value) \
	static NOINLINE void name(int bytes) \
	{ \
		volatile char array[bytes]; \
		array[bytes - 1] = value; \
		middle_now(oracle_compare); \
		KEEP_FRAME(); \
		(void)array[bytes - 1]; \
	}
SHIFTED(shifted_one, 1)
SHIFTED(shifted_two, 2)

/* Far in, where neither dlopen nor dlclose write. */
static NOINLINE void far_in(bool large)
{
	volatile char far[256 << 10];
	far[sizeof far - 1] = 1;
	if (large)
		shifted_two(shift_two);
	else
		shifted_one(shift_one);
	KEEP_FRAME();
	(void)far[sizeof far - 1];
}

static uintptr_t run_shifted(const char *name, bool large)
{
	void *handle = load(name, RTLD_NOW), *symbol = dlsym(handle, "middle");
	memcpy((void *)&middle_now, &symbol, sizeof symbol);
	far_in(large);
	dlclose(handle);
	unwind_forget();
	return (uintptr_t)symbol;
}

START_TEST(what_was_remembered_of_unloaded_code_is_forgotten)
{
	make_scratch();
	compile("small", frame_library, "-DSIZE=400");
	compile("large", frame_library, "-DSIZE=800");
	for (int i = 0; i < 50; i++) {
		uintptr_t first = run_shifted("small", false);
		struct unwind_start start = oracle_started;
		ck_assert_msg(run_shifted("large", true) == first && oracle_started.pc == start.pc &&
		                  oracle_started.sp == start.sp,
		              "the second library was never loaded over the first: the test shows nothing");
	}
	oracle_expect_whole(5);
	oracle_expect(100);
	ck_assert_uint_eq(oracle_by_memo, 100);
	remove_scratch();
}
END_TEST

/* ---- a random program ---- */

/* A library of functions of random shape that call each other at random, until one calls leaf. */
struct random_program {
	void (*table[2048])(int, struct random_program *);
	unsigned count;
	unsigned (*pick)(unsigned);
	action leaf;
};

static void write_function(FILE *f, int number)
{
	unsigned shape = random_next() % 8, size = random_next() % 300 + 1, align = 8u << random_next() % 5;
	fprintf(f, "void f%d(int d, struct program *p)\n{\n", number);
	if (shape < 5)
		fprintf(f, "\tvolatile char a[%u]; a[0] = d;\n", shape == 4 ? size * 100 : size);
	if (shape == 5)
		fprintf(f, "\tvolatile char a[%u] __attribute__((aligned(%u))); a[0] = d;\n", size, align);
	if (shape == 6)
		fprintf(f, "\tvolatile char a[d * %u + 8]; a[d] = d;\n", size % 16 + 1);
	if (shape == 7)
		fprintf(f, "\tvolatile char w[%u] __attribute__((aligned(%u))); w[0] = d;\n"
		           "\tvolatile char a[(d & 7) * %u + 8]; a[0] = w[0];\n", size, align, size % 16 + 1);
	for (unsigned i = 0; i < number % 7u; i++)
		fprintf(f, "\tunsigned v%u = p->pick(9);\n", i);
	fprintf(f, "\tif (d <= 0)\n\t\tp->leaf();\n\telse\n\t\tp->table[p->pick(p->count)](d - 1, p);\n");
	for (unsigned i = 0; i < number % 7u; i++)
		fprintf(f, "\tsink += v%u;\n", i);
	fprintf(f, "\tsink += a[0];\n}\n");
}

static void make_program(const char *name, const char *compiler, int functions)
{
	char path[128], command[512];
	snprintf(path, sizeof path, "%s/%s.c", scratch, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs("struct program { void (*table[2048])(int, struct program *); unsigned count; unsigned (*pick)(unsigned);\n"
	      "\tvoid (*leaf)(void); };\nstatic volatile unsigned sink;\n", f);
	for (int i = 0; i < functions; i++)
		write_function(f, i);
	fputs("void (*functions[])(int, struct program *) = {", f);
	for (int i = 0; i < functions; i++)
		fprintf(f, "f%d,", i);
	fputs("};\n", f);
	fclose(f);
	snprintf(command, sizeof command, "%s -fPIC -shared -o '%s/%s.so' '%s'", compiler, scratch, name, path);
	ck_assert_int_eq(system(command), 0);
}

static void add_program(struct random_program *p, const char *name, const char *compiler)
{
	enum { FUNCTIONS = 120 };
	make_program(name, compiler, FUNCTIONS);
	void *table = dlsym(load(name, RTLD_NOW), "functions");
	memcpy(p->table + p->count, table, FUNCTIONS * sizeof *p->table);
	p->count += FUNCTIONS;
}

static bool have(const char *program)
{
	char command[128];
	snprintf(command, sizeof command, "command -v %s >/dev/null", program);
	return system(command) == 0;
}

static unsigned pick_below(unsigned count)
{
	return (unsigned)(random_next() % count);
}

static int (*their_backtrace)(void **pcs, int count);

/* libunwind's fast path (pcs[0] is here, pcs[1] our caller), and the memo. */
static NOINLINE void compare_fast(void)
{
	static struct unwind_frame frames[128];
	static struct oracle_walk memo;
	static void *pcs[129];
	struct unwind_start start = ORACLE_START();
	enum unwind_end end;
	size_t count = unwind_walk(&start, &oracle_bounds, frames, 128, &end);
	size_t theirs = (size_t)their_backtrace(pcs, 129) - 1;
	bool same = count == theirs && end == UNWIND_WHOLE;
	same = same && oracle_walk_memo(&start, &memo) && memo.end == end && memo.count == count;
	for (size_t i = 0; i < count && same; i++)
		same = memo.frames[i].pc == frames[i].pc;
	for (size_t i = 0; i < count && same; i++)
		same = frames[i].pc == (uintptr_t)pcs[i + 1];
	oracle_compared++;
	oracle_different += !same;
	KEEP_FRAME();
}

START_TEST(a_million_stacks_of_a_random_program)
{
	static struct random_program program = { .pick = pick_below, .leaf = oracle_compare };
	make_scratch();
	add_program(&program, "o0", "cc -O0");
	add_program(&program, "o2", "cc -O2 -fno-optimize-sibling-calls");
	add_program(&program, "o3", "cc -O3 -march=native -fno-optimize-sibling-calls");
	add_program(&program, "os", "cc -Os -mno-red-zone -fcf-protection=full");
	add_program(&program, "framed", "cc -O2 -fno-omit-frame-pointer -mstackrealign");
	add_program(&program, "outgoing", "cc -O1 -maccumulate-outgoing-args");
	if (have("ld.gold"))
		add_program(&program, "gold", "cc -O2 -fuse-ld=gold");
	if (have("clang"))
		add_program(&program, "clang", "clang -O2 -w");
	for (int i = 0; i < 20000; i++)
		program.table[pick_below(program.count)]((int)pick_below(60), &program);
	oracle_expect(20000);
	void *handle = dlopen("libunwind.so.8", RTLD_LOCAL | RTLD_NOW);
	*(void **)&their_backtrace = dlsym(handle, "unw_backtrace");
	ck_assert_ptr_nonnull(*(void **)&their_backtrace);
	program.leaf = compare_fast;
	for (int i = 0; i < 1000000; i++)
		program.table[pick_below(program.count)]((int)pick_below(40), &program);
	printf("%lu stacks\n", oracle_compared);
	oracle_expect(1000000);
	remove_scratch();
}
END_TEST

/* ---- other threads ---- */

static volatile int stop_walking;
static _Atomic unsigned long walks, wrong_walks;

static NOINLINE void walk_again(void)
{
	static _Thread_local struct oracle_walk first, now;
	struct unwind_start start = ORACLE_START();
	struct oracle_walk *w = first.count ? &now : &first;
	w->count = unwind_walk(&start, &oracle_bounds, w->frames, UNWIND_MAX_DEPTH, &w->end);
	unwind_set_tag(w->frames[0].pc, false, (uint32_t)w->frames[0].pc | 1);
	walks++;
	for (size_t i = 0; i < w->count; i++)
		wrong_walks += w->frames[i].tag != 0 && w->frames[i].tag != ((uint32_t)w->frames[i].pc | 1);
	wrong_walks += first.end != UNWIND_WHOLE || !oracle_same(&first, w);
	KEEP_FRAME();
}

static void *walking(void *unused)
{
	oracle_thread();
	while (!stop_walking)
		chain_saving(12, walk_again, 1, 2, 3, 4);
	return unused;
}

START_TEST(threads_walk_while_libraries_come_and_go)
{
	pthread_t threads[4];
	make_scratch();
	compile("small", frame_library, "-DSIZE=40");
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, walking, NULL);
	for (int i = 0; i < 300; i++) {
		void *handle = load("small", RTLD_NOW);
		usleep(100);
		dlclose(handle);
		unwind_forget();
	}
	stop_walking = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("%lu walks\n", walks);
	ck_assert_uint_eq(wrong_walks, 0);
	ck_assert_uint_gt(walks, 1000);
	remove_scratch();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unwind_objects");
	TCase *walks = walking_case(suite, "walks");
	tcase_add_test(walks, lazily_bound_calls);
	tcase_add_test(walks, unloaded_code_is_forgotten);
	tcase_add_test(walks, what_was_remembered_of_unloaded_code_is_forgotten);
	tcase_add_test(walks, a_million_stacks_of_a_random_program);
	tcase_add_test(walks, threads_walk_while_libraries_come_and_go);
	return run_suite(suite);
}
