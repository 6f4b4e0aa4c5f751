/*
 * test_tools_ring: how the ring is read: whole records in their order, those alone that are new since the last look, and
 * how many were lost; nothing in a ring, whatever its bytes are, changes a report. The seed of what is random is printed;
 * MTRACE_SEED sets it.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emit/emit.h"
#include "emit/events.h"
#include "fake_segment.h"
#include "model/events.h"
#include "model/profile.h"
#include "read/read.h"
#include "read/recording.h"
#include "run.h"

static struct fake_segment *f;
static struct profile *p;
static struct read_error error;
static struct read_news news;
static int fd, holder; /* of the segment; the lock of its process is held by the latter */
static uint32_t row, module, thread;
static uint64_t seed = 20240607;

static const uint64_t nothing[4];

static void setup(void)
{
	f = fake_segment_new();
	p = profile_new();
	fd = memfd_create("mtrace.test", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	holder = -1;
	news = (struct read_news){.fd = fd};
	module = fake_module(f, "/opt/app/server", 7);
	row = fake_stack(f, MTRACE_KIND_MALLOC, module, (uint64_t[]){0x1000, 0x2000, 0});
	fake_malloc(f, row, 0x10000, 64, 1);
	thread = fake_thread(f, 4200, "worker", 0);
}

static void teardown(void)
{
	profile_free(p);
	fake_segment_free(f);
	if (holder >= 0)
		close(holder);
	close(fd);
}

/* The process lives: somebody else holds the lock. */
static void live(void)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	holder = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(flock(holder, LOCK_EX | LOCK_NB), 0);
}

static void die_now(void)
{
	close(holder);
	holder = -1;
}

static uint64_t random_word(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static const struct profile_process *read_it(void)
{
	profile_free(p);
	p = profile_new();
	fake_segment_write(f, fd);
	ck_assert_msg(read_segment_fd(fd, "fake", p, NULL, &error) == 0, "%s", error.text);
	return &p->processes[0];
}

/* A look, and how many events it brought; they are in p. */
static uint32_t look(void)
{
	profile_free(p);
	p = profile_new();
	fake_segment_write(f, fd);
	int code = read_segment_news(&news, p);
	ck_assert_int_ge(code, 0);
	ck_assert_uint_eq(p->process_count, (uint32_t)code);
	return code ? p->processes[0].event_count : 0;
}

static void put(uint64_t value)
{
	fake_news(f, MTRACE_RING_map, thread, row, (uint64_t[]){0x7f0000000000, value, 0, 0});
}

static void put_many(uint32_t count)
{
	while (count-- > 0)
		put(fake_ring(f)->next);
}

/* ---- a segment ---- */

START_TEST(records_come_in_order_with_what_they_name)
{
	put(5 << 20);
	fake_news(f, MTRACE_RING_module_map, thread, module, (uint64_t[]){0x1000, 0x2000, 0, 0});
	fake_mark(f, "a mark with quite a long name", 5);
	fake_news(f, MTRACE_RING_mark, thread, 0, (uint64_t[]){1, 0, 0x726566206b72616d, 0});
	fake_news(f, MTRACE_RING_mark, thread, 0, (uint64_t[]){0, 0, 0x7869666572500000 >> 16, 0});
	fake_news(f, MTRACE_RING_thread_name, thread, 0, (uint64_t[]){4200, 0, 0x656d616e, 0});
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, 5);
	const struct profile_event *e = process->events;
	for (uint32_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(e[i].sequence, i);
		ck_assert_uint_eq(e[i].time_ns, i * 1000000u);
		ck_assert_uint_eq(process->threads[e[i].thread].tid, 4200);
	}
	ck_assert_uint_eq(e[0].kind, MTRACE_RING_map);
	ck_assert_uint_eq(e[0].value[1], 5 << 20);
	ck_assert_uint_eq(process->frames[process->stacks[e[0].stack].frames[0]].value, 0x1000);
	ck_assert_str_eq(process->modules[e[1].module].path, "/opt/app/server");
	ck_assert_uint_eq(e[1].stack, UINT32_MAX);
	ck_assert_str_eq(e[2].text, "a mark with quite a long name");
	ck_assert_str_eq(e[3].text, "Prefix"); /* the table of marks was full */
	ck_assert_str_eq(e[4].text, "name");
	ck_assert_uint_eq(process->events_written, 5);
	ck_assert_uint_eq(process->events_overwritten, 0);
}
END_TEST

START_TEST(what_is_not_whole_is_not_shown)
{
	put_many(10);
	uint64_t *slots[10];
	for (uint64_t i = 0; i < 10; i++)
		slots[i] = fake_element(f, MTRACE_REGION_RING, 1 + i);
	slots[2][0] |= MTRACE_RING_BUSY;
	slots[4][0] = 0;
	slots[5][4] ^= 1;          /* a word that the check does not agree with */
	slots[7][0] = MTRACE_RING_STATE(8); /* another record's number */
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, 6);
	static const uint64_t kept[] = {0, 1, 3, 6, 8, 9};
	for (int i = 0; i < 6; i++)
		ck_assert_uint_eq(process->events[i].value[1], kept[i]);
	ck_assert_uint_eq(process->events_written, 10);
	ck_assert_uint_eq(process->skipped, 0);
}
END_TEST

START_TEST(ids_that_lead_nowhere_are_none)
{
	fake_news(f, MTRACE_RING_map, 60000, 100000, nothing);
	fake_news(f, MTRACE_RING_module_map, UINT32_MAX, 100000, nothing);
	fake_news(f, (enum mtrace_ring_kind)999, thread, 1, nothing);
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, 3);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(process->events[i].thread, PROFILE_NO_THREAD);
		ck_assert_uint_eq(process->events[i].stack, UINT32_MAX);
		ck_assert_uint_eq(process->events[i].module, PROFILE_NO_MODULE);
	}
	ck_assert_uint_eq(process->events[2].kind, 999);
	ck_assert_uint_eq(process->skipped, 0);
}
END_TEST

START_TEST(a_full_ring_has_the_last_and_says_how_many_are_gone)
{
	put_many(FAKE_RING_SLOTS * 3 + 10);
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, FAKE_RING_SLOTS);
	ck_assert_uint_eq(process->events[0].sequence, FAKE_RING_SLOTS * 2 + 10);
	ck_assert_uint_eq(process->events_written, FAKE_RING_SLOTS * 3 + 10);
	ck_assert_uint_eq(process->events_overwritten, FAKE_RING_SLOTS * 2 + 10);
}
END_TEST

/* The writer of a number was killed before it took the slot: what stands there is of the round before. */
START_TEST(a_record_of_the_round_before_is_left_out)
{
	uint64_t old[8];
	put_many(10);
	memcpy(old, fake_element(f, MTRACE_REGION_RING, 1 + 7), sizeof old);
	put_many(FAKE_RING_SLOTS + 10);
	memcpy(fake_element(f, MTRACE_REGION_RING, 1 + 7), old, sizeof old);
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, FAKE_RING_SLOTS - 1);
	ck_assert_uint_eq(process->events[0].sequence, 20);
	ck_assert_uint_eq(process->events_overwritten, 20);
	ck_assert_uint_eq(process->events_written, FAKE_RING_SLOTS + 20);
	ck_assert_uint_eq(look(), FAKE_RING_SLOTS - 1);
	ck_assert_uint_eq(news.overwritten, 20);
	ck_assert_uint_eq(news.unfinished, 1);
}
END_TEST

START_TEST(a_segment_from_before_the_ring_has_none)
{
	put_many(3);
	fake_header(f)->region_count = MTRACE_REGION_RING;
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, 0);
	ck_assert_uint_eq(process->events_written, 0);
	live();
	ck_assert_uint_eq(look(), 0);
	ck_assert(news.alive);
}
END_TEST

static char *text_of_report(void)
{
	char *text = NULL;
	size_t bytes = 0;
	struct emit_options options = {.target = "1", .limit = 10};
	FILE *out = open_memstream(&text, &bytes);
	read_it();
	emit_text(p, &options, out);
	fclose(out);
	return text;
}

static void scribble(void)
{
	uint64_t *words = fake_element(f, MTRACE_REGION_RING, 0);
	for (size_t i = 0; i < (FAKE_RING_SLOTS + 1) * 8; i++)
		words[i] = random_word() >> random_word() % 64;
}

START_TEST(no_ring_changes_a_report)
{
	char *empty = text_of_report();
	put_many(FAKE_RING_SLOTS * 2);
	fake_header(f)->counters[MTRACE_COUNTER_ring_held_back] = 7;
	char *full = text_of_report();
	ck_assert_str_eq(empty, full);
	scribble();
	char *wild = text_of_report();
	ck_assert_str_eq(empty, wild);
	free(empty);
	free(full);
	free(wild);
}
END_TEST

/* Every index of what was read may be followed; every line can be printed. */
static void print_all(void)
{
	FILE *out = fopen("/dev/null", "w");
	for (uint32_t i = 0; i < p->process_count; i++)
		for (uint32_t k = 0; k < p->processes[i].event_count; k++) {
			emit_event_text(&p->processes[i], &p->processes[i].events[k], out);
			json_decref(emit_event_json(&p->processes[i], &p->processes[i].events[k], true));
		}
	fclose(out);
}

/* A seventh of the slots are as their writer left them, with ids and kinds from anywhere. */
START_TEST(a_hostile_ring_harms_nobody)
{
	const char *text = getenv("MTRACE_SEED");
	seed = text ? strtoull(text, NULL, 0) : seed;
	printf("seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 400; round++) {
		scribble();
		fake_ring(f)->next = random_word() % 1000;
		for (uint32_t i = 0; i < FAKE_RING_SLOTS / 7; i++)
			fake_news(f, (enum mtrace_ring_kind)(random_word() % (MTRACE_RING_COUNT + 2)), (uint32_t)(random_word() % 4),
			          (uint32_t)(random_word() % 40),
			          (uint64_t[]){random_word(), random_word() % 30, random_word(), random_word()});
		if (round % 3 == 0)
			fake_ring(f)->next = random_word();
		if (round % 5 == 0)
			fake_ring(f)->slots = random_word();
		read_it();
		if (round % 3 && round % 5) /* two may have one number */
			ck_assert_uint_ge(p->processes[0].event_count, FAKE_RING_SLOTS / 7 - 1);
		print_all();
		news = (struct read_news){.fd = fd, .position = round % 2 ? random_word() % 2000 : 0};
		for (int looks = 0; looks < 3; looks++) {
			look();
			print_all();
		}
	}
}
END_TEST

/* ---- news ---- */

START_TEST(a_look_brings_what_is_new_since_the_last)
{
	live();
	ck_assert_uint_eq(look(), 0);
	put_many(4);
	ck_assert_uint_eq(look(), 4);
	const struct profile_process *process = &p->processes[0];
	ck_assert_uint_eq(process->events[3].value[1], 3);
	ck_assert_uint_eq(process->stack_count, 1);
	ck_assert_uint_eq(process->frame_count, 2);
	ck_assert_uint_eq(process->frames[process->stacks[process->events[0].stack].frames[1]].value, 0x2000);
	ck_assert_uint_eq(process->threads[process->events[0].thread].tid, 4200);
	ck_assert_uint_eq(look(), 0);
	put_many(2);
	ck_assert_uint_eq(look(), 2);
	ck_assert_uint_eq(p->processes[0].events[0].sequence, 4);
	ck_assert_uint_eq(news.overwritten + news.unfinished, 0);
	ck_assert(news.alive);
}
END_TEST

START_TEST(one_that_looks_too_seldom_is_told_what_it_lost)
{
	live();
	put_many(10);
	ck_assert_uint_eq(look(), 10);
	put_many(FAKE_RING_SLOTS + 17);
	ck_assert_uint_eq(look(), FAKE_RING_SLOTS);
	ck_assert_uint_eq(news.overwritten, 17);
	ck_assert_uint_eq(p->processes[0].events[0].sequence, 27);
	put_many(FAKE_RING_SLOTS);
	ck_assert_uint_eq(look(), FAKE_RING_SLOTS);
	ck_assert_uint_eq(news.overwritten, 17);
	ck_assert_uint_eq(news.unfinished, 0);
}
END_TEST

/* Its writer may only have lost the processor: what comes after it is held for a few looks. */
START_TEST(a_record_under_way_is_waited_for)
{
	live();
	put_many(3);
	uint64_t *slot = fake_element(f, MTRACE_REGION_RING, 1 + 1);
	slot[0] |= MTRACE_RING_BUSY;
	ck_assert_uint_eq(look(), 1);
	ck_assert_uint_eq(look(), 0);
	slot[0] &= ~MTRACE_RING_BUSY;
	ck_assert_uint_eq(look(), 2);
	ck_assert_uint_eq(p->processes[0].events[0].sequence, 1);
	ck_assert_uint_eq(news.unfinished, 0);
}
END_TEST

START_TEST(a_record_that_is_never_finished_stops_nobody)
{
	live();
	put_many(5);
	uint64_t *slot = fake_element(f, MTRACE_REGION_RING, 1 + 2);
	slot[0] |= MTRACE_RING_BUSY;
	ck_assert_uint_eq(look(), 2);
	uint32_t looks = 0, came = 0;
	while (!came && looks++ < 100)
		came = look();
	ck_assert_uint_eq(came, 2);
	ck_assert_uint_gt(looks, 2);
	ck_assert_uint_eq(p->processes[0].events[0].sequence, 3);
	ck_assert_uint_eq(news.unfinished, 1);
	put_many(1);
	ck_assert_uint_eq(look(), 1);
}
END_TEST

START_TEST(of_the_dead_nothing_is_waited_for)
{
	live();
	put_many(6);
	uint64_t *slot = fake_element(f, MTRACE_REGION_RING, 1 + 2), *last = fake_element(f, MTRACE_REGION_RING, 1 + 5);
	slot[0] |= MTRACE_RING_BUSY;
	last[0] |= MTRACE_RING_BUSY;
	ck_assert_uint_eq(look(), 2);
	die_now();
	ck_assert_uint_eq(look(), 2);
	ck_assert(!news.alive);
	ck_assert_uint_eq(news.unfinished, 2);
	ck_assert_uint_eq(look(), 0);
	ck_assert_uint_eq(news.unfinished, 2);
}
END_TEST

/* ---- recordings ---- */

static bool events_chunk_is_optional(const char *path)
{
	FILE *in = fopen(path, "rb");
	struct codec_chunk chunk;
	bool optional = false;
	ck_assert_int_eq(fseek(in, RECORDING_HEADER_BYTES, SEEK_SET), 0);
	while (codec_read_chunk(in, &chunk) == CODEC_OK && chunk.type != RECORDING_END) {
		if (chunk.type == RECORDING_EVENTS)
			optional = !(chunk.flags & CODEC_REQUIRED);
		ck_assert_int_eq(codec_read_body(in, &chunk, NULL), CODEC_OK);
	}
	fclose(in);
	return optional;
}

START_TEST(a_recording_has_what_the_ring_held)
{
	char path[] = "/tmp/mtrace-ring-XXXXXX";
	struct profile *again = profile_new();
	close(mkstemp(path));
	put_many(FAKE_RING_SLOTS + 5);
	fake_mark(f, "deep in the night", 5);
	fake_news(f, MTRACE_RING_mark, thread, 0, (uint64_t[]){1, 1, 0, 0});
	fake_news(f, MTRACE_RING_module_unmap, 0, module, nothing);
	const struct profile_process *a = read_it();
	ck_assert_msg(write_recording(path, true, p, &error) == 0, "%s", error.text);
	ck_assert_msg(read_recording(path, again, &error) == 0, "%s", error.text);
	const struct profile_process *b = &again->processes[0];
	ck_assert(events_chunk_is_optional(path));
	unlink(path);
	ck_assert_uint_eq(b->event_count, FAKE_RING_SLOTS);
	ck_assert_uint_eq(b->events_written, FAKE_RING_SLOTS + 7);
	ck_assert_uint_eq(b->events_overwritten, 7);
	for (uint32_t i = 0; i < b->event_count; i++) {
		const struct profile_event *x = &a->events[i], *y = &b->events[i];
		ck_assert_uint_eq(x->sequence, y->sequence);
		ck_assert_uint_eq(x->time_ns, y->time_ns);
		ck_assert_uint_eq(x->kind, y->kind);
		ck_assert_uint_eq(x->thread, y->thread);
		ck_assert_uint_eq(x->stack, y->stack);
		ck_assert_uint_eq(x->module, y->module);
		ck_assert_mem_eq(x->value, y->value, sizeof x->value);
		ck_assert_str_eq(x->text, y->text);
	}
	profile_free(again);
}
END_TEST

START_TEST(indices_of_a_recording_are_checked)
{
	char path[] = "/tmp/mtrace-ring-XXXXXX";
	struct profile *again = profile_new();
	close(mkstemp(path));
	put_many(3);
	read_it();
	struct profile_process *a = &p->processes[0];
	a->events[0].stack = 4000;
	a->events[1].thread = 4000;
	a->events[2].module = 4000;
	a->events[2].text = NULL;
	ck_assert_int_eq(write_recording(path, true, p, &error), 0);
	ck_assert_int_eq(read_recording(path, again, &error), 0);
	unlink(path);
	const struct profile_process *b = &again->processes[0];
	ck_assert_uint_eq(b->event_count, 3);
	ck_assert_uint_eq(b->events[0].stack, UINT32_MAX);
	ck_assert_uint_eq(b->events[1].thread, PROFILE_NO_THREAD);
	ck_assert_uint_eq(b->events[2].module, PROFILE_NO_MODULE);
	ck_assert_str_eq(b->events[2].text, "");
	profile_free(again);
}
END_TEST

/* ---- lines ---- */

static char *line_of(const struct profile_process *process, const struct profile_event *event)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	emit_event_text(process, event, out);
	fclose(out);
	return text;
}

START_TEST(every_kind_has_its_line_and_its_object)
{
	for (uint32_t kind = 1; kind < MTRACE_RING_COUNT; kind++) {
		const struct event_kind *k = event_kind_of(kind);
		ck_assert_ptr_nonnull(k);
		fake_news(f, (enum mtrace_ring_kind)kind, thread, k->subject == EVENT_OF_STACK ? row : k->subject ? module : 0,
		          (uint64_t[]){1, 2, 3, 4});
	}
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, MTRACE_RING_COUNT - 1);
	for (uint32_t i = 0; i < process->event_count; i++) {
		const struct event_kind *k = event_kind_of(process->events[i].kind);
		char *line = line_of(process, &process->events[i]);
		ck_assert_msg(strstr(line, k->name) && !strpbrk(line, "{}") && !strstr(line, "(unknown)"), "%s", line);
		ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
		json_t *object = emit_event_json(process, &process->events[i], true);
		ck_assert_str_eq(json_string_value(json_object_get(object, "kind")), k->name);
		for (int n = 0; n < EVENT_FIELDS; n++)
			ck_assert(k->field[n].form == EVENT_UNUSED || strcmp(k->field[n].name, "prefix") == 0 ||
			          json_object_get(object, k->field[n].name));
		ck_assert(k->subject != EVENT_OF_STACK || json_array_size(json_object_get(object, "frames")) == 2);
		json_decref(object);
		free(line);
	}
	ck_assert_ptr_null(event_kind_of(0));
	ck_assert_ptr_null(event_kind_of(MTRACE_RING_COUNT));
}
END_TEST

START_TEST(lines_say_what_happened)
{
	static const char *const expected[] = {
		"map               5.00 MiB at 0x7f0000000000 by server+0x1000 <- server+0x2000  [worker 4200]\n",
		"map               5.00 MiB at 0x7f0000000000  [worker 4200]\n",
		"mark              ?[31mred  [worker 4200]\n",
		"exit              ends: _exit, status 3\n",
		"table_full        the table of marks is full at 1.00 MiB: what is new there is counted as a drop\n",
		"drops_begin       drops begin: 12 drop_marks_full\n",
	};
	put(5 << 20);
	fake_news(f, MTRACE_RING_map, thread, 0, (uint64_t[]){0x7f0000000000, 5 << 20, 0, 0});
	fake_mark(f, "\033[31mred", 1);
	fake_news(f, MTRACE_RING_mark, thread, 0, (uint64_t[]){1, 0, 0, 0});
	fake_news(f, MTRACE_RING_exit, thread, 0, (uint64_t[]){MTRACE_END_UNDERSCORE_EXIT, 3, 0, 0});
	fake_news(f, MTRACE_RING_table_full, 0, 0, (uint64_t[]){MTRACE_REGION_MARKS, 1 << 20, 1 << 20, 0});
	fake_news(f, MTRACE_RING_drops_begin, 0, 0, (uint64_t[]){MTRACE_COUNTER_drop_marks_full, 12, 0, 0});
	const struct profile_process *process = read_it();
	ck_assert_uint_eq(process->event_count, 6);
	for (uint32_t i = 0; i < 6; i++) {
		char *line = line_of(process, &process->events[i]);
		ck_assert_uint_gt(strlen(line), 14);
		ck_assert_str_eq(line + 14, expected[i]); /* behind the clock */
		free(line);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tools_ring");
	TCase *one = tcase_create("segment"), *look_again = tcase_create("news"), *rest = tcase_create("recordings and lines");
	tcase_add_checked_fixture(one, setup, teardown);
	tcase_add_checked_fixture(look_again, setup, teardown);
	tcase_add_checked_fixture(rest, setup, teardown);
	tcase_add_test(one, records_come_in_order_with_what_they_name);
	tcase_add_test(one, what_is_not_whole_is_not_shown);
	tcase_add_test(one, ids_that_lead_nowhere_are_none);
	tcase_add_test(one, a_full_ring_has_the_last_and_says_how_many_are_gone);
	tcase_add_test(one, a_record_of_the_round_before_is_left_out);
	tcase_add_test(one, a_segment_from_before_the_ring_has_none);
	tcase_add_test(one, no_ring_changes_a_report);
	tcase_add_test(one, a_hostile_ring_harms_nobody);
	tcase_add_test(look_again, a_look_brings_what_is_new_since_the_last);
	tcase_add_test(look_again, one_that_looks_too_seldom_is_told_what_it_lost);
	tcase_add_test(look_again, a_record_under_way_is_waited_for);
	tcase_add_test(look_again, a_record_that_is_never_finished_stops_nobody);
	tcase_add_test(look_again, of_the_dead_nothing_is_waited_for);
	tcase_add_test(rest, a_recording_has_what_the_ring_held);
	tcase_add_test(rest, indices_of_a_recording_are_checked);
	tcase_add_test(rest, every_kind_has_its_line_and_its_object);
	tcase_add_test(rest, lines_say_what_happened);
	tcase_set_timeout(one, 120);
	suite_add_tcase(suite, one);
	suite_add_tcase(suite, look_again);
	suite_add_tcase(suite, rest);
	return run_suite(suite);
}
