/*
 * differential: a preload library for tests that compares the unwinder's walks inside real programs. At each allocation
 * it walks by our rules, by the memo, and by libunwind, compares frame by frame, puts a difference into the class whose
 * rule explains it (the table below: its words are the explanation), and writes the totals at exit.
 *
 *   DIFFERENTIAL_OUT=FILE    where the totals go; without it nothing is compared
 *   DIFFERENTIAL_EVERY=N     runs of RUN allocations of a thread, one run in N (default 1: all)
 *   DIFFERENTIAL_FALSIFY=W   one frame of the walk by W (rules, memo, libunwind) is made wrong, or what one remembered way
 *                            comes to: it must be found
 *
 * Our walks run where the tracker's do: on the caller's stack, however small. libunwind needs more, and gets a stack of
 * its own. Only the process that was started with it is compared: it takes itself out of LD_PRELOAD, and is silent in
 * forked children. A walk inside a walk (libunwind allocates; a handler interrupts) is not compared.
 * Bound: SLOTS comparisons at a time; more are counted as `busy` and not compared. A thread's memo is never freed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plat.h"
#include "unwind/libunwind.h"
#include "../lib/ways.h"
#include "unwind/memo.h"
#include "unwind/unwind.h"

#define EXPORT __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline, noclone))

/* name, is it explained, by which rule */
#define CLASSES(X) \
	X(equal, 1, "the same frames and the same end") \
	X(run_time_code, 1, "the last frame is in code made at run time, in no object: libunwind finds no rules there " \
	  "either; we stop and say so, it guesses on by the frame register") \
	X(no_rules, 1, "the last frame is in an object that has no rules for it (written by hand, or by a generator of its " \
	  "own as V8's builtins are): libunwind finds none either; we stop and say so, it guesses on by the frame " \
	  "register or calls it the end") \
	X(first_instruction, 1, "the last return address is a function's first instruction and no rules cover the byte " \
	  "before it: nobody called it, somebody laid it there as the end; libunwind guesses on by the frame register") \
	X(memo, 0, "the memo's walk is not the rules' walk") \
	X(way, 0, "a way in that was remembered does not lead to where the rules lead") \
	X(unexplained, 0, "no rule explains it")

enum class {
#define NAME(name, explained, words) CLASS_##name,
	CLASSES(NAME)
#undef NAME
	CLASS_COUNT
};

static const struct {
	const char *name, *words;
	bool explained;
} classes[CLASS_COUNT] = {
#define ROW(name, explained, words) {#name, words, explained},
	CLASSES(ROW)
#undef ROW
};

struct walked {
	size_t count;
	enum unwind_end end;
	struct unwind_frame frames[UNWIND_MAX_DEPTH];
};

enum { BY_RULES, BY_MEMO, BY_LIBUNWIND, WALKERS };
static const char *const walker_names[WALKERS] = {"rules", "memo", "libunwind"};

enum { SLOTS = 64, SLOT_STACK = 256 << 10, EXAMPLES = 4, RUN = 256, ENDS = 8, DEPTHS = 11 };

/* One comparison under way. */
struct slot {
	_Atomic int taken;
	bool memo_walked;
	uint32_t way; /* enum ways_result */
	struct unwind_start start;
	struct libunwind_registers registers;
	struct walked by[WALKERS];
	_Alignas(64) char stack[SLOT_STACK];
};

static struct slot *slots;
static _Atomic bool is_on;
static char out_path[512];
static unsigned long every = 1;
static unsigned falsified = WALKERS; /* none */
static bool falsified_way;
static _Atomic bool falsified_one;
static _Atomic unsigned long stacks, frames_seen, busy, memo_stacks, way_stacks, route_stacks, by_class[CLASS_COUNT], by_end[ENDS], by_depth[DEPTHS];

struct example {
	enum class class;
	struct walked by[WALKERS];
};
static struct example examples[EXAMPLES];
static _Atomic unsigned example_count;

static __thread struct {
	int inside;
	int in_libunwind;
	unsigned long events;
	struct unwind_bounds bounds;
	struct memo *memo;
	struct ways *ways;
} self __attribute__((tls_model("initial-exec")));

/* ---- the walks ---------------------------------------------------------------------------------------- */

static void walk_by_rules(struct slot *s)
{
	struct walked *w = &s->by[BY_RULES];
	w->count = unwind_walk(&s->start, &self.bounds, w->frames, UNWIND_MAX_DEPTH, &w->end);
}

/* The memo's frames are outermost first. */
static void walk_by_memo(struct slot *s)
{
	struct walked *w = &s->by[BY_MEMO];
	struct memo *m = self.memo;
	s->memo_walked = m && memo_walk(m, &s->start, &self.bounds) != MEMO_CANNOT;
	if (!s->memo_walked)
		return;
	w->end = (enum unwind_end)m->end;
	w->count = m->count;
	for (size_t i = 0; i < w->count; i++) {
		const struct memo_frame *f = &m->frames[m->count - 1 - i];
		w->frames[i] = (struct unwind_frame){memo_pc(f), f->tag, (f->flags & MEMO_EXACT) != 0};
	}
}

static void walk_by_libunwind(struct slot *s)
{
	struct walked *w = &s->by[BY_LIBUNWIND];
	w->count = unwind_libunwind_walk_from(&s->registers, &s->start, w->frames, UNWIND_MAX_DEPTH, &w->end);
}

/* ---- the judgement -------------------------------------------------------------------------------------- */

/* libunwind does not tell apart why a walk was cut. */
static bool is_cut(enum unwind_end end)
{
	return end != UNWIND_WHOLE && end != UNWIND_TOO_DEEP;
}

/* a's frames are b's innermost ones. */
static bool is_beginning(const struct walked *a, const struct walked *b)
{
	for (size_t i = 0; i < a->count; i++) {
		if (i >= b->count || a->frames[i].pc != b->frames[i].pc || a->frames[i].exact != b->frames[i].exact)
			return false;
	}
	return true;
}

static enum class judge(const struct walked *ours, const struct walked *theirs)
{
	bool same_end = ours->end == theirs->end || (is_cut(ours->end) && is_cut(theirs->end));
	if (!is_beginning(ours, theirs) || ours->count == 0)
		return CLASS_unexplained;
	if (ours->count == theirs->count && same_end)
		return CLASS_equal;
	const struct unwind_frame *last = &ours->frames[ours->count - 1];
	uintptr_t lookup = last->exact ? last->pc : last->pc - 1;
	struct plat_object object;
	if (unwind_libunwind_function(lookup) != 0)
		return CLASS_unexplained;
	if (ours->end == UNWIND_NO_RULES)
		return plat_find_object(lookup, &object) ? CLASS_no_rules : CLASS_run_time_code;
	if (ours->end == UNWIND_WHOLE && !last->exact && unwind_libunwind_function(last->pc) == last->pc)
		return CLASS_first_instruction;
	return CLASS_unexplained;
}

/* After the rules: what is found is held against them. */
static void walk_by_ways(struct slot *s)
{
	const struct walked *w = &s->by[BY_RULES];
	s->way = WAYS_NEW;
	uint32_t sum = ways_sum(w->frames, w->count, w->end);
	if (falsified_way && w->count > 3)
		sum += !atomic_exchange(&falsified_one, true);
	if (self.ways)
		s->way = ways_recall(self.ways, &s->start, &self.bounds, sum);
}

static enum class judge_all(const struct slot *s)
{
	const struct walked *rules = &s->by[BY_RULES], *memo = &s->by[BY_MEMO];
	if (s->memo_walked && (memo->count != rules->count || memo->end != rules->end || !is_beginning(memo, rules)))
		return CLASS_memo;
	if (s->way & WAYS_WRONG)
		return CLASS_way;
	return judge(rules, &s->by[BY_LIBUNWIND]);
}

static void count(const struct slot *s, enum class class)
{
	const struct walked *w = &s->by[BY_RULES];
	unsigned depth = w->count ? 63 - __builtin_clzl(w->count) : 0;
	atomic_fetch_add(&by_class[class], 1);
	atomic_fetch_add(&by_end[w->end % ENDS], 1);
	atomic_fetch_add(&by_depth[depth < DEPTHS ? depth : DEPTHS - 1], 1);
	atomic_fetch_add(&frames_seen, w->count);
	atomic_fetch_add(&memo_stacks, s->memo_walked);
	atomic_fetch_add(&way_stacks, (s->way & WAYS_FOUND) != 0);
	atomic_fetch_add(&route_stacks, (s->way & WAYS_FOUND_ROUTE) != 0);
	if (classes[class].explained)
		return;
	unsigned n = atomic_fetch_add(&example_count, 1);
	if (n >= EXAMPLES)
		return;
	examples[n].class = class;
	memcpy(examples[n].by, s->by, sizeof s->by);
	if (!s->memo_walked)
		examples[n].by[BY_MEMO].count = 0;
}

/* The outermost frame of the first deep enough stack. */
static void falsify(struct slot *s)
{
	struct walked *w = &s->by[falsified];
	if (w->count > 3 && (falsified != BY_MEMO || s->memo_walked) && !atomic_exchange(&falsified_one, true))
		w->frames[w->count - 1].pc++;
}

static void walk_and_judge(struct slot *s)
{
	self.in_libunwind = 1;
	walk_by_libunwind(s);
	if (falsified < WALKERS)
		falsify(s);
	enum class class = judge_all(s);
	self.in_libunwind = 0;
	count(s, class);
}

/* ---- one comparison --------------------------------------------------------------------------------------- */

/* Calls then(argument) on the stack that ends at top. */
void differential_on_stack(void *top, void (*then)(struct slot *), struct slot *argument)
	__attribute__((visibility("hidden")));
__asm__(".text\n.type differential_on_stack, @function\n.hidden differential_on_stack\ndifferential_on_stack:\n"
	".cfi_startproc\n"
	"pushq %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13, 0\n"
	"movq %rsp, %r13\n.cfi_def_cfa_register %r13\n"
	"movq %rdi, %rsp\n"
	"movq %rdx, %rdi\n"
	"call *%rsi\n"
	"movq %r13, %rsp\n.cfi_def_cfa_register %rsp\n"
	"popq %r13\n.cfi_adjust_cfa_offset -8\n.cfi_restore %r13\n"
	"ret\n.cfi_endproc\n.size differential_on_stack, .-differential_on_stack\n");

/* As libmtrace/threads.c finds them; it knows a thread's size from its birth, here the pages are asked. */
static void find_bounds(void)
{
	enum { MAIN_MOST = 64 << 20, THREAD_MOST = 8 << 20, PAGE = 4096 };
	uint64_t most = plat_stack_limit(), bytes = most < MAIN_MOST ? most : MAIN_MOST;
	self.bounds.high = plat_stack_top_main();
	self.bounds.low = self.bounds.high - bytes;
	uintptr_t thread = plat_thread_pointer();
	if (plat_tid() == plat_pid())
		return;
	self.bounds.high = thread;
	self.bounds.low = thread & -(uintptr_t)PAGE;
	while (thread - self.bounds.low < THREAD_MOST && plat_readable(self.bounds.low - PAGE))
		self.bounds.low -= PAGE;
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void enter_thread(void)
{
	if (self.bounds.high)
		return;
	find_bounds();
	self.memo = map(sizeof *self.memo);
	self.ways = map(sizeof *self.ways);
}

static struct slot *take_slot(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		int free_slot = 0;
		if (atomic_compare_exchange_strong(&slots[i].taken, &free_slot, 1))
			return &slots[i];
	}
	atomic_fetch_add(&busy, 1);
	return NULL;
}

/* The frame whose registers libunwind starts from is this one: it must be there until the end. */
static NOINLINE void compare_in(struct slot *s)
{
	walk_by_memo(s);
	walk_by_rules(s);
	walk_by_ways(s);
	if (unwind_libunwind_capture()(&s->registers) == 0)
		differential_on_stack(s->stack + SLOT_STACK, walk_and_judge, s);
	__asm__ volatile("" ::: "memory"); /* no tail call */
}

static NOINLINE void compare(const struct unwind_start *start)
{
	if (self.inside || !atomic_load(&is_on) || self.events++ / RUN % every)
		return;
	int saved = errno;
	self.inside = 1;
	struct slot *s = take_slot();
	if (s) {
		atomic_fetch_add(&stacks, 1);
		enter_thread();
		s->start = *start;
		compare_in(s);
		atomic_store(&s->taken, 0);
	}
	self.inside = 0;
	errno = saved;
}

/* ---- the interposed functions ------------------------------------------------------------------------------- */

#define REAL(X) \
	X(void *, malloc, (size_t)) \
	X(void *, calloc, (size_t, size_t)) \
	X(void *, realloc, (void *, size_t)) \
	X(void *, memalign, (size_t, size_t)) \
	X(void *, aligned_alloc, (size_t, size_t)) \
	X(int, posix_memalign, (void **, size_t, size_t)) \
	X(int, sigprocmask, (int, const sigset_t *, sigset_t *)) \
	X(int, dlclose, (void *))

static struct {
#define POINTER(type, name, parameters) type(*name) parameters;
	REAL(POINTER)
#undef POINTER
} real;

static NOINLINE void find_real(void)
{
#define FIND(type, name, parameters) \
	do { \
		void *symbol = plat_symbol_next(#name); \
		memcpy(&real.name, &symbol, sizeof symbol); \
	} while (0);
	REAL(FIND)
#undef FIND
}

#define CALL(name, ...) (__builtin_expect(!real.name, 0) ? find_real() : (void)0, real.name(__VA_ARGS__))

/* The state of whoever calls the function this stands in, as a hook takes it. */
#define COMPARE_CALLER() \
	compare(&(struct unwind_start){(uintptr_t)__builtin_return_address(0), \
				       (uintptr_t)__builtin_frame_address(0) + 16, \
				       *(uintptr_t *)__builtin_frame_address(0)})

EXPORT void *malloc(size_t size)
{
	void *p = CALL(malloc, size);
	COMPARE_CALLER();
	return p;
}

EXPORT void *calloc(size_t count_of, size_t size)
{
	void *p = CALL(calloc, count_of, size);
	COMPARE_CALLER();
	return p;
}

EXPORT void *realloc(void *old, size_t size)
{
	void *p = CALL(realloc, old, size);
	COMPARE_CALLER();
	return p;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	void *p = CALL(memalign, alignment, size);
	COMPARE_CALLER();
	return p;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	void *p = CALL(aligned_alloc, alignment, size);
	COMPARE_CALLER();
	return p;
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
	int status = CALL(posix_memalign, out, alignment, size);
	COMPARE_CALLER();
	return status;
}

/* libunwind blocks all signals twice a frame; under our guard nothing re-enters it, and most of its time was that. */
EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return self.in_libunwind ? 0 : CALL(sigprocmask, how, set, old);
}

EXPORT int dlclose(void *handle)
{
	int status = CALL(dlclose, handle);
	unwind_forget();
	return status;
}

/* ---- the totals ---------------------------------------------------------------------------------------- */

static void write_frame(int fd, const struct walked *w, size_t i)
{
	struct plat_object object;
	uintptr_t pc = i < w->count ? w->frames[i].pc : 0;
	const char *mark = pc && w->frames[i].exact ? "*" : "";
	if (pc && plat_find_object(pc - 1, &object)) {
		const char *slash = strrchr(object.path, '/');
		dprintf(fd, "  %s+%#lx%s", slash ? slash + 1 : "program", pc - object.bias, mark);
	} else {
		dprintf(fd, pc ? "  %#lx%s" : "  -", pc, mark);
	}
}

static void write_example(int fd, const struct example *e)
{
	size_t rows = 0;
	dprintf(fd, "example %s:", classes[e->class].name);
	for (int by = 0; by < WALKERS; by++) {
		const struct walked *w = &e->by[by];
		dprintf(fd, " %s %zu frames, end %d;", walker_names[by], w->count, w->end);
		rows = w->count > rows ? w->count : rows;
	}
	for (size_t i = 0; i < rows && i < 60; i++) {
		dprintf(fd, "\nframe %zu", i);
		for (int by = 0; by < WALKERS; by++)
			write_frame(fd, &e->by[by], i);
	}
	dprintf(fd, "\n");
}

static void write_totals(int fd)
{
	static const char *const end_names[ENDS] = {
		"whole", "too_deep", "end_2", "end_no_rules", "end_bad_rules", "end_unreadable", "end_6", "end_loop",
	};
	dprintf(fd, "stacks %lu\nframes %lu\nmemo_stacks %lu\nway_stacks %lu\nroute_stacks %lu\nbusy %lu\n", stacks, frames_seen,
		memo_stacks, way_stacks, route_stacks, busy);
	for (int i = 0; i < ENDS; i++)
		dprintf(fd, "%s %lu\n", end_names[i], by_end[i]);
	for (int i = 0; i < DEPTHS; i++)
		dprintf(fd, "depth_from_%d %lu\n", 1 << i, by_depth[i]);
	for (int i = 0; i < CLASS_COUNT; i++)
		dprintf(fd, "%s %s %lu %s\n", classes[i].explained ? "explained" : "wrong", classes[i].name, by_class[i],
			classes[i].words);
	for (unsigned i = 0; i < example_count && i < EXAMPLES; i++)
		write_example(fd, &examples[i]);
	dprintf(fd, "end\n");
}

/* ---- begin and end ---------------------------------------------------------------------------------------- */

static void turn_off(void)
{
	atomic_store(&is_on, false);
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);
	return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static unsigned walker_of(const char *name)
{
	unsigned by = 0;
	while (by < WALKERS && !(name && strcmp(name, walker_names[by]) == 0))
		by++;
	return by;
}

static __attribute__((constructor)) void begin(void)
{
	const char *path = getenv("DIFFERENTIAL_OUT");
	unsetenv("LD_PRELOAD");
	if (!path || strlen(path) >= sizeof out_path)
		return;
	strcpy(out_path, path);
	every = number_of("DIFFERENTIAL_EVERY", every);
	falsified = walker_of(getenv("DIFFERENTIAL_FALSIFY"));
	falsified_way = getenv("DIFFERENTIAL_FALSIFY") && strcmp(getenv("DIFFERENTIAL_FALSIFY"), "way") == 0;
	slots = map(SLOTS * sizeof *slots);
	plat_objects_init();
	pthread_atfork(NULL, NULL, turn_off);
	if (slots && every && unwind_init() && unwind_libunwind_init())
		atomic_store(&is_on, true);
}

/* Other threads may be half way: what they count later is not in the totals. */
static __attribute__((destructor)) void finish(void)
{
	if (!atomic_exchange(&is_on, false))
		return;
	int fd = open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	write_totals(fd);
	close(fd);
}
