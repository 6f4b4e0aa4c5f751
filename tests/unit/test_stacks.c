/* stacks: equal paths have one id, different ones different ids, also under threads and while the table grows. */
#include <pthread.h>

#include "room.h"
#include "stacks.h"

static void setup(void)
{
	room_open(512 << 20);
	ck_assert(stacks_init());
}

START_TEST(a_frame_is_its_kind_module_value_and_flags)
{
	uint32_t a = stacks_frame(MTRACE_FRAME_NATIVE, 1, 0x1000, 0);
	ck_assert_uint_eq(a, stacks_frame(MTRACE_FRAME_NATIVE, 1, 0x1000, 0));
	ck_assert_uint_ne(a, stacks_frame(MTRACE_FRAME_NATIVE, 2, 0x1000, 0));
	ck_assert_uint_ne(a, stacks_frame(MTRACE_FRAME_NATIVE, 1, 0x1001, 0));
	ck_assert_uint_ne(a, stacks_frame(MTRACE_FRAME_NATIVE, 1, 0x1000, MTRACE_FRAME_EXACT));
	ck_assert_uint_ne(a, stacks_frame(MTRACE_FRAME_ABSOLUTE, 1, 0x1000, 0));
}
END_TEST

START_TEST(a_node_is_its_parent_and_frame)
{
	uint32_t f = stacks_frame(MTRACE_FRAME_NATIVE, 1, 1, 0), g = stacks_frame(MTRACE_FRAME_NATIVE, 1, 2, 0);
	uint32_t a = stacks_node(MTRACE_KIND_MALLOC, f), b = stacks_node(MTRACE_KIND_MMAP, f);
	ck_assert_uint_ge(a, MTRACE_FIRST_NODE);
	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(stacks_node(a, g), stacks_node(a, g));
	ck_assert_uint_ne(stacks_node(a, g), stacks_node(b, g));
}
END_TEST

START_TEST(a_stack_has_one_row_that_knows_its_node)
{
	bool made = false;
	uint32_t node = stacks_node(MTRACE_KIND_MALLOC, stacks_frame(MTRACE_FRAME_NATIVE, 1, 1, 0));
	uint32_t row = stacks_row(node, &made);
	ck_assert(made);
	made = false;
	ck_assert_uint_eq(row, stacks_row(node, &made));
	ck_assert(!made);
	ck_assert_uint_eq(((struct mtrace_row *)(void *)segment.base[MTRACE_REGION_ROWS])[row].node, node);
}
END_TEST

/* What a thread leaves that is stopped, or killed, between the two: nobody is given it, for another one is the path's. */
START_TEST(a_node_that_is_filled_and_not_linked_is_nobodys)
{
	struct mtrace_node *nodes = (struct mtrace_node *)(void *)segment.base[MTRACE_REGION_NODES];
	uint32_t f = stacks_frame(MTRACE_FRAME_NATIVE, 1, 1, 0), g = stacks_frame(MTRACE_FRAME_NATIVE, 1, 2, 0);
	uint32_t parent = stacks_node(MTRACE_KIND_MALLOC, f);
	uint64_t left = segment_reserve(MTRACE_REGION_NODES, 1);
	ck_assert_uint_eq(left, parent + 1);
	nodes[left].key = (uint64_t)parent << 32 | g;
	uint32_t node = stacks_node(parent, g);
	bool made = false;
	ck_assert_uint_ne(node, left);
	ck_assert_uint_eq(stacks_node(parent, g), node);
	ck_assert_uint_ne(stacks_row(node, &made), 0);
	ck_assert_uint_eq(stacks_node(parent, g), node);
}
END_TEST

/* By which it is known beside its parent, before a row is there and after. */
START_TEST(a_node_tells_that_it_is_linked)
{
	const struct mtrace_node *nodes = (const struct mtrace_node *)(const void *)segment.base[MTRACE_REGION_NODES];
	uint32_t parent = stacks_node(MTRACE_KIND_MALLOC, 1), node = stacks_node(parent, 2);
	bool made = false;
	ck_assert_uint_eq(atomic_load(&nodes[node].row), MTRACE_NODE_LINKED);
	uint32_t row = stacks_row(node, &made);
	ck_assert(made);
	ck_assert_uint_eq(atomic_load(&nodes[node].row), row);
	ck_assert_uint_eq(stacks_node(parent, 2), node);
}
END_TEST

START_TEST(a_row_knows_the_kind_of_its_stack)
{
	bool made;
	uint32_t node[2] = {MTRACE_KIND_MMAP, MTRACE_KIND_THREAD};
	for (uint64_t i = 1; i < 200; i++)
		for (int k = 0; k < 2; k++)
			node[k] = stacks_node(node[k], stacks_frame(MTRACE_FRAME_NATIVE, 1, i, 0));
	ck_assert_uint_eq(stacks_kind(stacks_row(node[0], &made)), MTRACE_KIND_MMAP);
	ck_assert_uint_eq(stacks_kind(stacks_row(node[1], &made)), MTRACE_KIND_THREAD);
	uint32_t full = stacks_fallback_row(MTRACE_KIND_MALLOC, MTRACE_MARKER_TABLE_FULL);
	ck_assert_uint_eq(stacks_kind(full), MTRACE_KIND_MALLOC);
}
END_TEST

/* Many times more elements than first buckets: all are found again with the ids they got. */
START_TEST(ids_stay_while_the_table_grows)
{
	enum { COUNT = 300000 };
	static uint32_t ids[COUNT];
	for (uint32_t i = 0; i < COUNT; i++)
		ids[i] = stacks_node(MTRACE_KIND_MALLOC, i + 1);
	for (uint32_t i = 0; i < COUNT; i++)
		ck_assert_uint_eq(stacks_node(MTRACE_KIND_MALLOC, i + 1), ids[i]);
}
END_TEST

/* Threads intern the same keys in different orders; all must get the same ids. */
enum { THREADS = 4, KEYS = 100000 };
static uint32_t seen[THREADS][KEYS];

static void *intern_all(void *argument)
{
	uintptr_t lane = (uintptr_t)argument;
	uint32_t keys = room_times(KEYS);
	for (uint32_t i = 0; i < keys; i++) {
		uint32_t key = lane & 1 ? keys - 1 - i : i;
		uint32_t frame = stacks_frame(MTRACE_FRAME_NATIVE, 1, key / 4, 0);
		seen[lane][key] = stacks_node(MTRACE_KIND_MALLOC + key % 4, frame);
	}
	return NULL;
}

START_TEST(threads_agree_on_ids)
{
	pthread_t threads[THREADS];
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, intern_all, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		ck_assert(!memcmp(seen[i], seen[0], sizeof seen[0]));
	for (uint32_t i = 1; i < room_times(KEYS); i++)
		ck_assert_uint_ne(seen[0][i], seen[0][i - 1]);
}
END_TEST

/* ---- new ones in a row ---- */

static struct stacks_children children[3];

/* As capture does it: the first that is new says that those below it are. */
static void intern_frames(struct stacks_children *mine, const uint32_t *frames, uint32_t count, uint32_t *nodes)
{
	uint32_t node = MTRACE_KIND_MALLOC;
	mine->made = 0;
	for (uint32_t i = 0; i < count;) {
		nodes[i] = node = node ? stacks_child(mine, node, frames[i]) : 0;
		i++;
		uint32_t below = count - i < STACKS_CHAIN ? count - i : STACKS_CHAIN;
		if (!below || !node || node != mine->made)
			continue;
		uint32_t done = stacks_chain(mine, node, frames + i, below, nodes + i);
		ck_assert_uint_le(done, below);
		for (uint32_t k = 0; k < done; k++)
			ck_assert_uint_ne(nodes[i + k], 0);
		i += done;
		node = nodes[i - 1];
	}
}

static uint64_t nodes_used(void)
{
	return atomic_load(&segment.used[MTRACE_REGION_NODES]);
}

/* With ends that others have, and more frames than one row of them holds. */
START_TEST(nodes_in_a_row_are_those_one_by_one)
{
	enum { MOST = 2 * STACKS_CHAIN + 5, STACKS = 400 };
	uint32_t frames[MOST], nodes[MOST];
	for (uint32_t stack = 0; stack < STACKS; stack++) {
		uint32_t count = 1 + stack % MOST, shared = stack * 7 % count, node = MTRACE_KIND_MALLOC;
		for (uint32_t i = 0; i < count; i++)
			frames[i] = i < shared ? i + 1 : 1000 + stack * MOST + i;
		intern_frames(&children[0], frames, count, nodes);
		for (uint32_t i = 0; i < count; i++)
			ck_assert_uint_eq(node = stacks_node(node, frames[i]), nodes[i]);
		uint64_t used = nodes_used();
		intern_frames(&children[1], frames, count, nodes);
		intern_frames(&children[0], frames, count, nodes);
		ck_assert_uint_eq(node, nodes[count - 1]);
		ck_assert_uint_eq(used, nodes_used());
	}
}
END_TEST

/* Threads intern the same new paths at once, each the one that another is about to make: who follows is faster. What each
   was given then, a thread that comes later is given, too. One takes them in a row, where they are new. */
enum { PATHS = 20000, PATH_FRAMES = 8 };
static uint32_t given[2][PATHS][PATH_FRAMES];

static void intern_path(uint32_t path, uint32_t nodes[PATH_FRAMES])
{
	uint32_t node = MTRACE_KIND_MALLOC;
	for (uint32_t depth = 0; depth < PATH_FRAMES; depth++)
		nodes[depth] = node = stacks_node(node, path * PATH_FRAMES + depth + 1);
}

static void intern_path_in_a_row(uint32_t path, uint32_t nodes[PATH_FRAMES])
{
	uint32_t frames[PATH_FRAMES];
	for (uint32_t depth = 0; depth < PATH_FRAMES; depth++)
		frames[depth] = path * PATH_FRAMES + depth + 1;
	intern_frames(&children[2], frames, PATH_FRAMES, nodes);
}

static void *intern_paths(void *argument)
{
	for (uint32_t path = 0; path < room_times(PATHS); path++)
		(argument ? intern_path_in_a_row : intern_path)(path, given[(uintptr_t)argument][path]);
	return NULL;
}

START_TEST(threads_agree_on_new_paths)
{
	pthread_t threads[2];
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, intern_paths, (void *)i);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t path = 0; path < room_times(PATHS); path++) {
		uint32_t later[PATH_FRAMES];
		intern_path(path, later);
		ck_assert_mem_eq(given[0][path], given[1][path], sizeof later);
		ck_assert_mem_eq(given[0][path], later, sizeof later);
	}
}
END_TEST

static void setup_small(void)
{
	room_open(1 << 20);
	ck_assert(stacks_init());
}

START_TEST(full_gives_no_id_and_keeps_the_old_ones)
{
	uint32_t first = stacks_node(MTRACE_KIND_MALLOC, 1), frame = 2;
	while (stacks_node(MTRACE_KIND_MALLOC, frame))
		frame++;
	ck_assert_uint_gt(frame, 1000);
	ck_assert_uint_eq(stacks_node(MTRACE_KIND_MALLOC, 1), first);
	ck_assert_uint_ne(stacks_fallback_row(MTRACE_KIND_MALLOC, MTRACE_MARKER_TABLE_FULL), 0);
}
END_TEST

START_TEST(full_while_nodes_are_made_in_a_row)
{
	uint32_t frames[STACKS_CHAIN + 1], nodes[STACKS_CHAIN + 1], stack = 0;
	do {
		for (uint32_t i = 0; i <= STACKS_CHAIN; i++)
			frames[i] = 1 + stack * (STACKS_CHAIN + 1) + i;
		intern_frames(&children[0], frames, STACKS_CHAIN + 1, nodes);
		ck_assert_uint_lt(stack++, 100000);
	} while (nodes[STACKS_CHAIN]);
	ck_assert_uint_gt(stack, 100);
	ck_assert_uint_ne(stacks_node(MTRACE_KIND_MALLOC, 1), 0);
}
END_TEST

/* A foreign hand in the segment: ids out of range are not followed, recording stops, the host lives. */
START_TEST(a_scribbled_link_is_not_followed)
{
	struct mtrace_node *nodes = (struct mtrace_node *)(void *)segment.base[MTRACE_REGION_NODES];
	atomic_store(&room_page.active, 1);
	uint64_t used = atomic_load(&segment.used[MTRACE_REGION_NODES]);
	for (uint64_t i = MTRACE_FIRST_NODE; i < used; i++)
		atomic_store(&nodes[i].next, 0xfffffff0u);
	for (uint32_t i = 1; i < 100; i++)
		stacks_node(MTRACE_KIND_MALLOC, i + 5000);
	ck_assert_uint_eq(atomic_load(&room_page.active), 0);
	ck_assert_uint_eq(atomic_load(&segment.header->state), MTRACE_STATE_POISONED);
	ck_assert_uint_gt(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stacks");
	TCase *plain = tcase_create("plain"), *threads = tcase_create("threads");
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_set_timeout(plain, 60);
	tcase_add_test(plain, a_frame_is_its_kind_module_value_and_flags);
	tcase_add_test(plain, a_node_is_its_parent_and_frame);
	tcase_add_test(plain, a_node_that_is_filled_and_not_linked_is_nobodys);
	tcase_add_test(plain, a_node_tells_that_it_is_linked);
	tcase_add_test(plain, a_stack_has_one_row_that_knows_its_node);
	tcase_add_test(plain, a_row_knows_the_kind_of_its_stack);
	tcase_add_test(plain, ids_stay_while_the_table_grows);
	tcase_add_test(plain, nodes_in_a_row_are_those_one_by_one);
	tcase_add_test(plain, a_scribbled_link_is_not_followed);
	suite_add_tcase(suite, plain);
	tcase_add_checked_fixture(threads, setup, NULL);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, threads_agree_on_ids);
	tcase_add_test(threads, threads_agree_on_new_paths);
	suite_add_tcase(suite, threads);
	TCase *small = tcase_create("small");
	tcase_add_checked_fixture(small, setup_small, NULL);
	tcase_add_test(small, full_gives_no_id_and_keeps_the_old_ones);
	tcase_add_test(small, full_while_nodes_are_made_in_a_row);
	suite_add_tcase(suite, small);
	return run_suite(suite);
}
