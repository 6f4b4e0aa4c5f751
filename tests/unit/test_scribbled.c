/*
 * scribbled: somebody else writes into the segment while the shim records: words that look right, in every region, dense. The
 * shim may lose what it likes, and say that it did; it may not touch what is not there, nor go round for ever. What is
 * reserved and not in use of each region is mapped without access, so a step out of what is committed is a SIGSEGV.
 *
 * A seed is a process of its own: what is done and what is written comes of the seed alone where one thread does both, so
 * that a failure is the same again: MTRACE_TEST_SEED=n. SCRIBBLED_SEEDS: how many, and a fortieth of them with a second thread
 * that writes at any instant, between a look and what follows it. Unlike in a host, recording goes on after damage was seen:
 * otherwise the first word found out would be the last one tried.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "event.h"
#include "exhaustions.h"
#include "methods.h"
#include "modules.h"
#include "options.h"
#include "room.h"
#include "stream.h"
#include "tracker.h"

enum {
	OPERATIONS = 3000,
	OPERATIONS_BESIDE = 150,
	HANGS_AFTER = 60,
	PAGES = 48
}; /* beside: every search goes to its bound */
#define FIRST_ADDRESS 0x7f0000000000ull

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
	return room_random(&random_state) % below;
}

/* ---- what is written ---------------------------------------------------------------------------------------- */

static uint64_t committed_of(unsigned region)
{
	return atomic_load(&segment.committed[region]);
}

/* Ids at the end of what is there, of elements of any size: off by one, by an array, by a page. */
static uint64_t near_the_end(uint64_t *state, unsigned region)
{
	static const uint32_t sizes[] = {1, 4, 8, 16, 24, 32, 64, 128, 32768};
	uint64_t end = committed_of(region) / sizes[room_random(state) % 9];
	return end - 2 + room_random(state) % 5;
}

static uint64_t used_of(uint64_t *state, unsigned region)
{
	return atomic_load(&segment.used[region]) - 2 + room_random(state) % 4;
}

static uint64_t half(uint64_t *state, unsigned region)
{
	switch (room_random(state) % 7) {
	case 0: return room_random(state) % 8;
	case 1: return room_random(state) % 4096;
	case 2: return near_the_end(state, region);
	case 3: return used_of(state, region);
	case 4: return UINT32_MAX - room_random(state) % 3;
	case 5: return 1u << room_random(state) % 32;
	default: return room_random(state);
	}
}

/* A word in place of `was`: halves of ids and counts as each region has them, leaf entries, single bits, neighbours. */
static uint64_t word_for(uint64_t *state, uint64_t was)
{
	unsigned other = (unsigned)(room_random(state) % MTRACE_REGION_COUNT);
	uint64_t low = half(state, other) & UINT32_MAX, high = half(state, other) & UINT32_MAX;
	switch (room_random(state) % 9) {
	case 0: return high << 32 | low;
	case 1: return was ^ 1ull << room_random(state) % 64;
	case 2: return was + 1;
	case 3: return was - 1;
	case 4: return (was & UINT32_MAX) | high << 32;
	case 5: return (was & ~(uint64_t)UINT32_MAX) | low;
	case 6: return (high & 0xffffff) << 40 | (room_random(state) & 0xff) << 32 | low; /* a leaf */
	case 7: return low;
	default: return room_random(state);
	}
}

/* Anywhere, or where most is, or at the end of what is handed out or committed. */
static uint64_t place_in(uint64_t *state, unsigned region, uint64_t bytes)
{
	static const uint32_t sizes[] = {4, 8, 16, 24, 32, 64, 128};
	uint64_t used = used_of(state, region) * sizes[room_random(state) % 7];
	switch (room_random(state) % 4) {
	case 0: return room_random(state) % bytes;
	case 1: return room_random(state) % (bytes < 4096 ? bytes : 4096);
	case 2: return used % bytes;
	default: return bytes - 1 - room_random(state) % (bytes < 256 ? bytes : 256);
	}
}

static void scribble(uint64_t *state)
{
	unsigned region = (unsigned)(room_random(state) % (MTRACE_REGION_COUNT + 3));
	char *at = (char *)segment.header;
	uint64_t bytes = MTRACE_REGIONS_OFFSET; /* header, hot, control, info */
	if (region < MTRACE_REGION_COUNT) {
		at = segment.base[region];
		bytes = committed_of(region);
	}
	if (!bytes)
		return;
	_Atomic uint64_t *word =
		(_Atomic uint64_t *)(void *)(at + (place_in(state, region % MTRACE_REGION_COUNT, bytes) & ~7ull));
	atomic_store_explicit(word, word_for(state, atomic_load_explicit(word, memory_order_relaxed)),
	                      memory_order_relaxed);
}

static _Atomic bool second_writer_ends;

static void *second_writer(void *seed)
{
	uint64_t state = (uintptr_t)seed | 1;
	while (!atomic_load(&second_writer_ends))
		scribble(&state);
	return NULL;
}

/* ---- what is done ------------------------------------------------------------------------------------------- */

static const void *address(void)
{
	return (const void *)(FIRST_ADDRESS + draw(8) * (16 << 20) + draw(PAGES) * 4096 + draw(512) * 8);
}

static size_t size(void)
{
	return draw(64) ? draw(900) : draw(1ull << 33);
}

static void allocate(const struct here *here)
{
	tracker_allocated(address(), size(), here);
}
static void release(const struct here *here)
{
	(void)here, tracker_freeing(address());
}

static void move(const struct here *here)
{
	struct tracker_move m;
	const void *old = address(), *now = draw(2) ? old : address();
	struct unwind_start at = here_start(here);
	tracker_realloc_begin(&m, old);
	tracker_realloc_end(&m, old, draw(8) ? now : NULL, size(), &at);
}

static void pool(const struct here *here)
{
	struct unwind_start at = here_start(here);
	if (draw(2))
		tracker_pool_allocated(address(), size(), &at);
	else
		tracker_pool_freeing(address());
}

static void jni(const struct here *here)
{
	struct tracker_handle h = {MTRACE_KIND_JNI_BUFFER, MTRACE_FAMILY_JNI_BUFFER, (uintptr_t)address() & ~0xfffull};
	struct unwind_start at = here_start(here);
	struct live_move moving;
	if (draw(2)) {
		h.kind = MTRACE_KIND_JNI_GLOBAL;
		h.family = MTRACE_FAMILY_JNI_REFERENCE;
	}
	if (draw(2))
		tracker_jni_made(&h, size(), &at);
	else if (h.family == MTRACE_FAMILY_JNI_REFERENCE && draw(2) && tracker_jni_release_begin(&h, &moving))
		tracker_jni_release_end(&moving, draw(2));
	else
		tracker_jni_releasing(&h);
}

static void map(const struct here *here)
{
	struct unwind_start at = here_start(here);
	const void *p = (const void *)(FIRST_ADDRESS + draw(64) * 4096);
	size_t bytes = (1 + draw(8)) * 4096;
	switch (draw(3)) {
	case 0: tracker_mapped(p, bytes, 0, &at); break;
	case 1: tracker_unmap_end(tracker_remap_begin(p, bytes), p, bytes, draw(4)); break;
	default: tracker_remap_end(tracker_remap_begin(p, bytes), draw(4) ? p : NULL, bytes, &at); break;
	}
}

static void *short_thread(void *row)
{
	tracker_thread_started((uint32_t)(uintptr_t)row, 65536);
	for (int i = 0; i < 20; i++)
		draw(2) ? allocate(HERE) : release(HERE);
	tracker_thread_ended();
	return NULL;
}

static void thread(const struct here *here)
{
	struct unwind_start at = here_start(here);
	uint32_t row = tracker_thread_created(65536, &at);
	pthread_t t;
	tracker_thread_named((uintptr_t)pthread_self() + draw(2), "scribbled");
	if (draw(2) && !pthread_create(&t, NULL, short_thread, (void *)(uintptr_t)row))
		pthread_join(t, NULL);
	else
		tracker_thread_failed(row, 65536);
}

static void mark(const struct here *here)
{
	(void)here;
	tracker_mark("a mark", 0);
}

static void load(const struct here *here)
{
	char path[32], build_id[8];
	bool news;
	(void)here;
	snprintf(path, sizeof path, "/lib/%u.so", (unsigned)draw(40));
	snprintf(build_id, sizeof build_id, "id%u", (unsigned)draw(3));
	uintptr_t start = FIRST_ADDRESS + draw(100) * 65536;
	struct plat_object o = {.start = start,
	                        .end = start + 4096,
	                        .bias = start,
	                        .path = draw(10) ? path : "",
	                        .build_id = (const uint8_t *)build_id,
	                        .build_id_bytes = 3};
	stacks_frame(MTRACE_FRAME_NATIVE, modules_of(&o, &news), draw(5000), 0);
	if (!draw(8))
		tracker_unloaded();
}

static void grow_stacks(const struct here *here)
{
	uint32_t node = MTRACE_KIND_MALLOC;
	bool made;
	(void)here;
	for (int depth = (int)draw(30); depth >= 0 && node; depth--)
		node = stacks_node(node, stacks_frame(MTRACE_FRAME_ABSOLUTE, 0, draw(300), 0));
	uint32_t row = node ? stacks_row(node, &made) : 0;
	counts_allocated(thread_self.work ? &thread_self.work->tallies : NULL, row, 100);
	stacks_kind(row);
}

/* A hook that a handler left by a jump: further in than we are. */
static void left_half_way(const struct here *here)
{
	thread_self.entered = (uintptr_t)here - 8192;
	allocate(here);
}

static void method(const struct here *here)
{
	struct jvm_method m = {.klass = "some.Class", .signature = "()V", .file = "Class.java"};
	(void)here;
	snprintf(m.name, sizeof m.name, "name%u", (unsigned)draw(500));
	methods_of(&m);
}

static void exhaust(void)
{
	uint32_t id = tracker_exhausted(1, "Java heap space");
	if (id)
		exhaustions_end_classes(id, &(struct exhaustions_heap){1, 2, 3, 0});
}

static void rare(const struct here *here)
{
	(void)here;
	switch (draw(6)) {
	case 0: stream_begin(100000, thread_self.tick); break;
	case 1: exhaust(); break;
	case 2: tracker_forked(); break;
	case 3: segment_note_end(MTRACE_END_EXIT, 0); break;
	case 4: tracker_ending(MTRACE_END_EXIT, 0); break;
	default: segment_give_back(); break;
	}
}

static void (*const operations[])(const struct here *) = {
	allocate, allocate, allocate, release,     release,     move,   pool,          jni,
	map,      mark,     load,     grow_stacks, grow_stacks, method, left_half_way,
};
enum { OPERATION_COUNT = sizeof operations / sizeof operations[0] };

static __attribute__((noinline)) void operate(unsigned depth)
{
	if (depth) {
		operate(depth - 1);
		__asm__ volatile("");
		return;
	}
	if (!draw(200))
		thread(HERE);
	else if (!draw(100))
		rare(HERE);
	else
		operations[draw(OPERATION_COUNT)](HERE);
	__asm__ volatile("");
}

/* In a host this would have been the end. */
static void go_on(void)
{
	atomic_fetch_and(&owner_page->generation, ~GUARD_ASK);
	atomic_store(&owner_page->refused, 0);
	thread_self.events_left = 0;
}

static void begin(void)
{
	room_open(2 << 20);
	plat_objects_init();
	options_parse(&options, "epoch=100");
	ck_assert(tracker_init() && methods_init());
	segment.header->mode = MTRACE_MODE_EXACT;
	atomic_store(&room_page.active, GUARD_SIMPLY);
}

static void record_while_scribbled(uint64_t seed, bool beside)
{
	pthread_t writer;
	random_state = seed * 0x9e3779b97f4a7c15u | 1;
	alarm(HANGS_AFTER);
	begin();
	if (beside)
		ck_assert_int_eq(pthread_create(&writer, NULL, second_writer, (void *)(uintptr_t)random_state), 0);
	for (int i = 0, count = beside ? OPERATIONS_BESIDE : OPERATIONS; i < count; i++) {
		operate((unsigned)draw(20));
		go_on();
		for (uint64_t n = i < OPERATIONS / 4 || beside ? 0 : draw(4); n > 0; n--)
			scribble(&random_state);
	}
	tracker_give_up();
	if (beside) {
		atomic_store(&second_writer_ends, true);
		pthread_join(writer, NULL);
	}
}

static void try_seed(uint64_t seed, bool beside)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		record_while_scribbled(seed, beside);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "seed %llu, a writer beside it: %d: status %#x (%s)", (unsigned long long)seed,
	              beside, (unsigned)status, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
}

static void try_seeds(bool beside)
{
	enum { USUAL = 160, BESIDE = 40 };
	const char *many = getenv("SCRIBBLED_SEEDS"), *one = getenv("MTRACE_TEST_SEED");
	uint64_t first = one ? room_seed() : 1, count = many ? strtoull(many, NULL, 0) : USUAL;
	if (one)
		count = 1;
	else if (beside)
		count = (count + BESIDE - 1) / BESIDE;
	for (uint64_t seed = first; seed < first + count; seed++)
		try_seed(seed, beside);
}

START_TEST(words_between_events)
{
	try_seeds(false);
}
END_TEST

START_TEST(words_at_any_instant)
{
	try_seeds(true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("scribbled");
	TCase *between = tcase_create("between"), *beside = tcase_create("beside");
	tcase_add_test(between, words_between_events);
	tcase_add_test(beside, words_at_any_instant);
	for (TCase **t = (TCase *[]){between, beside, NULL}; *t; t++) {
		tcase_set_timeout(*t, 600);
		suite_add_tcase(suite, *t);
	}
	return run_suite(suite);
}
