/*
 * test_tools_segment: the contract of read_segment. What a segment says is found again, block by block; whatever is
 * done to its bytes, the reader neither crashes nor hangs nor reads a hole at the price of memory. The seed of what is
 * random is printed; MTRACE_SEED sets it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fake_segment.h"
#include "model/profile.h"
#include "read/read.h"
#include "run.h"

static struct fake_segment *f;
static struct profile *p;
static struct read_error error;
static int fd;
static uint64_t seed = 20240607;

static void setup(void)
{
	f = fake_segment_new();
	p = profile_new();
	error.text[0] = '\0';
	fd = memfd_create("mtrace.test", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
}

static void teardown(void)
{
	profile_free(p);
	fake_segment_free(f);
	close(fd);
}

static uint64_t random_word(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static int read_again(void)
{
	profile_free(p);
	p = profile_new();
	return read_segment_fd(fd, "fake", p, NULL, &error);
}

static struct profile_process *read_it(void)
{
	fake_segment_write(f, fd);
	ck_assert_msg(read_again() == 0, "%s", error.text);
	ck_assert_uint_eq(p->process_count, 1);
	return &p->processes[0];
}

/* The stack whose innermost frame has this value. */
static const struct profile_stack *stack_at(const struct profile_process *process, uint64_t value)
{
	for (uint32_t i = 0; i < process->stack_count; i++) {
		const struct profile_stack *s = &process->stacks[i];
		if (s->frame_count && process->frames[s->frames[0]].value == value)
			return s;
	}
	return NULL;
}

/* ---- what a segment says ---- */

START_TEST(says_who_it_is)
{
	const char *args[] = {"/opt/app/server", "--port", "80", NULL};
	fake_args(f, args);
	fake_header(f)->image = 2;
	fake_hot(f)->peak_bytes = 12345;
	fake_mark(f, "warm", 5000000);
	fake_thread(f, 77, "worker-1", 0);
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->pid, 4127);
	ck_assert_uint_eq(q->image, 2);
	ck_assert_str_eq(q->exe, "/opt/app/server");
	ck_assert_str_eq(q->cwd, "/srv");
	ck_assert_uint_eq(q->arg_count, 3);
	ck_assert_str_eq(q->args[1], "--port");
	ck_assert_int_eq(q->mode, PROFILE_EXACT);
	ck_assert_uint_eq(q->peak_live_bytes, 12345);
	ck_assert_uint_eq(q->mark_count, 1);
	ck_assert_str_eq(q->marks[0].name, "warm");
	ck_assert_uint_eq(q->marks[0].time_ns, 5000000);
	ck_assert_uint_eq(q->thread_count, 1);
	ck_assert_str_eq(q->threads[0].name, "worker-1");
	ck_assert_uint_eq(q->counter_count, MTRACE_COUNTER_COUNT);
	ck_assert_str_eq(q->counters[0].name, "unknown_frees");
	ck_assert_uint_eq(q->skipped, 0);
}
END_TEST

/* A shim of before says nothing of its private memory. */
START_TEST(says_what_it_takes)
{
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->tracker_private_bytes, 0);
	ck_assert_uint_eq(q->tracker_bytes, fake_header(f)->committed_bytes);
	fake_hot(f)->private_bytes = 12288;
	q = read_it();
	ck_assert_uint_eq(q->tracker_private_bytes, 12288);
	ck_assert_uint_eq(q->tracker_bytes, fake_header(f)->committed_bytes + 12288);
	fake_hot(f)->private_bytes = UINT64_MAX; /* damaged: no sum wraps */
	ck_assert_uint_eq(read_it()->tracker_bytes, UINT64_MAX);
}
END_TEST

START_TEST(hides_secrets_in_arguments)
{
	const char *args[] = {"server", "--password=hunter2", NULL};
	fake_args(f, args);
	struct profile_process *q = read_it();
	ck_assert_ptr_null(strstr(q->args[1], "hunter2"));
}
END_TEST

START_TEST(tells_how_it_ended)
{
	ck_assert_int_eq(read_it()->end, PROFILE_KILLED);
	fake_header(f)->end = MTRACE_END_UNDERSCORE_EXIT;
	fake_header(f)->end_status = 256 + 3;
	ck_assert_int_eq(read_it()->end, PROFILE_EXIT);
	ck_assert_int_eq(read_it()->end_status, 3);
	fake_header(f)->end = MTRACE_END_EXEC;
	ck_assert_int_eq(read_it()->end, PROFILE_EXEC);
	fake_header(f)->end = MTRACE_END_EXIT;
	fake_header(f)->end_mono_ns = 3000000000u;
	ck_assert_uint_eq(read_it()->lived_ns, 2000000000u);
}
END_TEST

START_TEST(is_running_while_the_lock_is_held)
{
	bool alive;
	char path[64];
	fake_segment_write(f, fd);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int holder = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(flock(holder, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(read_segment_fd(fd, "fake", p, &alive, &error), 0);
	ck_assert(alive);
	ck_assert_int_eq(p->processes[0].end, PROFILE_RUNNING);
	close(holder);
	ck_assert_int_eq(read_again(), 0);
	ck_assert_int_eq(p->processes[0].end, PROFILE_KILLED);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0); /* the reader left no lock behind */
}
END_TEST

START_TEST(says_whether_a_thread_was_inside)
{
	uint32_t id = fake_thread(f, 77, "worker", 0);
	ck_assert(!read_it()->in_tracker);
	((struct mtrace_thread *)fake_element(f, MTRACE_REGION_THREADS, id))->inside = 1;
	ck_assert(read_it()->in_tracker);
	fake_header(f)->end = MTRACE_END_EXIT;
	ck_assert(!read_it()->in_tracker);
}
END_TEST

START_TEST(stacks_are_innermost_first)
{
	uint32_t module = fake_module(f, "/opt/app/server", 7);
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x10, 0x20, 0x30, 0});
	fake_malloc(f, row, 0x7f0000001000, 100, 0);
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->stack_count, 1);
	ck_assert_uint_eq(q->stacks[0].frame_count, 3);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(q->frames[q->stacks[0].frames[i]].value, 0x10 * (i + 1));
	const struct profile_frame *frame = &q->frames[q->stacks[0].frames[0]];
	ck_assert_str_eq(q->modules[frame->module].path, "/opt/app/server");
	ck_assert_uint_eq(q->modules[frame->module].build_id_bytes, 20);
	ck_assert_uint_eq(q->stacks[0].marker, 0);
}
END_TEST

START_TEST(equal_nodes_are_one_stack)
{
	uint32_t module = fake_module(f, "/opt/app/server", 7);
	uint32_t a = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x10, 0x20, 0});
	uint32_t b = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x10, 0x20, 0});
	uint32_t other = fake_stack(f, MTRACE_KIND_POOL, module, (uint64_t[]){0x10, 0x20, 0});
	fake_malloc(f, a, 0x7f0000001000, 100, 0);
	fake_malloc(f, b, 0x7f0000002000, 50, 0);
	fake_malloc(f, other, 0x7f0000003000, 7, 0);
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->stack_count, 2);
	ck_assert_uint_eq(q->stacks[0].counts.live_bytes, 150);
	ck_assert_uint_eq(q->totals.live_bytes, 150);
	ck_assert_uint_eq(q->by_kind[MTRACE_KIND_POOL].live_bytes, 7);
	for (uint32_t i = 0; i < q->live_count; i++)
		ck_assert_uint_lt(q->live[i].stack, q->stack_count);
}
END_TEST

START_TEST(cut_stacks_bear_their_marker)
{
	uint32_t marker = fake_frame(f, MTRACE_FRAME_MARKER, 0, MTRACE_MARKER_TRUNCATED);
	uint32_t node = fake_node(f, MTRACE_KIND_MALLOC, marker);
	uint32_t row = fake_row(f, fake_node(f, node, fake_frame(f, MTRACE_FRAME_ABSOLUTE, 0, 0x1234)));
	fake_malloc(f, row, 0x7f0000001000, 8, 0);
	ck_assert_uint_eq(read_it()->stacks[0].marker, MTRACE_MARKER_TRUNCATED);
}
END_TEST

static uint64_t java_value(uint32_t method, uint32_t bci, uint32_t line)
{
	return (uint64_t)method << 32 | bci << 16 | line;
}

START_TEST(java_frames_have_the_names_of_their_methods)
{
	fake_method(f, "other.Class", "first", "Other.java");
	uint32_t method = fake_method(f, "a.b.C", "grow", "C.java");
	uint32_t node = fake_node(f, MTRACE_KIND_MALLOC, fake_frame(f, MTRACE_FRAME_JAVA, 0, java_value(method, 7, 42)));
	fake_malloc(f, fake_row(f, node), 0x7f0000001000, 8, 0);
	struct profile_process *q = read_it();
	const struct profile_frame *frame = &q->frames[q->stacks[0].frames[0]];
	ck_assert_uint_eq(frame->kind, MTRACE_FRAME_JAVA);
	ck_assert_uint_eq(frame->name_count, 1);
	ck_assert_str_eq(frame->names[0].function, "a.b.C.grow");
	ck_assert_str_eq(frame->names[0].file, "C.java");
	ck_assert_uint_eq(frame->names[0].line, 42);
	ck_assert_uint_eq(q->skipped, 0);
}
END_TEST

START_TEST(java_frames_without_a_method_stand_without_names)
{
	uint32_t unknown = fake_node(f, MTRACE_KIND_MALLOC, fake_frame(f, MTRACE_FRAME_JAVA, 0, java_value(0, 7, 42)));
	uint32_t damaged = fake_node(f, MTRACE_KIND_MALLOC, fake_frame(f, MTRACE_FRAME_JAVA, 0, java_value(99999, 7, 43)));
	fake_malloc(f, fake_row(f, unknown), 0x7f0000001000, 8, 0);
	fake_malloc(f, fake_row(f, damaged), 0x7f0000002000, 8, 0);
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->stack_count, 2);
	for (uint32_t i = 0; i < 2; i++)
		ck_assert_uint_eq(q->frames[q->stacks[i].frames[0]].name_count, 0);
	ck_assert_uint_eq(q->skipped, 1);
}
END_TEST

START_TEST(blocks_being_moved_are_live)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	fake_malloc(f, row, 0x7f0000001000, 1 << 20, 0);
	*fake_slot(f, MTRACE_FAMILY_MALLOC, 0x7f0000001000) |= MTRACE_SLOT_MOVING;
	ck_assert_uint_eq(read_it()->totals.live_bytes, 1 << 20);
}
END_TEST

START_TEST(huge_sizes_come_from_their_table)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	fake_malloc(f, row, 0x7f0000001010, 5ull << 30, 0);
	fake_malloc(f, row, 0x7f0000002010, 3ull << 30, 0);
	fake_insert(f, MTRACE_FAMILY_POOL, 0x7f0000001010, 7ull << 30, row, 0); /* the same address in another family */
	fake_count(f, row, 1, 7ull << 30, 0, 0);
	ck_assert_uint_eq(read_it()->totals.live_bytes, 15ull << 30);
	ck_assert_uint_eq(read_it()->totals.live_blocks, 3);
}
END_TEST

START_TEST(blocks_in_flight_do_not_make_counts_negative)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	fake_insert(f, MTRACE_FAMILY_MALLOC, 0x7f0000001010, 64, row, 0); /* in the table, not counted yet */
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->totals.live_bytes, 64);
	ck_assert_uint_eq(q->totals.alloc_bytes, 64);
	ck_assert_uint_eq(q->totals.freed_bytes, 0);
	ck_assert_ptr_null(q->note);
}
END_TEST

START_TEST(disagreement_is_said)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	fake_count(f, row, 1000, 64000, 0, 0);
	struct profile_process *q = read_it();
	ck_assert_ptr_nonnull(q->note);
	ck_assert_ptr_nonnull(strstr(q->note, "1000"));
	fake_header(f)->counters[MTRACE_COUNTER_drop_live_full] = 1000;
	ck_assert_ptr_nonnull(strstr(read_it()->note, "full"));
}
END_TEST

START_TEST(threads_are_blocks_of_their_kind)
{
	uint32_t module = fake_module(f, "/a", 0);
	uint32_t row = fake_stack(f, MTRACE_KIND_THREAD, module, (uint64_t[]){0x10, 0});
	fake_count(f, row, 3, 24 << 20, 0, 0);
	uint32_t first = fake_thread(f, 1, "a", row);
	fake_thread(f, 2, "b", row);
	fake_thread(f, 3, "main", 0);
	((struct mtrace_thread *)fake_element(f, MTRACE_REGION_THREADS, first))->ended = 1;
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->by_kind[MTRACE_KIND_THREAD].live_blocks, 1);
	ck_assert_uint_eq(q->by_kind[MTRACE_KIND_THREAD].live_bytes, 8 << 20);
	ck_assert_uint_eq(q->by_kind[MTRACE_KIND_THREAD].freed_blocks, 2);
	ck_assert_uint_eq(q->totals.live_blocks, 0);
	ck_assert_uint_eq(q->threads[0].stack, 0);
	ck_assert_uint_eq(q->threads[2].stack, UINT32_MAX);
}
END_TEST

/* ---- ranges ---- */

static uint32_t map_row(uint64_t value)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MMAP, fake_module(f, "/a", 0), (uint64_t[]){value, 0});
	fake_count(f, row, 1, 1 << 20, 0, 0);
	return row;
}

static uint64_t live_at(uint64_t value)
{
	const struct profile_stack *s = stack_at(&p->processes[0], value);
	return s ? s->counts.live_bytes : 0;
}

START_TEST(ranges_are_overwritten_cut_and_moved)
{
	uint32_t a = map_row(0x10), b = map_row(0x20);
	fake_range(f, 0x100000, 0x200000, a);
	fake_range_op(f, MTRACE_RANGE_MAP, 0x140000, 0x150000, b, 0); /* MAP_FIXED into the middle */
	read_it();
	ck_assert_uint_eq(live_at(0x10), 0xf0000);
	ck_assert_uint_eq(live_at(0x20), 0x10000);
	ck_assert_uint_eq(stack_at(&p->processes[0], 0x10)->counts.live_blocks, 1); /* in two pieces */
	fake_range_op(f, MTRACE_RANGE_UNMAP, 0x0f0000, 0x148000, 0, 0);
	read_it();
	ck_assert_uint_eq(live_at(0x10), 0xb0000);
	ck_assert_uint_eq(live_at(0x20), 0x8000);
	fake_range_op(f, MTRACE_RANGE_MOVE_BEGIN, 0x180000, 0x200000, 0, 9);
	read_it();
	ck_assert_uint_eq(live_at(0x10), 0xb0000); /* still live while it moves */
	fake_range_op(f, MTRACE_RANGE_MOVE_END, 0x800000, 0x900000, b, 9);
	read_it();
	ck_assert_uint_eq(live_at(0x10), 0x30000);
	ck_assert_uint_eq(live_at(0x20), 0x108000);
	fake_range_op(f, MTRACE_RANGE_MOVE_BEGIN, 0x800000, 0x900000, 0, 10);
	fake_range_op(f, MTRACE_RANGE_MOVE_END, 0, 0, 0, 10); /* failed: stays */
	read_it();
	ck_assert_uint_eq(live_at(0x20), 0x108000);
	ck_assert_uint_eq(p->processes[0].skipped, 0);
}
END_TEST

START_TEST(ranges_not_committed_are_not_there)
{
	uint32_t a = map_row(0x10);
	fake_range_op(f, MTRACE_RANGE_MAP, 0x1000, 0x2000, a, 0);
	fake_range_op(f, MTRACE_RANGE_MAP, 0x3000, 0x4000, a, 0);
	((struct mtrace_range_op *)fake_element(f, MTRACE_REGION_RANGE_LOG, 1))->commit = 0;
	read_it();
	ck_assert_uint_eq(live_at(0x10), 0x1000);
}
END_TEST

/* The map against one byte per page. */
START_TEST(ranges_agree_with_a_map_of_pages)
{
	enum { PAGES = 64, ROWS = 4 };
	uint32_t rows[ROWS];
	unsigned char owner[PAGES] = {0};
	for (int i = 0; i < ROWS; i++)
		rows[i] = map_row(0x10u * (unsigned)(i + 1));
	for (int step = 0; step < 400; step++) {
		uint64_t from = random_word() % PAGES, to = from + 1 + random_word() % (PAGES - from);
		unsigned who = random_word() % (ROWS + 1);
		fake_range_op(f, who ? MTRACE_RANGE_MAP : MTRACE_RANGE_UNMAP, from << 12, to << 12, who ? rows[who - 1] : 0, 0);
		memset(owner + from, (int)who, to - from);
	}
	read_it();
	for (unsigned i = 1; i <= ROWS; i++) {
		uint64_t pages = 0;
		for (int page = 0; page < PAGES; page++)
			pages += owner[page] == i;
		ck_assert_uint_eq(live_at(0x10u * i), pages << 12);
	}
}
END_TEST

/* ---- random operations against a reference ---- */

START_TEST(random_blocks_are_found_to_the_byte)
{
	enum { ROWS = 40, BLOCKS = 600, STEPS = 20000 };
	struct { uint64_t address, size; uint32_t row; } blocks[BLOCKS] = {{0}};
	struct { uint64_t blocks, bytes, alloc_blocks, alloc_bytes; } truth[ROWS] = {{0}};
	uint32_t rows[ROWS], module = fake_module(f, "/a", 3);
	for (unsigned i = 0; i < ROWS; i++)
		rows[i] = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x1000 + i, 0x10, 0});
	for (int step = 0; step < STEPS; step++) {
		unsigned at = random_word() % BLOCKS;
		if (blocks[at].address) {
			uint32_t r = blocks[at].row;
			fake_free(f, rows[r], blocks[at].address, blocks[at].size);
			truth[r].blocks--;
			truth[r].bytes -= blocks[at].size;
			blocks[at].address = 0;
			continue;
		}
		/* a place of its own for each: 16 bytes apart, over three chunks */
		blocks[at].address = 0x7f0000000000 + (uint64_t)(at % 3) * 0x1000000 + (at / 3) * 16;
		blocks[at].size = random_word() % 100000;
		blocks[at].row = random_word() % ROWS;
		uint32_t r = blocks[at].row;
		fake_malloc(f, rows[r], blocks[at].address, blocks[at].size, 0);
		truth[r].blocks++;
		truth[r].bytes += blocks[at].size;
		truth[r].alloc_blocks++;
		truth[r].alloc_bytes += blocks[at].size;
	}
	struct profile_process *q = read_it();
	uint64_t sum = 0;
	for (unsigned i = 0; i < ROWS; i++) {
		const struct profile_stack *s = stack_at(q, 0x1000 + i);
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->counts.live_blocks, truth[i].blocks);
		ck_assert_uint_eq(s->counts.live_bytes, truth[i].bytes);
		ck_assert_uint_eq(s->counts.alloc_blocks, truth[i].alloc_blocks);
		ck_assert_uint_eq(s->counts.freed_bytes, truth[i].alloc_bytes - truth[i].bytes);
		sum += truth[i].bytes;
	}
	ck_assert_uint_eq(q->totals.live_bytes, sum);
	ck_assert_uint_eq(q->skipped, 0);
	uint64_t grouped = 0;
	for (uint32_t i = 0; i < q->live_count; i++)
		grouped += q->live[i].bytes;
	ck_assert_uint_eq(grouped, sum);
}
END_TEST

/* ---- copies ---- */

/* Every byte written, zeros too, and then only what is not zero: cp --sparse=always and its kind. */
static void write_whole(void)
{
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	for (size_t at = 0; at < f->bytes; at += 1 << 16) {
		size_t n = f->bytes - at < 1 << 16 ? f->bytes - at : 1 << 16;
		ck_assert_int_eq(pwrite(fd, f->image + at, n, (off_t)at), (ssize_t)n);
	}
}

START_TEST(a_sparse_copy_says_what_the_whole_one_does)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	/* 16 lines a page, 64 in a page of the file, from 1 on: the fourth page's last line lies beyond all that holds
	   anything */
	for (uint64_t page = 0; page < 4; page++)
		fake_malloc(f, row, 0x7f0000000000 + page * 4096, 10 + page, 0);
	ck_assert_uint_eq(f->lines_used, 65);
	write_whole();
	ck_assert_int_eq(read_again(), 0);
	uint64_t blocks = p->processes[0].totals.live_blocks, bytes = p->processes[0].totals.live_bytes;
	ck_assert_uint_eq(blocks, 4);
	ck_assert_uint_eq(p->processes[0].skipped, 0);
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->totals.live_blocks, blocks);
	ck_assert_uint_eq(q->totals.live_bytes, bytes);
	ck_assert_uint_eq(q->skipped, 0);
}
END_TEST

/* ---- marks, as `mtrace run` looks for them ---- */

static size_t marks_of(uint64_t *next, struct read_mark *marks, size_t room)
{
	char path[] = "/dev/shm/mtrace-unit-marks.XXXXXX";
	int file = mkstemp(path);
	ck_assert_int_ge(file, 0);
	fake_segment_write(f, file);
	size_t count = read_segment_marks(path, next, marks, room);
	close(file);
	unlink(path);
	return count;
}

static struct mtrace_mark *mark(uint32_t id)
{
	return fake_element(f, MTRACE_REGION_MARKS, id);
}

START_TEST(marks_are_read_once_each)
{
	struct read_mark marks[4];
	uint64_t next = 0;
	ck_assert_uint_eq(marks_of(&next, marks, 4), 0);
	fake_mark(f, "warm", 1);
	fake_mark(f, "", 2);
	mark(2)->flags = MTRACE_MARK_SNAPSHOT;
	ck_assert_uint_eq(marks_of(&next, marks, 4), 2);
	ck_assert_uint_eq(marks[0].id, 1);
	ck_assert_str_eq(marks[0].name, "warm");
	ck_assert(!marks[0].snapshot);
	ck_assert_uint_eq(marks[1].id, 2);
	ck_assert_str_eq(marks[1].name, "");
	ck_assert(marks[1].snapshot);
	ck_assert_uint_eq(marks_of(&next, marks, 4), 0);
	fake_mark(f, "later", 3);
	ck_assert_uint_eq(marks_of(&next, marks, 4), 1);
	ck_assert_str_eq(marks[0].name, "later");
	ck_assert_uint_eq(next, 4);
}
END_TEST

START_TEST(more_marks_than_room_come_at_the_next_look)
{
	struct read_mark marks[2];
	uint64_t next = 0;
	for (int i = 0; i < 5; i++)
		fake_mark(f, "m", 1);
	ck_assert_uint_eq(marks_of(&next, marks, 2), 2);
	ck_assert_uint_eq(marks_of(&next, marks, 2), 2);
	ck_assert_uint_eq(marks[1].id, 4);
	ck_assert_uint_eq(marks_of(&next, marks, 2), 1);
	ck_assert_uint_eq(marks[0].id, 5);
}
END_TEST

START_TEST(a_mark_being_written_is_waited_for)
{
	struct read_mark marks[4];
	uint64_t next = 0;
	fake_mark(f, "first", 1);
	fake_mark(f, "half", 2);
	fake_mark(f, "third", 3);
	mark(2)->ready = 0;
	ck_assert_uint_eq(marks_of(&next, marks, 4), 1);
	ck_assert_uint_eq(next, 2);
	mark(2)->ready = 1;
	ck_assert_uint_eq(marks_of(&next, marks, 4), 2);
	ck_assert_str_eq(marks[0].name, "half");
}
END_TEST

START_TEST(damaged_marks_end_and_stay_in_bounds)
{
	struct read_mark marks[4];
	uint64_t next = 0;
	fake_mark(f, "x", 1);
	memset(mark(1)->name, 'y', sizeof mark(1)->name);
	fake_header(f)->regions[MTRACE_REGION_MARKS].used = UINT64_MAX;
	ck_assert_uint_eq(marks_of(&next, marks, 4), 1);
	ck_assert_uint_eq(strlen(marks[0].name), sizeof marks[0].name - 1);
	next = UINT64_MAX;
	ck_assert_uint_eq(marks_of(&next, marks, 4), 0);
	next = 0;
	memset(fake_header(f)->magic, 'x', 8);
	ck_assert_uint_eq(marks_of(&next, marks, 4), 0);
	ck_assert_uint_eq(read_segment_marks("/nonexistent/mtrace.1.2.0", &next, marks, 4), 0);
}
END_TEST

/* ---- hostile input ---- */

static void fill_some(void)
{
	uint32_t module = fake_module(f, "/opt/app/server", 7), other = fake_module(f, "/lib/libother.so", 0);
	for (unsigned i = 0; i < 12; i++) {
		uint32_t row = fake_stack(f, i % 4 == 3 ? MTRACE_KIND_MMAP : MTRACE_KIND_MALLOC, i & 1 ? module : other,
		                          (uint64_t[]){0x100 + i, 0x200 + i, 0x300, 0});
		if (i % 4 == 3) {
			fake_count(f, row, 1, 0x1000, 0, 0);
			fake_range(f, 0x100000 * (i + 1), 0x100000 * (i + 1) + 0x1000, row);
			fake_range_op(f, MTRACE_RANGE_MAP, 0x10000000 * (uint64_t)(i + 1), 0x10000000 * (uint64_t)(i + 1) + 0x2000, row, 0);
		}
		for (unsigned k = 0; i % 4 != 3 && k < 30; k++)
			fake_malloc(f, row, 0x7f0000000000 + i * 0x4000 + k * 32, k * 100, i);
	}
	fake_malloc(f, 1, 0x7f1000000010, 1ull << 30, 0);
	for (unsigned i = 0; i < 4; i++)
		fake_thread(f, 100 + i, "pool-1-thread-1", 0);
	fake_mark(f, "m", 1);
	fake_args(f, (const char *const[]){"a", "b", NULL});
}

/* Reads whatever is in fd; all that is asked for is that it returns, with a line when it refuses. */
static void survives(void)
{
	if (read_again() != 0)
		ck_assert_str_ne(error.text, "");
}

START_TEST(any_length_is_survived)
{
	fill_some();
	fake_segment_write(f, fd);
	for (size_t bytes = f->bytes; ; bytes = bytes > 65536 ? bytes - 4096 * 16 : bytes - 512) {
		ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
		survives();
		if (bytes == 0)
			break;
	}
	ck_assert_int_ne(read_again(), 0);
}
END_TEST

START_TEST(truncated_at_each_page)
{
	fill_some();
	for (size_t page = 0; page < 200; page++) {
		fake_segment_write(f, fd);
		ck_assert_int_eq(ftruncate(fd, (off_t)(page * 4096)), 0);
		survives();
	}
}
END_TEST

static void poke(uint64_t at, uint64_t value)
{
	ck_assert_int_eq(pwrite(fd, &value, 4, (off_t)at), 4);
}

START_TEST(every_header_word_is_survived)
{
	static const uint64_t values[] = {0, 1, 0x7fffffff, 0xffffffff, 0x1000, 0x80000000};
	fill_some();
	fake_segment_write(f, fd);
	for (uint64_t at = 0; at < sizeof(struct mtrace_header); at += 4) {
		uint32_t was;
		memcpy(&was, f->image + at, 4);
		for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
			poke(at, values[i]);
			survives();
		}
		poke(at, was);
	}
}
END_TEST

/* Flips bits in pages that hold something; each round starts from the good bytes again. */
START_TEST(flipped_bits_are_survived)
{
	fill_some();
	uint64_t pages[256];
	size_t count = 0;
	for (uint64_t at = 0; at < f->bytes && count < 256; at += 4096)
		for (size_t i = 0; i < 4096; i++)
			if (f->image[at + i]) {
				pages[count++] = at;
				break;
			}
	fake_segment_write(f, fd);
	for (int round = 0; round < 4000; round++) {
		uint64_t touched[8];
		unsigned flips = 1 + random_word() % 8;
		for (unsigned i = 0; i < flips; i++) {
			uint64_t page = pages[random_word() % count], at = page + random_word() % 4096;
			unsigned char byte = (unsigned char)(random_word() % 4 == 0 ? 0xff : f->image[at] ^ 1u << random_word() % 8);
			ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
			touched[i] = at;
		}
		survives();
		for (unsigned i = 0; i < flips; i++)
			ck_assert_int_eq(pwrite(fd, f->image + touched[i], 1, (off_t)touched[i]), 1);
	}
}
END_TEST

START_TEST(random_words_in_tables_are_survived)
{
	static const enum mtrace_region_id tables[] = {
		MTRACE_REGION_NODES, MTRACE_REGION_ROWS, MTRACE_REGION_LIVE_ROOT, MTRACE_REGION_LIVE_CHUNKS,
		MTRACE_REGION_LIVE_LEAVES, MTRACE_REGION_LIVE_LINES, MTRACE_REGION_RANGES, MTRACE_REGION_RANGE_LOG,
		MTRACE_REGION_THREADS, MTRACE_REGION_MODULES, MTRACE_REGION_STRINGS,
	};
	fill_some();
	for (int round = 0; round < 400; round++) {
		fake_segment_write(f, fd);
		uint64_t words[512];
		for (size_t i = 0; i < 512; i++)
			words[i] = random_word() >> random_word() % 64;
		enum mtrace_region_id id = tables[random_word() % (sizeof tables / sizeof tables[0])];
		uint64_t at = fake_header(f)->regions[id].offset;
		ck_assert_int_eq(pwrite(fd, words, sizeof words, (off_t)at), sizeof words);
		survives();
	}
}
END_TEST

START_TEST(loops_and_shared_lines_end)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	fake_malloc(f, row, 0x7f0000001000, 10, 0);
	uint32_t a = fake_node(f, 0, 1), b = fake_node(f, a, 1); /* a loop of nodes */
	((struct mtrace_node *)fake_element(f, MTRACE_REGION_NODES, a))->key = (uint64_t)b << 32 | 1;
	fake_count(f, fake_row(f, b), 1, 1, 0, 0);
	uint64_t *leaf = fake_element(f, MTRACE_REGION_LIVE_LEAVES, 1); /* a loop of leaf entries */
	*leaf = (uint64_t)1 << 40 | (uint64_t)255 << 32 | 1;
	fake_header(f)->regions[MTRACE_REGION_LIVE_LEAVES].used = 2;
	uint64_t *chunk = fake_element(f, MTRACE_REGION_LIVE_CHUNKS, 1);
	for (unsigned i = 100; i < 200; i++)
		chunk[i] = *leaf; /* and all pages with the same lines */
	struct profile_process *q = read_it();
	ck_assert_uint_gt(q->skipped, 0);
	ck_assert_uint_eq(q->stack_count, 1);
	ck_assert_uint_le(q->totals.live_blocks, 1);
}
END_TEST

START_TEST(a_closed_slot_is_no_loss)
{
	uint32_t row = fake_stack(f, MTRACE_KIND_MALLOC, fake_module(f, "/a", 0), (uint64_t[]){0x10, 0});
	fake_malloc(f, row, 0x7f0000001000, 10, 0);
	fake_malloc(f, row, 0x7f0000001010, 10, 0);
	uint64_t *slot = fake_slot(f, MTRACE_FAMILY_MALLOC, 0x7f0000001010);
	fake_free(f, row, 0x7f0000001010, 10);
	*slot = MTRACE_SLOT_CLOSED;
	struct profile_process *q = read_it();
	ck_assert_uint_eq(q->skipped, 0);
	ck_assert_uint_eq(q->totals.live_blocks, 1);
}
END_TEST

START_TEST(a_sparse_giant_costs_what_is_in_it)
{
	fill_some();
	struct mtrace_region *lines = &fake_header(f)->regions[MTRACE_REGION_LIVE_LINES];
	struct mtrace_region *rows = &fake_header(f)->regions[MTRACE_REGION_ROWS];
	lines->reserved_bytes = lines->committed_bytes = rows->reserved_bytes = rows->committed_bytes = 1ull << 40;
	lines->used = rows->used = 1ull << 30;
	fake_segment_write(f, fd);
	ck_assert_int_eq(ftruncate(fd, 10ll << 30), 0);
	struct rusage before, after;
	getrusage(RUSAGE_SELF, &before);
	ck_assert_int_eq(read_again(), 0);
	getrusage(RUSAGE_SELF, &after);
	ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 64 << 10); /* KiB */
	ck_assert_uint_eq(p->processes[0].totals.live_blocks, 9 * 30 + 1);
}
END_TEST

/* ---- refusals ---- */

static void refused_with(const char *words)
{
	fake_segment_write(f, fd);
	ck_assert_int_ne(read_again(), 0);
	ck_assert_msg(strstr(error.text, words) != NULL, "\"%s\" lacks \"%s\"", error.text, words);
	ck_assert_uint_eq(p->process_count, 0);
}

START_TEST(what_it_cannot_read_it_refuses)
{
	fake_header(f)->min_version = MTRACE_SEGMENT_VERSION + 1;
	refused_with("format");
	fake_header(f)->min_version = 1;
	fake_header(f)->features_required = 1ull << 40;
	refused_with("features");
	fake_header(f)->features_required = 0;
	fake_header(f)->little_endian = 0;
	refused_with("byte order");
	fake_header(f)->little_endian = 1;
	fake_header(f)->state = MTRACE_STATE_CREATING;
	refused_with("nothing was recorded");
	memcpy(fake_header(f)->magic, "GIF89a..", 8);
	refused_with("not a segment");
}
END_TEST

START_TEST(newer_counters_are_shown_by_number)
{
	fake_header(f)->counter_count = MTRACE_COUNTER_COUNT + 1;
	fake_header(f)->counters[MTRACE_COUNTER_COUNT] = 5;
	struct profile_process *q = read_it();
	char name[32];
	snprintf(name, sizeof name, "counter-%u", (unsigned)MTRACE_COUNTER_COUNT);
	ck_assert_str_eq(q->counters[MTRACE_COUNTER_COUNT].name, name);
	ck_assert_uint_eq(q->counters[MTRACE_COUNTER_COUNT].value, 5);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tools: segment");
	TCase *says = tcase_create("what a segment says"), *hostile = tcase_create("hostile input");
	tcase_add_checked_fixture(says, setup, teardown);
	tcase_add_checked_fixture(hostile, setup, teardown);
	tcase_set_timeout(says, 60);
	tcase_set_timeout(hostile, 300);
	tcase_add_test(says, says_who_it_is);
	tcase_add_test(says, says_what_it_takes);
	tcase_add_test(says, hides_secrets_in_arguments);
	tcase_add_test(says, tells_how_it_ended);
	tcase_add_test(says, is_running_while_the_lock_is_held);
	tcase_add_test(says, says_whether_a_thread_was_inside);
	tcase_add_test(says, stacks_are_innermost_first);
	tcase_add_test(says, equal_nodes_are_one_stack);
	tcase_add_test(says, cut_stacks_bear_their_marker);
	tcase_add_test(says, java_frames_have_the_names_of_their_methods);
	tcase_add_test(says, java_frames_without_a_method_stand_without_names);
	tcase_add_test(says, blocks_being_moved_are_live);
	tcase_add_test(says, huge_sizes_come_from_their_table);
	tcase_add_test(says, blocks_in_flight_do_not_make_counts_negative);
	tcase_add_test(says, disagreement_is_said);
	tcase_add_test(says, threads_are_blocks_of_their_kind);
	tcase_add_test(says, ranges_are_overwritten_cut_and_moved);
	tcase_add_test(says, ranges_not_committed_are_not_there);
	tcase_add_test(says, ranges_agree_with_a_map_of_pages);
	tcase_add_test(says, random_blocks_are_found_to_the_byte);
	tcase_add_test(says, a_sparse_copy_says_what_the_whole_one_does);
	tcase_add_test(says, marks_are_read_once_each);
	tcase_add_test(says, more_marks_than_room_come_at_the_next_look);
	tcase_add_test(says, a_mark_being_written_is_waited_for);
	tcase_add_test(says, damaged_marks_end_and_stay_in_bounds);
	tcase_add_test(says, what_it_cannot_read_it_refuses);
	tcase_add_test(says, newer_counters_are_shown_by_number);
	tcase_add_test(hostile, any_length_is_survived);
	tcase_add_test(hostile, truncated_at_each_page);
	tcase_add_test(hostile, every_header_word_is_survived);
	tcase_add_test(hostile, flipped_bits_are_survived);
	tcase_add_test(hostile, random_words_in_tables_are_survived);
	tcase_add_test(hostile, loops_and_shared_lines_end);
	tcase_add_test(hostile, a_closed_slot_is_no_loss);
	tcase_add_test(hostile, a_sparse_giant_costs_what_is_in_it);
	suite_add_tcase(s, says);
	suite_add_tcase(s, hostile);
	return s;
}

int main(void)
{
	const char *given = getenv("MTRACE_SEED");
	if (given && strtoull(given, NULL, 0) != 0)
		seed = strtoull(given, NULL, 0);
	printf("seed %llu\n", (unsigned long long)seed);
	return run_suite(suite());
}
