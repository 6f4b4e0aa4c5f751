/* jvm_spill: the room that a barrier frees behind a call of C is found whatever it loads before, and nothing else is one. */
#include <sys/mman.h>

#include <check.h>
#include <string.h>

#include "lang/jvm_spill.h"
#include "run.h"

enum { PAGE = 4096 };

static uint8_t *page; /* what is behind it cannot be read */

static void setup(void)
{
	page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(page != MAP_FAILED);
	ck_assert_int_eq(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
}

static uintptr_t spilled(const void *code, size_t bytes)
{
	memset(page, 0x90, PAGE);
	memcpy(page, code, bytes);
	return jvm_spilled((uintptr_t)page, (uintptr_t)page + PAGE);
}
#define SPILLED(code) spilled(code, sizeof(code) - 1)

#define FREE_48 "\x48\x83\xc4\x30"
#define FREE_320 "\x48\x81\xc4\x40\x01\0\0"
#define JUMP "\xe9\x10\0\0\0"
#define SHORT_JUMP "\xeb\xf0"

START_TEST(what_is_freed_before_a_jump)
{
	ck_assert_uint_eq(SPILLED(FREE_48 JUMP), 48);
	ck_assert_uint_eq(SPILLED(FREE_48 SHORT_JUMP), 48);
	ck_assert_uint_eq(SPILLED(FREE_320 JUMP), 320);
}
END_TEST

/* As the assembler writes them: the comment says what. */
static const struct {
	const char *code;
	size_t bytes;
} loads[] = {
#define LOADS(code) {code FREE_48 JUMP, sizeof(code FREE_48 JUMP) - 1}
	LOADS("\x48\x8b\x04\x24"),                 /* mov rax, [rsp] */
	LOADS("\x4c\x8b\x5c\x24\x20"),             /* mov r11, [rsp + 32] */
	LOADS("\x48\x8b\x8c\x24\x80\0\0\0"),       /* mov rcx, [rsp + 128] */
	LOADS("\x49\x8b\xd0"),                     /* mov rdx, r8 */
	LOADS("\x4c\x89\xc2"),                     /* mov rdx, r8, the other way to say it */
	LOADS("\xf2\x0f\x10\x44\x24\x08"),         /* movsd xmm0, [rsp + 8] */
	LOADS("\xf2\x44\x0f\x10\x44\x24\x08"),     /* movsd xmm8, [rsp + 8] */
	LOADS("\xf3\x0f\x6f\x84\x24\0\x01\0\0"),   /* movdqu xmm0, [rsp + 256] */
	LOADS("\xc5\xfb\x10\x4c\x24\x10"),         /* vmovsd xmm1, [rsp + 16] */
	LOADS("\xc5\xfe\x6f\x54\x24\x20"),         /* vmovdqu ymm2, [rsp + 32] */
	LOADS("\x62\xf1\xfe\x48\x6f\x44\x24\x01"), /* vmovdqu64 zmm0, [rsp + 64] */
	LOADS("\xc4\xe1\xf8\x90\x4c\x24\x08"),     /* kmovq k1, [rsp + 8] */
	LOADS("\xc5\xf8\x77"),                     /* vzeroupper */
	LOADS("\xc4\xe1\xf8\x90\x0c\x24\x4c\x8b\x5c\x24\x20\x48\x8b\x44\x24\x28\xc5\xf8\x77\xc5\xfb\x10\x4c\x24\x10"),
};

START_TEST(whatever_is_loaded_before)
{
	ck_assert_uint_eq(spilled(loads[_i].code, loads[_i].bytes), 48);
}
END_TEST

START_TEST(what_is_none)
{
	ck_assert_uint_eq(SPILLED(FREE_48 "\x5d\xc3"), 0);                     /* an epilogue: pop rbp; ret */
	ck_assert_uint_eq(SPILLED(FREE_48 "\x5d" JUMP), 0);                    /* and one that calls last */
	ck_assert_uint_eq(SPILLED("\x48\x83\xc4\x2c" JUMP), 0);                /* no words */
	ck_assert_uint_eq(SPILLED("\x48\x83\xc4\xd0" JUMP), 0);                /* less than nothing */
	ck_assert_uint_eq(SPILLED("\x48\x81\xc4\xd0\xff\xff\xff" JUMP), 0);    /* the same */
	ck_assert_uint_eq(SPILLED("\x48\x81\xc4\0\0\0\0" JUMP), 0);            /* nothing */
	ck_assert_uint_eq(SPILLED("\x48\x83\xc5\x30" JUMP), 0);                /* add rbp */
	ck_assert_uint_eq(SPILLED("\x48\x8b\x44\x25\x08" FREE_48 JUMP), 0);    /* mov rax, [rbp + 8] */
	ck_assert_uint_eq(SPILLED("\x48\x89\x44\x24\x08" FREE_48 JUMP), 0);    /* mov [rsp + 8], rax */
	ck_assert_uint_eq(SPILLED("\x48\x8b\x43\x08" FREE_48 JUMP), 0);        /* mov rax, [rbx + 8] */
	ck_assert_uint_eq(SPILLED("\xe8\0\0\0\0" FREE_48 JUMP), 0);            /* call */
	ck_assert_uint_eq(SPILLED(JUMP), 0);
}
END_TEST

START_TEST(nothing_behind_the_code_is_read)
{
	static const char code[] = "\x48\x8b\x04\x24\x48\x8b\x04\x24\x48\x8b\x04\x24" FREE_320 JUMP;
	uint8_t *end = page + PAGE;
	memset(page, 0x90, PAGE);
	for (size_t i = 0; i + 4 <= PAGE; i += 4)
		memcpy(page + i, code, 4);
	ck_assert_uint_eq(jvm_spilled((uintptr_t)page, (uintptr_t)end), 0);
	for (size_t left = 0; left < sizeof code; left++) {
		memcpy(end - left, code, left);
		ck_assert_uint_eq(jvm_spilled((uintptr_t)(end - left), (uintptr_t)end), 0);
	}
	ck_assert_uint_eq(jvm_spilled((uintptr_t)end, (uintptr_t)end), 0);
	ck_assert_uint_eq(jvm_spilled((uintptr_t)end + 8, (uintptr_t)end), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("jvm_spill");
	TCase *c = tcase_create("jvm_spill");
	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, what_is_freed_before_a_jump);
	tcase_add_loop_test(c, whatever_is_loaded_before, 0, sizeof loads / sizeof loads[0]);
	tcase_add_test(c, what_is_none);
	tcase_add_test(c, nothing_behind_the_code_is_read);
	suite_add_tcase(s, c);
	return run_suite(s);
}
