/*
 * plat_symbols: functions by the objects' own tables, against dlsym.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plat.h"
#include "room.h"

static void setup(void)
{
	plat_objects_init();
	plat_symbols_init((uintptr_t)&setup);
}

/* What libc's text calls comes from libc; `qsort` from there is what dlsym says. */
START_TEST(in_the_callers_own_object)
{
	uintptr_t inside = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort") + 1;
	const char *names[] = {"qsort", "fopen", "pthread_create", "getenv", "aligned_alloc", "_exit"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_ptr_eq(plat_symbol_linked(names[i], inside), dlsym(RTLD_DEFAULT, names[i]));
	ck_assert_ptr_null(plat_symbol_linked("no_such_function", inside));
	ck_assert_ptr_null(plat_symbol_linked("qsort", 4096)); /* no object there */
}
END_TEST

/* libelf is linked with zlib, and only it can see that one. */
START_TEST(in_what_the_caller_is_linked_with)
{
	void *library = dlopen("libelf.so.1", RTLD_NOW | RTLD_LOCAL);
	ck_assert_ptr_nonnull(library);
	uintptr_t inside = (uintptr_t)dlsym(library, "elf_begin") + 1;
	ck_assert_ptr_null(dlsym(RTLD_DEFAULT, "elf_begin"));
	ck_assert_ptr_nonnull(dlsym(library, "inflate"));
	ck_assert_ptr_eq(plat_symbol_linked("inflate", inside), dlsym(library, "inflate"));
	ck_assert_ptr_eq(plat_symbol_linked("qsort", inside), dlsym(library, "qsort"));
	ck_assert_ptr_null(plat_symbol_linked("inflate", (uintptr_t)dlsym(library, "qsort") + 1)); /* libc is not */
	dlclose(library);
}
END_TEST

/* Two versions of one name: what is linked today, as dlsym says. */
START_TEST(the_default_version)
{
	uintptr_t inside = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort") + 1;
	ck_assert_ptr_ne(dlvsym(RTLD_DEFAULT, "posix_spawn", "GLIBC_2.2.5"), dlsym(RTLD_DEFAULT, "posix_spawn"));
	ck_assert_ptr_eq(plat_symbol_linked("posix_spawn", inside), dlsym(RTLD_DEFAULT, "posix_spawn"));
	ck_assert_ptr_eq(plat_symbol_linked("fclose", inside), dlsym(RTLD_DEFAULT, "fclose"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("names");
	TCase *tests = tcase_create("all");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, in_the_callers_own_object);
	tcase_add_test(tests, in_what_the_caller_is_linked_with);
	tcase_add_test(tests, the_default_version);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
