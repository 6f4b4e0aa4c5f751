/*
 * unwind: whole stacks of real code, equal to libunwind's frame by frame: code without frame pointers, variable and
 * realigned frames, the depth limit, callbacks, threads; and starts that cannot be walked from.
 * Signals, other stacks, objects that come and go, the cache: test_unwind_{signals,stacks,objects,cache}.c
 */
#include "unwind_shapes.h"

#include <errno.h>
#include <sys/mman.h>

/* ---- shapes of frames ---- */

START_TEST(before_init_there_are_no_rules)
{
	struct unwind_bounds none = { 0, 0 };
	struct unwind_start start = { (uintptr_t)&oracle_setup, (uintptr_t)&none & ~7UL, 0 };
	struct unwind_frame frame;
	enum unwind_end end;
	ck_assert_uint_eq(unwind_walk(&start, &none, &frame, 1, &end), 0);
	ck_assert_int_eq(end, UNWIND_NO_RULES);
}
END_TEST

START_TEST(frames_without_frame_pointer)
{
	for (int depth = 0; depth < 200; depth++) {
		chain_plain(depth, oracle_compare);
		chain_saving(depth, oracle_compare, 1, 2, 3, 4);
		oracle_expect_whole((size_t)depth + 3);
	}
	oracle_expect(400);
}
END_TEST

START_TEST(frames_by_frame_register)
{
	for (int depth = 0; depth < 100; depth++) {
		chain_variable(depth, oracle_compare);
		chain_framed(depth, oracle_compare);
		oracle_expect_whole((size_t)depth + 3);
	}
	oracle_expect(200);
}
END_TEST

/* The same places from different callers, to and fro: what is remembered of a walk is another one's more often than not. */
START_TEST(walks_that_come_back)
{
	for (int i = 0; i < 20000; i++) {
		switch (i * 7 % 11) {
		case 0: chain_plain(3, oracle_compare); break;
		case 1: chain_plain(3, oracle_compare); __asm__ volatile("# other" ::: "memory"); break;
		case 2: chain_saving(4, oracle_compare, 1, 2, 3, 4); break;
		case 3: chain_variable(2, oracle_compare); break;
		case 4: chain_variable(i % 3, oracle_compare); break;
		case 5: chain_framed(2, oracle_compare); break;
		case 6: chain_framed(i % 5, oracle_compare); break;
		case 7: chain_realigned(2, oracle_compare); break;
		default: chain_plain(i % 4, oracle_compare); break;
		}
	}
	oracle_expect(20000);
	ck_assert_uint_gt(oracle_recalled, 5000);
	ck_assert_uint_gt(oracle_routed, 5000);
}
END_TEST

START_TEST(frames_realigned)
{
	for (int depth = 0; depth < 100; depth++) {
		chain_realigned(depth, oracle_compare);
		oracle_expect_whole((size_t)depth + 3);
		chain_forced(depth, oracle_compare);
	}
	oracle_expect(200);
}
END_TEST

START_TEST(frames_larger_than_pages)
{
	chain_huge(30, oracle_compare);
	oracle_expect_whole(33);
	oracle_expect(1);
}
END_TEST

START_TEST(frames_of_all_shapes_mixed)
{
	for (int i = 0; i < 5000; i++)
		mixed((int)(random_next() % 20), oracle_compare);
	oracle_expect(5000);
	ck_assert_uint_eq(oracle_by_memo, 5000);
}
END_TEST

/* ---- depth ---- */

START_TEST(keeps_the_innermost)
{
	kept = UNWIND_MAX_DEPTH;
	chain_plain(50, walk_keeping);
	ck_assert_int_eq(kept_end, UNWIND_WHOLE);
	size_t whole = kept;
	for (size_t keep = 0; keep <= whole + 1; keep++) {
		kept = keep;
		chain_plain(50, walk_keeping);
		ck_assert_uint_eq(kept, keep < whole ? keep : whole);
		ck_assert_int_eq(kept_end, keep < whole ? UNWIND_TOO_DEEP : UNWIND_WHOLE);
		ck_assert_uint_eq(kept_frames[keep].pc, keep < whole ? 0xeeeeeeeeeeeeeeee : kept_frames[keep].pc);
	}
}
END_TEST

START_TEST(deeper_than_the_limit)
{
	chain_plain(3000, oracle_compare);
	ck_assert_int_eq(oracle_now.ours.end, UNWIND_TOO_DEEP);
	ck_assert_uint_eq(oracle_now.ours.count, UNWIND_MAX_DEPTH);
	chain_realigned(3000, oracle_compare);
	oracle_expect(2);
}
END_TEST

/* ---- through libc ---- */

static int comparing(const void *a, const void *b)
{
	chain_plain(2, oracle_compare);
	return *(const int *)a - *(const int *)b;
}

START_TEST(callbacks_through_libc)
{
	int numbers[40], key = 7;
	for (int i = 0; i < 40; i++)
		numbers[i] = (i * 7) % 40;
	qsort(numbers, 40, sizeof *numbers, comparing);
	ck_assert_ptr_nonnull(bsearch(&key, numbers, 40, sizeof *numbers, comparing));
	oracle_expect_whole(6);
	oracle_expect(100);
}
END_TEST

static void *thread_main(void *unused)
{
	oracle_thread();
	chain_plain(3, oracle_compare);
	oracle_expect_whole(6);
	mixed(20, oracle_compare);
	oracle_expect_whole(6);
	return unused;
}

START_TEST(threads_end_at_their_start)
{
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		ck_assert_int_eq(pthread_create(&thread, NULL, thread_main, NULL), 0);
		pthread_join(thread, NULL);
	}
	oracle_expect(20);
}
END_TEST

/* ---- what cannot be walked ---- */

/* sub $8,%rsp; call *%rdi; add $8,%rsp; ret: code that no object has rules for. */
START_TEST(code_without_rules_ends_the_walk)
{
	static const unsigned char code[] = { 0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0xc3 };
	unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(page, code, sizeof code);
	void (*jit)(action);
	*(void **)&jit = page;
	kept = UNWIND_MAX_DEPTH;
	jit(walk_keeping);
	ck_assert_int_eq(kept_end, UNWIND_NO_RULES);
	ck_assert_uint_eq(kept, 1);
	ck_assert_uint_eq(kept_frames[0].pc, (uintptr_t)page + 6);
}
END_TEST

static struct unwind_start real_start;
static struct unwind_frame real_frames[64];
static size_t real_count;

static NOINLINE void take_real(void)
{
	enum unwind_end end;
	real_start = ORACLE_START();
	real_count = unwind_walk(&real_start, &oracle_bounds, real_frames, 64, &end);
	KEEP_FRAME();
}

static uintptr_t garbage(uintptr_t real)
{
	switch (random_next() % 5) {
	case 0: return real;
	case 1: return real + (random_next() % 4096) * 8 - 8192;
	case 2: return random_next() % 70000;
	case 3: return random_next();
	default: return real ^ (1UL << random_next() % 48);
	}
}

/* Wild registers end a walk; they never fault, and errno is not touched. */
START_TEST(garbage_never_faults)
{
	unsigned long ends[8] = { 0 };
	mixed(20, take_real);
	chain_realigned(3, take_real);
	errno = 0;
	for (int i = 0; i < 300000; i++) {
		struct unwind_start start = { real_frames[random_next() % real_count].pc, garbage(real_start.sp),
			                          garbage(real_start.fp) };
		struct unwind_bounds bounds = oracle_bounds;
		struct unwind_frame frames[128];
		enum unwind_end end;
		if (random_next() % 2) /* the caller's sp is real whenever it is on the stack: here it is not */
			bounds.low = bounds.high = 0;
		else if (start.sp >= bounds.low && start.sp < bounds.high)
			start.sp = real_start.sp;
		size_t count = unwind_walk(&start, &bounds, frames, 128, &end);
		ck_assert_uint_le(count, 128);
		ends[end]++;
	}
	ck_assert_int_eq(errno, 0);
	for (int i = 0; i < 8; i++)
		printf("end %d: %lu\n", i, ends[i]);
	ck_assert_uint_gt(ends[UNWIND_UNREADABLE], 0);
	ck_assert_uint_gt(ends[UNWIND_LOOP], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unwind");
	TCase *bare = tcase_create("bare");
	tcase_add_test(bare, before_init_there_are_no_rules);
	suite_add_tcase(suite, bare);
	TCase *walks = walking_case(suite, "walks");
	tcase_add_test(walks, frames_without_frame_pointer);
	tcase_add_test(walks, frames_by_frame_register);
	tcase_add_test(walks, walks_that_come_back);
	tcase_add_test(walks, frames_realigned);
	tcase_add_test(walks, frames_larger_than_pages);
	tcase_add_test(walks, frames_of_all_shapes_mixed);
	tcase_add_test(walks, keeps_the_innermost);
	tcase_add_test(walks, deeper_than_the_limit);
	tcase_add_test(walks, callbacks_through_libc);
	tcase_add_test(walks, threads_end_at_their_start);
	tcase_add_test(walks, code_without_rules_ends_the_walk);
	tcase_add_test(walks, garbage_never_faults);
	return run_suite(suite);
}
