/*
 * plat_objects: the object of a pc, by glibc's _dl_find_object and by /proc/self/maps, against dl_iterate_phdr.
 */
#include <check.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "plat.h"
#include "run.h"

/* ---- what the dynamic linker says ---- */

struct truth {
	uintptr_t bias, start, end, text, eh_frame_hdr;
	const char *path;
};

static struct truth truths[128];
static unsigned truth_count;

static int take_truth(struct dl_phdr_info *info, size_t size, void *context)
{
	struct truth *t = &truths[truth_count++];
	(void)size, (void)context;
	*t = (struct truth){ .bias = info->dlpi_addr, .start = UINTPTR_MAX, .path = info->dlpi_name };
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t at = t->bias + h->p_vaddr;
		if (h->p_type == PT_GNU_EH_FRAME)
			t->eh_frame_hdr = at;
		if (h->p_type != PT_LOAD)
			continue;
		t->start = (at & ~4095UL) < t->start ? at & ~4095UL : t->start;
		t->end = at + h->p_memsz > t->end ? at + h->p_memsz : t->end;
		if (h->p_flags & PF_X)
			t->text = at + h->p_memsz / 2;
	}
	return 0;
}

static void setup(void)
{
	plat_objects_init();
	truth_count = 0;
	dl_iterate_phdr(take_truth, NULL);
	ck_assert_uint_ge(truth_count, 4); /* the program, vdso, libc, ld.so */
}

static void expect_truth(const struct truth *t, bool by_maps)
{
	struct plat_object o;
	uintptr_t low, high;
	ck_assert_msg(plat_find_object(t->text, &o), "%s", t->path);
	ck_assert_uint_eq(o.bias, t->bias);
	ck_assert_uint_eq(o.start, t->start);
	ck_assert_uint_ge(o.end, t->end);
	ck_assert_uint_le(o.end, (t->end + 4095) & ~4095UL);
	ck_assert_uint_eq(o.eh_frame_hdr, t->eh_frame_hdr);
	ck_assert_msg(o.build_id != NULL, "%s has a build-id", t->path);
	ck_assert_uint_eq(o.build_id_bytes, 20);
	ck_assert(plat_object_span(&o, (uintptr_t)o.build_id, &low, &high));
	ck_assert(!plat_object_span(&o, o.end + 4096, &low, &high));
	if (!by_maps)
		ck_assert_str_eq(o.path, t->path);
	else if (strchr(t->path, '/'))
		ck_assert_ptr_nonnull(strstr(o.path, strrchr(t->path, '/') + 4)); /* links may differ in the directory */
}

START_TEST(all_objects_by_libc)
{
	for (unsigned i = 0; i < truth_count; i++)
		expect_truth(&truths[i], false);
}
END_TEST

START_TEST(all_objects_by_maps)
{
	plat_objects_force_maps(true);
	for (int again = 0; again < 3; again++) {
		for (unsigned i = 0; i < truth_count; i++)
			expect_truth(&truths[i], true);
		if (again == 1)
			plat_objects_forget();
	}
}
END_TEST

START_TEST(vdso_is_an_object)
{
	struct plat_object o;
	uintptr_t vdso = getauxval(AT_SYSINFO_EHDR);
	for (int by_maps = 0; by_maps < 2; by_maps++) {
		plat_objects_force_maps(by_maps);
		ck_assert(plat_find_object(vdso + 0x400, &o));
		ck_assert_uint_eq(o.start, vdso);
		ck_assert_uint_ne(o.eh_frame_hdr, 0);
	}
}
END_TEST

START_TEST(nothing_else_is_one)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *heap = malloc(100);
	uintptr_t nothing[] = { 0, 1, 4096, (uintptr_t)page, (uintptr_t)heap, (uintptr_t)&nothing, UINTPTR_MAX, 1UL << 47 };
	struct plat_object o;
	for (int by_maps = 0; by_maps < 2; by_maps++) {
		plat_objects_force_maps(by_maps);
		for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
			ck_assert_msg(!plat_find_object(nothing[i], &o), "%zu by maps %d", i, by_maps);
	}
	free(heap);
}
END_TEST

/* Where libc can be asked it is asked: /proc/self/maps cannot be opened here. */
START_TEST(libc_is_asked_where_it_answers)
{
	struct rlimit none = {0, 0};
	struct plat_object o;
	if (!dlsym(RTLD_DEFAULT, "_dl_find_object"))
		return;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert(plat_find_object((uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), &o));
}
END_TEST

/* A dlsym that fails allocates its message, in an allocator that may not have begun. */
START_TEST(looking_in_vain_says_nothing)
{
	dlerror();
	plat_objects_init();
	ck_assert_ptr_null(plat_symbol_next_if_any("_dl_find_object_of_tomorrow", getauxval(AT_ENTRY)));
	ck_assert_ptr_null(dlerror());
	ck_assert_ptr_eq(plat_symbol_next_if_any("_dl_find_object", getauxval(AT_ENTRY)), dlsym(RTLD_DEFAULT, "_dl_find_object"));
}
END_TEST

/* The build-id in memory is the one readelf finds in the file. */
START_TEST(build_id_is_the_files)
{
	struct plat_object o;
	char command[4200], text[128] = "", ours[64];
	ck_assert(plat_find_object((uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), &o));
	snprintf(command, sizeof command, "readelf -n '%s' | sed -n 's/.*Build ID: //p'", o.path);
	FILE *f = popen(command, "r");
	ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
	pclose(f);
	for (uint32_t i = 0; i < o.build_id_bytes; i++)
		snprintf(ours + 2 * i, 3, "%02x", o.build_id[i]);
	ck_assert_int_eq(strncmp(text, ours, 40), 0);
}
END_TEST

/* ---- libraries that come and go ---- */

static char scratch[] = "/tmp/mtrace-objects-XXXXXX";

static void make_library(const char *name, int functions)
{
	char command[512];
	snprintf(command, sizeof command,
	         "for i in $(seq %d); do echo \"int f$i(int x) { return x * $i; }\"; done > '%s/%s.c' && "
	         "cc -O2 -fPIC -shared -o '%s/%s.so' '%s/%s.c'",
	         functions, scratch, name, scratch, name, scratch, name);
	ck_assert_int_eq(system(command), 0);
}

static void *load(const char *name)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s.so", scratch, name);
	void *handle = dlopen(path, RTLD_NOW);
	ck_assert_msg(handle != NULL, "%s", dlerror());
	return handle;
}

START_TEST(unloaded_objects_are_forgotten)
{
	struct plat_object o;
	char command[128];
	ck_assert_ptr_nonnull(mkdtemp(scratch));
	make_library("one", 3);
	make_library("two", 300);
	plat_objects_force_maps(true);
	for (int i = 0; i < 20; i++) {
		const char *name = i % 2 ? "two" : "one";
		void *handle = load(name);
		uintptr_t pc = (uintptr_t)dlsym(handle, "f2");
		ck_assert(plat_find_object(pc, &o));
		ck_assert_ptr_nonnull(strstr(o.path, name));
		ck_assert(plat_find_object(pc, &o)); /* remembered */
		ck_assert_ptr_nonnull(strstr(o.path, name));
		dlclose(handle);
		plat_objects_forget();
		ck_assert(!plat_find_object(pc, &o));
	}
	snprintf(command, sizeof command, "rm -rf '%s'", scratch);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

static volatile int stop;
static _Atomic unsigned long wrong, right;

static void *looking(void *unused)
{
	while (!stop) {
		for (unsigned i = 0; i < truth_count; i++) {
			struct plat_object o;
			bool found = plat_find_object(truths[i].text, &o);
			atomic_fetch_add(found && o.bias == truths[i].bias && o.start == truths[i].start ? &right : &wrong, 1);
		}
	}
	return unused;
}

/* Readers of the remembered list, its writer and those who make it forget, all at once. */
START_TEST(threads_look_while_others_forget)
{
	pthread_t threads[4];
	struct timespec moment = { 0, 200000 };
	plat_objects_force_maps(true);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, looking, NULL);
	for (int i = 0; i < 2000; i++) {
		plat_objects_forget();
		nanosleep(&moment, NULL);
	}
	stop = 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("%lu lookups\n", right);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_gt(right, 1000);
}
END_TEST

static Suite *objects_suite(void)
{
	Suite *suite = suite_create("objects");
	TCase *c = tcase_create("objects");
	tcase_add_checked_fixture(c, setup, NULL);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, all_objects_by_libc);
	tcase_add_test(c, all_objects_by_maps);
	tcase_add_test(c, libc_is_asked_where_it_answers);
	tcase_add_test(c, looking_in_vain_says_nothing);
	tcase_add_test(c, vdso_is_an_object);
	tcase_add_test(c, nothing_else_is_one);
	tcase_add_test(c, build_id_is_the_files);
	tcase_add_test(c, unloaded_objects_are_forgotten);
	tcase_add_test(c, threads_look_while_others_forget);
	suite_add_tcase(suite, c);
	return suite;
}

int main(void)
{
	return run_suite(objects_suite());
}
