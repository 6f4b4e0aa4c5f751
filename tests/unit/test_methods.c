/* methods: equal methods have one id, different ones different ids, also under threads; their names are in the segment. */
#include <pthread.h>

#include "methods.h"
#include "room.h"

static void setup(void)
{
	room_open(512 << 20);
	ck_assert(methods_init());
}

static void setup_small(void)
{
	room_open(1 << 20);
	ck_assert(methods_init());
}

static struct jvm_method method(const char *klass, const char *name, const char *signature, const char *file)
{
	struct jvm_method m = {.line = 1};
	snprintf(m.klass, sizeof m.klass, "%s", klass);
	snprintf(m.name, sizeof m.name, "%s", name);
	snprintf(m.signature, sizeof m.signature, "%s", signature);
	snprintf(m.file, sizeof m.file, "%s", file);
	return m;
}

static uint32_t id_of(const char *klass, const char *name, const char *signature, const char *file)
{
	struct jvm_method m = method(klass, name, signature, file);
	return methods_of(&m);
}

static const char *text(uint32_t at)
{
	return segment.base[MTRACE_REGION_METHOD_NAMES] + at;
}

static const struct mtrace_method *record(uint32_t id)
{
	return (const struct mtrace_method *)(const void *)segment.base[MTRACE_REGION_METHODS] + id;
}

START_TEST(a_method_is_its_class_name_signature_and_file)
{
	uint32_t a = id_of("a.B", "c", "()V", "B.java");
	ck_assert_uint_ne(a, 0);
	ck_assert_uint_eq(a, id_of("a.B", "c", "()V", "B.java"));
	ck_assert_uint_ne(a, id_of("a.C", "c", "()V", "B.java"));
	ck_assert_uint_ne(a, id_of("a.B", "d", "()V", "B.java"));
	ck_assert_uint_ne(a, id_of("a.B", "c", "(I)V", "B.java"));
	ck_assert_uint_ne(a, id_of("a.B", "c", "()V", ""));
}
END_TEST

START_TEST(its_names_are_in_the_segment)
{
	const struct mtrace_method *m = record(id_of("a.B", "<init>", "()V", ""));
	ck_assert_str_eq(text(m->klass), "a.B");
	ck_assert_str_eq(text(m->name), "<init>");
	ck_assert_str_eq(text(m->signature), "()V");
	ck_assert_uint_eq(m->file, 0);
	ck_assert_str_eq(text(0), "");
}
END_TEST

START_TEST(equal_strings_are_kept_once)
{
	const struct mtrace_method *m = record(id_of("a.B", "c", "()V", "B.java")), *n = record(id_of("a.B", "d", "()V", "B.java"));
	ck_assert_uint_eq(m->klass, n->klass);
	ck_assert_uint_eq(m->signature, n->signature);
	ck_assert_uint_eq(m->file, n->file);
}
END_TEST

enum { MANY = 20000, THREADS = 4 };
static uint32_t ids[THREADS][MANY];

static uint32_t numbered(uint32_t n)
{
	char klass[64];
	snprintf(klass, sizeof klass, "many.Class%u", n / 10);
	return id_of(klass, n % 10 < 5 ? "early" : "late", n % 2 ? "(I)V" : "(J)V", n % 10 < 2 ? "" : "Class.java");
}

static void *make_many(void *mine)
{
	for (uint32_t n = 0; n < MANY; n++)
		((uint32_t *)mine)[n] = numbered(n);
	return NULL;
}

START_TEST(threads_agree_on_what_an_id_names)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, make_many, ids[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t n = 0; n < MANY; n++) {
		char klass[64];
		snprintf(klass, sizeof klass, "many.Class%u", n / 10);
		for (int i = 0; i < THREADS; i++) {
			ck_assert_uint_eq(ids[i][n], ids[0][n]);
			ck_assert_str_eq(text(record(ids[i][n])->klass), klass);
			ck_assert_str_eq(text(record(ids[i][n])->name), n % 10 < 5 ? "early" : "late");
		}
	}
}
END_TEST

START_TEST(full_gives_no_id_and_keeps_the_old_ones)
{
	uint32_t first = numbered(0), n = 0;
	while (n < 200000 && numbered(n))
		n++;
	ck_assert_uint_lt(n, 200000);
	ck_assert_uint_eq(numbered(0), first);
	ck_assert_uint_eq(atomic_load(&segment.header->state), MTRACE_STATE_CREATING);
	ck_assert_uint_eq(room_counter(MTRACE_COUNTER_damaged_ids), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("methods");
	TCase *plain = tcase_create("plain");
	tcase_add_checked_fixture(plain, setup, NULL);
	tcase_set_timeout(plain, 60);
	tcase_add_test(plain, a_method_is_its_class_name_signature_and_file);
	tcase_add_test(plain, its_names_are_in_the_segment);
	tcase_add_test(plain, equal_strings_are_kept_once);
	tcase_add_test(plain, threads_agree_on_what_an_id_names);
	suite_add_tcase(suite, plain);
	TCase *small = tcase_create("small");
	tcase_add_checked_fixture(small, setup_small, NULL);
	tcase_set_timeout(small, 60);
	tcase_add_test(small, full_gives_no_id_and_keeps_the_old_ones);
	suite_add_tcase(suite, small);
	return run_suite(suite);
}
