/*
 * unwind tables: .eh_frame in every encoding we claim, rows by every instruction, expressions by every operation, the
 * whole of libc against readelf, and damaged tables, which may only ever end in CFI_BROKEN.
 */
#include <check.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "plat.h"
#include "run.h"
#include "unwind/cfi.h"
#include "unwind/expression.h"

/* ---- a small assembler for tables ---- */

static uint8_t image[4096] __attribute__((aligned(16)));
static size_t image_used;

static void put(const void *bytes, size_t count)
{
	ck_assert_uint_le(image_used + count, sizeof image);
	memcpy(image + image_used, bytes, count);
	image_used += count;
}

static void put_int(uint64_t value, size_t bytes)
{
	put(&value, bytes);
}

enum { ABS = 0x00, ULEB = 0x01, U2 = 0x02, U4 = 0x03, U8 = 0x04, SLEB = 0x09, S2 = 0x0a, S4 = 0x0b, S8 = 0x0c,
       PCREL = 0x10, DATAREL = 0x30, OMIT = 0xff };

/* Where the imaginary code is: next to the image, so that 2-byte relative encodings reach it. */
static uintptr_t code_at;
static uintptr_t header_at;

static void put_pointer(uint8_t encoding, uintptr_t value)
{
	static const size_t size[16] = { 8, 0, 2, 4, 8, 0, 0, 0, 0, 0, 2, 4, 8 };
	if ((encoding & 0x70) == PCREL)
		value -= (uintptr_t)image + image_used;
	else if ((encoding & 0x70) == DATAREL)
		value -= header_at;
	if ((encoding & 0x0f) == ULEB || (encoding & 0x0f) == SLEB) {
		for (int i = 0; i < 9; i++) /* padded to nine bytes, which is legal */
			put_int((value >> (7 * i) & 0x7f) | 0x80, 1);
		put_int(value >> 63, 1);
	} else {
		put_int(value, size[encoding & 0x0f]);
	}
}

struct shape {
	uint8_t version;
	const char *augmentation;
	uint8_t encoding; /* of pc in FDEs */
	bool wide;        /* 64-bit length */
	const char *cie_code;
	size_t cie_code_bytes;
};

static size_t open_entry(bool wide)
{
	if (wide)
		put_int(0xffffffff, 4);
	size_t at = image_used;
	put_int(0, wide ? 8 : 4);
	return at;
}

static void close_entry(size_t at, bool wide)
{
	uint64_t length = image_used - at - (wide ? 8 : 4);
	memcpy(image + at, &length, wide ? 8 : 4);
}

static void put_augmentation(const struct shape *s)
{
	uint8_t data[32];
	size_t used = 0;
	for (const char *c = s->augmentation + 1; *c; c++) {
		if (*c == 'R')
			data[used++] = s->encoding;
		if (*c == 'L')
			data[used++] = S4 | PCREL;
		if (*c == 'P') {
			data[used++] = 0x80 | PCREL | S4; /* indirect, as compilers have it */
			memset(data + used, 1, 4);
			used += 4;
		}
	}
	put_int(used, 1);
	put(data, used);
}

static size_t put_cie(const struct shape *s)
{
	size_t at = image_used, entry = open_entry(s->wide);
	put_int(0, 4);
	put_int(s->version, 1);
	put(s->augmentation, strlen(s->augmentation) + 1);
	if (s->version == 4)
		put_int(8, 2); /* address size 8, segment size 0 */
	put_int(1, 1);     /* code alignment */
	put_int(0x78, 1);  /* data alignment -8 */
	put_int(16, 1);    /* return address */
	if (s->augmentation[0] == 'z')
		put_augmentation(s);
	put(s->cie_code, s->cie_code_bytes);
	close_entry(entry, s->wide);
	return at;
}

static size_t put_fde(const struct shape *s, size_t cie, uintptr_t low, uintptr_t size, const void *code, size_t bytes)
{
	size_t at = image_used, entry = open_entry(s->wide);
	put_int(image_used - cie, 4);
	put_pointer(s->encoding, low);
	put_pointer(s->encoding & 0x0f, size);
	if (s->augmentation[0] == 'z')
		put_int(0, 1);
	put(code, bytes);
	close_entry(entry, s->wide);
	return at;
}

static struct cfi_tables tables_of_image(void)
{
	uintptr_t low = (uintptr_t)image, high = low + image_used;
	return (struct cfi_tables){ header_at, { low, high }, { low, high } };
}

/* Header first, with room for `count` rows of `encoding`; rows are put by the caller. */
static size_t put_header(uint8_t frames, uint8_t count_encoding, uint8_t encoding, uint64_t count, size_t rows_bytes)
{
	image_used = 0;
	memset(image, 0, sizeof image);
	header_at = (uintptr_t)image;
	put_int(1, 1);
	put_int(frames, 1);
	put_int(count_encoding, 1);
	put_int(encoding, 1);
	size_t frames_at = image_used;
	put_pointer(frames, (uintptr_t)image); /* patched by end_header */
	if (count_encoding != OMIT)
		put_pointer(count_encoding, count);
	image_used += rows_bytes;
	while (image_used % 8)
		image_used++;
	return frames_at;
}

static void patch_pointer(size_t at, uint8_t encoding, uintptr_t value)
{
	size_t used = image_used;
	image_used = at;
	put_pointer(encoding, value);
	image_used = used;
}

static const char plain_cie[] = { 0x0c, 7, 8, (char)0x90, 1 }; /* def_cfa rsp+8; offset ra at cfa-8 */

/* One function of 0x100 bytes at code_at, with a table of one row. */
static struct cfi_tables one_function(const struct shape *s, uint8_t header_encoding, const void *code, size_t bytes)
{
	code_at = (uintptr_t)image + 0x2000;
	size_t row_size = (header_encoding & 7) == U4 ? 4 : (header_encoding & 7) == U2 ? 2 : 8;
	size_t frames_at = put_header(PCREL | S4, U4, header_encoding, 1, 2 * row_size);
	size_t row_at = frames_at + 8;
	size_t cie = put_cie(s);
	size_t fde = put_fde(s, cie, code_at, 0x100, code, bytes);
	put_int(0, 4);
	patch_pointer(frames_at, PCREL | S4, (uintptr_t)image + cie);
	patch_pointer(row_at, header_encoding, code_at);
	patch_pointer(row_at + row_size, header_encoding, (uintptr_t)image + fde);
	return tables_of_image();
}

#define PLAIN { 1, "zR", PCREL | S4, false, plain_cie, sizeof plain_cie }
static const struct shape plain_shape = PLAIN;

/* push rbp; rbp is the frame; a row from offset 4 on. */
static const uint8_t frame_code[] = { 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6 };

static void expect_frame_rows(const struct cfi_tables *t)
{
	struct cfi_row row;
	ck_assert_int_eq(cfi_row_at(t, code_at - 1, &row), CFI_NOT_COVERED);
	ck_assert_int_eq(cfi_row_at(t, code_at, &row), CFI_FOUND);
	ck_assert_int_eq(row.cfa_register, 7);
	ck_assert_int_eq(row.cfa_offset, 8);
	ck_assert_int_eq(row.kind[6], CFI_UNSPECIFIED);
	ck_assert_uint_eq(rule_from_row(t, &row), rule_make(RULE_SP, 8, RULE_NOT_SAVED));
	ck_assert_int_eq(cfi_row_at(t, code_at + 3, &row), CFI_FOUND);
	ck_assert_uint_eq(rule_from_row(t, &row), rule_make(RULE_SP, 16, 16));
	ck_assert_int_eq(cfi_row_at(t, code_at + 0xff, &row), CFI_FOUND);
	ck_assert_int_eq(row.cfa_register, 6);
	ck_assert_int_eq(row.value[6], -16);
	ck_assert_int_eq(row.value[16], -8);
	ck_assert_uint_eq(row.function, code_at);
	ck_assert_uint_eq(rule_from_row(t, &row), rule_make(RULE_FP, 16, 16));
	ck_assert_int_eq(cfi_row_at(t, code_at + 0x100, &row), CFI_NOT_COVERED);
}

START_TEST(every_encoding_of_functions)
{
	static const uint8_t encodings[] = {
		ABS, U8, S8, SLEB, ULEB, PCREL | S4, PCREL | S8, PCREL | U8, PCREL | ABS, PCREL | U2, PCREL | S2, PCREL | SLEB,
		DATAREL | S4, DATAREL | U4, DATAREL | S2, DATAREL | U2, DATAREL | U8, DATAREL | ULEB,
	};
	for (size_t i = 0; i < sizeof encodings; i++) {
		struct shape s = PLAIN;
		s.encoding = encodings[i];
		struct cfi_tables t = one_function(&s, DATAREL | S4, frame_code, sizeof frame_code);
		expect_frame_rows(&t);
	}
}
END_TEST

START_TEST(every_encoding_of_the_sorted_table)
{
	static const uint8_t encodings[] = {
		DATAREL | S4, DATAREL | U4, PCREL | S4, ABS, U8, DATAREL | S8, PCREL | S8, DATAREL | S2,
	};
	for (size_t i = 0; i < sizeof encodings; i++) {
		struct cfi_tables t = one_function(&plain_shape, encodings[i], frame_code, sizeof frame_code);
		expect_frame_rows(&t);
	}
}
END_TEST

START_TEST(every_version_augmentation_and_length)
{
	static const struct shape shapes[] = {
		{ 3, "zR", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 4, "zR", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zPLR", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zRS", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zRB", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "", ABS, false, plain_cie, sizeof plain_cie },
		{ 1, "zR", PCREL | S4, true, plain_cie, sizeof plain_cie },
		{ 3, "z", ABS, true, plain_cie, sizeof plain_cie },
	};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct cfi_row row;
		struct cfi_tables t = one_function(&shapes[i], DATAREL | S4, frame_code, sizeof frame_code);
		ck_assert_int_eq(cfi_row_at(&t, code_at + 0x20, &row), CFI_FOUND);
		bool signal = strchr(shapes[i].augmentation, 'S') != NULL;
		ck_assert_int_eq(row.signal, signal);
		ck_assert_uint_eq(rule_kind(rule_from_row(&t, &row)), signal ? RULE_FULL : RULE_FP);
	}
}
END_TEST

START_TEST(what_is_not_understood_is_broken)
{
	static const struct shape shapes[] = {
		{ 2, "zR", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 5, "zR", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zRX", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "eh", PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zR", 0x80 | PCREL | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zR", 0x20 | S4, false, plain_cie, sizeof plain_cie },
		{ 1, "zR", PCREL | S4, false, "\x3f", 1 },
		{ 1, "zR", PCREL | S4, false, "\x0c\x20\x08", 3 }, /* CFA in register 32 */
	};
	struct cfi_row row;
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct cfi_tables t = one_function(&shapes[i], DATAREL | S4, frame_code, sizeof frame_code);
		ck_assert_msg(cfi_row_at(&t, code_at + 4, &row) == CFI_BROKEN, "shape %zu", i);
	}
}
END_TEST

/* No table, or one that is cut: .eh_frame is read from its beginning. */
START_TEST(without_a_sorted_table)
{
	static const uint8_t headers[][2] = { { OMIT, OMIT }, { U4, OMIT }, { OMIT, DATAREL | S4 }, { U4, DATAREL | S4 } };
	for (size_t i = 0; i < 4; i++) {
		code_at = (uintptr_t)image + 0x2000;
		size_t frames_at = put_header(PCREL | S4, headers[i][0], headers[i][1], 1000000, 0);
		size_t cie = put_cie(&plain_shape);
		put_fde(&plain_shape, cie, code_at + 0x500, 0x100, "", 0);
		size_t second = put_cie(&plain_shape);
		put_fde(&plain_shape, second, code_at, 0x100, frame_code, sizeof frame_code);
		put_int(0, 4);
		patch_pointer(frames_at, PCREL | S4, (uintptr_t)image + cie);
		struct cfi_tables t = tables_of_image();
		expect_frame_rows(&t);
	}
}
END_TEST

START_TEST(many_functions_are_searched)
{
	enum { COUNT = 60 };
	code_at = (uintptr_t)image + 0x2000;
	size_t frames_at = put_header(PCREL | S4, U4, DATAREL | S4, COUNT, COUNT * 8), rows = frames_at + 8, fdes[COUNT];
	size_t cie = put_cie(&plain_shape);
	for (int i = 0; i < COUNT; i++) {
		uint8_t code[] = { 0x0e, (uint8_t)(0x80 | ((8 + 8 * i) & 0x7f)), (uint8_t)((8 + 8 * i) >> 7) };
		fdes[i] = put_fde(&plain_shape, cie, code_at + 32 * i, 24, code, sizeof code); /* 8 bytes of nothing between */
	}
	patch_pointer(frames_at, PCREL | S4, (uintptr_t)image + cie);
	for (int i = 0; i < COUNT; i++) {
		patch_pointer(rows + 8 * i, DATAREL | S4, code_at + 32 * i);
		patch_pointer(rows + 8 * i + 4, DATAREL | S4, (uintptr_t)image + fdes[i]);
	}
	struct cfi_tables t = tables_of_image();
	for (int at = 0; at < COUNT * 32; at++) {
		struct cfi_row row;
		enum cfi_end end = cfi_row_at(&t, code_at + at, &row);
		ck_assert_int_eq(end, at % 32 < 24 ? CFI_FOUND : CFI_NOT_COVERED);
		if (end == CFI_FOUND)
			ck_assert_int_eq(row.cfa_offset, 8 + 8 * (at / 32));
	}
}
END_TEST

/* ---- instructions ---- */

static struct cfi_row row_after(const void *code, size_t bytes, uintptr_t offset)
{
	struct cfi_row row;
	struct cfi_tables t = one_function(&plain_shape, DATAREL | S4, code, bytes);
	ck_assert_int_eq(cfi_row_at(&t, code_at + offset, &row), CFI_FOUND);
	return row;
}

#define ROW(offset, ...) row_after((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), offset)

START_TEST(instructions)
{
	struct cfi_row r;
	r = ROW(0, 0x05, 3, 4); /* offset_extended */
	ck_assert_int_eq(r.kind[3], CFI_OFFSET);
	ck_assert_int_eq(r.value[3], -32);
	r = ROW(0, 0x11, 12, 0x7e); /* offset_extended_sf -2 */
	ck_assert_int_eq(r.value[12], 16);
	r = ROW(0, 0x2f, 12, 2); /* GNU_negative_offset_extended */
	ck_assert_int_eq(r.value[12], 16);
	r = ROW(0, 0x07, 16); /* undefined */
	ck_assert_int_eq(r.kind[16], CFI_UNDEFINED);
	r = ROW(0, 0x86, 2, 0x08, 6); /* offset; same_value */
	ck_assert_int_eq(r.kind[6], CFI_SAME);
	r = ROW(0, 0x09, 3, 12); /* register */
	ck_assert_int_eq(r.kind[3], CFI_REGISTER);
	ck_assert_int_eq(r.value[3], 12);
	r = ROW(0, 0x14, 3, 2); /* val_offset */
	ck_assert_int_eq(r.kind[3], CFI_VAL_OFFSET);
	ck_assert_int_eq(r.value[3], -16);
	r = ROW(0, 0x15, 3, 0x7e); /* val_offset_sf */
	ck_assert_int_eq(r.value[3], 16);
	r = ROW(0, 0x10, 6, 2, 0x76, 0); /* expression */
	ck_assert_int_eq(r.kind[6], CFI_EXPRESSION);
	r = ROW(0, 0x16, 6, 2, 0x76, 0); /* val_expression */
	ck_assert_int_eq(r.kind[6], CFI_VAL_EXPRESSION);
	r = ROW(0, 0x0f, 3, 0x76, 0x78, 0x06); /* def_cfa_expression */
	ck_assert_uint_ne(r.cfa_block, 0);
	r = ROW(0, 0x0f, 3, 0x76, 0x78, 0x06, 0x0c, 7, 24); /* and back */
	ck_assert_uint_eq(r.cfa_block, 0);
	ck_assert_int_eq(r.cfa_offset, 24);
	r = ROW(0, 0x12, 6, 0x7e); /* def_cfa_sf */
	ck_assert_int_eq(r.cfa_register, 6);
	ck_assert_int_eq(r.cfa_offset, 16);
	r = ROW(0, 0x13, 0x7c); /* def_cfa_offset_sf */
	ck_assert_int_eq(r.cfa_offset, 32);
	r = ROW(0, 0x0d, 3); /* def_cfa_register keeps the offset */
	ck_assert_int_eq(r.cfa_register, 3);
	ck_assert_int_eq(r.cfa_offset, 8);
	r = ROW(0, 0x2e, 16, 0x0e, 40, 0x00, 0x00); /* GNU_args_size, nop */
	ck_assert_int_eq(r.cfa_offset, 40);
	r = ROW(0, 0x05, 40, 4); /* a vector register: of no interest */
	ck_assert_int_eq(r.cfa_offset, 8);
}
END_TEST

START_TEST(locations)
{
	static const uint8_t code[] = {
		0x41, 0x0e, 16,             /* advance 1 */
		0x02, 9, 0x0e, 24,          /* advance_loc1 9: at 10 */
		0x03, 20, 0, 0x0e, 32,      /* advance_loc2 20: at 30 */
		0x04, 70, 0, 0, 0, 0x0e, 40 /* advance_loc4 70: at 100 */
	};
	static const struct { uintptr_t at; int64_t offset; } rows[] = {
		{ 0, 8 }, { 1, 16 }, { 9, 16 }, { 10, 24 }, { 29, 24 }, { 30, 32 }, { 99, 32 }, { 100, 40 }, { 255, 40 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_int_eq(row_after(code, sizeof code, rows[i].at).cfa_offset, rows[i].offset);
	struct shape s = PLAIN;
	s.encoding = ABS;
	uint8_t set[12] = { 0x01 };
	code_at = (uintptr_t)image + 0x2000;
	uintptr_t where = code_at + 50;
	memcpy(set + 1, &where, 8);
	set[9] = 0x0e, set[10] = 48;
	struct cfi_tables t = one_function(&s, DATAREL | S4, set, 11);
	struct cfi_row row;
	ck_assert_int_eq(cfi_row_at(&t, code_at + 49, &row), CFI_FOUND);
	ck_assert_int_eq(row.cfa_offset, 8);
	ck_assert_int_eq(cfi_row_at(&t, code_at + 50, &row), CFI_FOUND);
	ck_assert_int_eq(row.cfa_offset, 48);
}
END_TEST

START_TEST(remembered_and_restored)
{
	static const uint8_t code[] = {
		0x41, 0x0e, 16, 0x86, 2, 0x0a,       /* push; remember */
		0x41, 0x0e, 24, 0x83, 3, 0x0a,       /* nested */
		0x41, 0x0e, 8, 0xc6, 0x06, 3,        /* epilogue: restore rbp, restore_extended rbx */
		0x41, 0x0b, 0x41, 0x0b,              /* both back */
	};
	ck_assert_int_eq(row_after(code, sizeof code, 3).cfa_offset, 8);
	ck_assert_int_eq(row_after(code, sizeof code, 3).kind[6], CFI_UNSPECIFIED);
	ck_assert_int_eq(row_after(code, sizeof code, 3).kind[3], CFI_UNSPECIFIED);
	ck_assert_int_eq(row_after(code, sizeof code, 4).cfa_offset, 24);
	ck_assert_int_eq(row_after(code, sizeof code, 4).value[3], -24);
	ck_assert_int_eq(row_after(code, sizeof code, 5).cfa_offset, 16);
	ck_assert_int_eq(row_after(code, sizeof code, 5).kind[3], CFI_UNSPECIFIED);
	ck_assert_int_eq(row_after(code, sizeof code, 5).kind[6], CFI_OFFSET);
	uint8_t deep[20];
	struct cfi_row row;
	memset(deep, 0x0a, sizeof deep);
	struct cfi_tables t = one_function(&plain_shape, DATAREL | S4, deep, sizeof deep);
	ck_assert_int_eq(cfi_row_at(&t, code_at, &row), CFI_BROKEN); /* deeper than anyone nests */
	t = one_function(&plain_shape, DATAREL | S4, deep, 3);
	ck_assert_int_eq(cfi_row_at(&t, code_at, &row), CFI_FOUND); /* three times as deep as compilers nest */
	t = one_function(&plain_shape, DATAREL | S4, "\x0b", 1);
	ck_assert_int_eq(cfi_row_at(&t, code_at, &row), CFI_BROKEN); /* nothing remembered */
}
END_TEST

/* ---- packed rules ---- */

static uint32_t packed(const void *code, size_t bytes)
{
	struct cfi_row row;
	struct cfi_tables t = one_function(&plain_shape, DATAREL | S4, code, bytes);
	ck_assert_int_eq(cfi_row_at(&t, code_at, &row), CFI_FOUND);
	return rule_from_row(&t, &row);
}

#define RULE(...) packed((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

START_TEST(rules_pack)
{
	ck_assert_uint_eq(RULE(0x0e, 0x80, 1), rule_make(RULE_SP, 128, RULE_NOT_SAVED));
	ck_assert_uint_eq(RULE(0x0e, 56, 0x86, 7), rule_make(RULE_SP, 56, 56));
	ck_assert_uint_eq(RULE(0x0c, 6, 16, 0x86, 2), rule_make(RULE_FP, 16, 16));
	ck_assert_uint_eq(RULE(0x0f, 3, 0x76, 0x70, 0x06, 0x10, 6, 2, 0x76, 0),
	                  rule_make(RULE_REALIGNED, -16, RULE_NOT_SAVED));
	ck_assert_uint_eq(rule_kind(RULE(0x07, 16)), RULE_OUTERMOST);
	ck_assert_uint_eq(RULE(0x0e, 12), RULE_FULL);                                     /* not a multiple of 8 */
	ck_assert_uint_eq(RULE(0x0e, 0x80, 0x80, 0x80, 4), RULE_FULL);                    /* 8 MiB */
	ck_assert_uint_eq(rule_kind(RULE(0x0e, 0xf8, 0xff, 0xff, 3)), RULE_SP);           /* just below */
	ck_assert_uint_eq(rule_offset(RULE(0x0e, 0xf8, 0xff, 0xff, 3)), 0x7ffff8);
	ck_assert_uint_eq(RULE(0x0c, 3, 16), RULE_FULL);                                  /* CFA in rbx */
	ck_assert_uint_eq(RULE(0x86, 1), RULE_FULL);                                      /* rbp over the return address */
	ck_assert_uint_eq(RULE(0x0e, 16, 0x86, 0x80, 2), RULE_FULL);                      /* rbp 2 KiB below */
	ck_assert_uint_eq(RULE(0x09, 6, 3), RULE_FULL);                                   /* rbp in rbx */
	ck_assert_uint_eq(RULE(0x90, 2), RULE_FULL);                                      /* return address elsewhere */
	ck_assert_uint_eq(RULE(0x0f, 2, 0x77, 8), RULE_FULL);                             /* some expression */
	ck_assert_uint_eq(RULE(0x87, 2), RULE_FULL);                                      /* rsp saved */
}
END_TEST

/* ---- expressions ---- */

static uintptr_t words[4] = { 0x1122334455667788, 5, 6, 7 };

static enum expression_end run(const void *code, size_t bytes, const uintptr_t *first, uintptr_t *result)
{
	struct registers regs = { .r = { [3] = 1000, [7] = (uintptr_t)words, [16] = 0x401234 } };
	struct unwind_bounds bounds = { (uintptr_t)words, (uintptr_t)(words + 4) };
	struct memory memory;
	memory_init(&memory, &bounds, (uintptr_t)words);
	return expression_run(bytes_of((uintptr_t)code, (uintptr_t)code + bytes), &regs, first, &memory, result);
}

static uintptr_t value_of(const void *code, size_t bytes)
{
	uintptr_t result = 0;
	ck_assert_int_eq(run(code, bytes, NULL, &result), EXPRESSION_OK);
	return result;
}

static enum expression_end end_of(const void *code, size_t bytes)
{
	uintptr_t result;
	return run(code, bytes, NULL, &result);
}

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define VALUE(expected, ...) ck_assert_uint_eq(value_of(BYTES(__VA_ARGS__)), (uintptr_t)(expected))
#define ENDS(expected, ...) ck_assert_int_eq(end_of(BYTES(__VA_ARGS__)), expected)

START_TEST(expression_operations)
{
	VALUE(0, 0x30);
	VALUE(31, 0x4f);
	VALUE(0x12, 0x08, 0x12);
	VALUE(-2, 0x09, 0xfe);
	VALUE(0xfffe, 0x0a, 0xfe, 0xff);
	VALUE(-2, 0x0b, 0xfe, 0xff);
	VALUE(0xfffffffe, 0x0c, 0xfe, 0xff, 0xff, 0xff);
	VALUE(-2, 0x0d, 0xfe, 0xff, 0xff, 0xff);
	VALUE(-2, 0x0e, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
	VALUE(-2, 0x0f, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
	VALUE(0x1234, 0x03, 0x34, 0x12, 0, 0, 0, 0, 0, 0);
	VALUE(300, 0x10, 0xac, 2);
	VALUE(-300, 0x11, 0xd4, 0x7d);
	VALUE(1001, 0x73, 1);                 /* breg3 + 1 */
	VALUE(0x401230, 0x80, 0x7c);          /* breg16 - 4 */
	VALUE(1001, 0x92, 3, 1);              /* bregx */
	VALUE(words[0], 0x77, 0, 0x06);       /* deref */
	VALUE(0x88, 0x77, 0, 0x94, 1);        /* deref_size */
	VALUE(0x55667788, 0x77, 0, 0x94, 4);
	VALUE(0x1122, 0x77, 6, 0x94, 2);
	VALUE(10, 0x35, 0x12, 0x22);          /* 5 dup plus */
	VALUE(5, 0x35, 0x36, 0x13);           /* drop */
	VALUE(5, 0x35, 0x36, 0x14);           /* over */
	VALUE(4, 0x34, 0x35, 0x36, 0x15, 2);  /* pick */
	VALUE(1, 0x35, 0x36, 0x16, 0x1c);     /* swap minus: 6 - 5 */
	VALUE(2, 0x31, 0x32, 0x33, 0x17);     /* rot: 3 1 2 */
	VALUE(1, 0x31, 0x32, 0x33, 0x17, 0x13);
	VALUE(3, 0x31, 0x32, 0x33, 0x17, 0x13, 0x13);
	VALUE(2, 0x09, 0xfe, 0x19);           /* abs */
	VALUE(4, 0x36, 0x34, 0x1a);           /* and */
	VALUE(-3, 0x09, 0xfa, 0x32, 0x1b);    /* div, signed */
	VALUE(1, 0x36, 0x35, 0x1c);
	VALUE(2, 0x38, 0x33, 0x1d);           /* mod */
	VALUE(12, 0x34, 0x33, 0x1e);
	VALUE(-3, 0x33, 0x1f);                /* neg */
	VALUE(~(uintptr_t)3, 0x33, 0x20);     /* not */
	VALUE(7, 0x36, 0x35, 0x21);
	VALUE(11, 0x36, 0x35, 0x22);
	VALUE(306, 0x36, 0x23, 0xac, 2);      /* plus_uconst */
	VALUE(48, 0x36, 0x33, 0x24);          /* shl */
	VALUE(0, 0x36, 0x08, 64, 0x24);
	VALUE(0x7fffffffffffffff, 0x09, 0xff, 0x31, 0x25);
	VALUE(-1, 0x09, 0xff, 0x31, 0x26);    /* shra */
	VALUE(-1, 0x09, 0xff, 0x08, 200, 0x26);
	VALUE(3, 0x36, 0x35, 0x27);
	VALUE(1, 0x35, 0x35, 0x29);           /* eq ge gt le lt ne, signed */
	VALUE(0, 0x09, 0xff, 0x35, 0x2a);
	VALUE(1, 0x35, 0x09, 0xff, 0x2b);
	VALUE(1, 0x09, 0xff, 0x35, 0x2c);
	VALUE(0, 0x35, 0x35, 0x2d);
	VALUE(1, 0x36, 0x35, 0x2e);
	VALUE(5, 0x35, 0x2f, 1, 0, 0x36);     /* skip over one */
	VALUE(7, 0x31, 0x28, 1, 0, 0x36, 0x37); /* bra taken */
	VALUE(13, 0x36, 0x30, 0x28, 1, 0, 0x36, 0x37, 0x22); /* not taken: 6 6 7 */
	VALUE(9, 0x96, 0x39);                 /* nop */
	VALUE(0, 0x35, 0x31, 0x1c, 0x12, 0x28, 0xfa, 0xff); /* count down: bra backwards */
}
END_TEST

START_TEST(expression_of_plt_entries)
{
	/* rsp + 8 + ((rip & 15) >= 11) << 3, as linkers write it */
	static const uint8_t code[] = { 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22 };
	ck_assert_uint_eq(value_of(code, sizeof code), (uintptr_t)words + 8);
	uintptr_t result;
	struct registers regs = { .r = { [7] = 4096, [16] = 0x40102b } };
	struct unwind_bounds none = { 0, 0 };
	struct memory memory;
	memory_init(&memory, &none, 0);
	struct bytes b = bytes_of((uintptr_t)code, (uintptr_t)code + sizeof code);
	ck_assert_int_eq(expression_run(b, &regs, NULL, &memory, &result), EXPRESSION_OK);
	ck_assert_uint_eq(result, 4096 + 16);
}
END_TEST

START_TEST(expression_limits)
{
	uintptr_t result, cfa = 4000;
	uint8_t many[EXPRESSION_STACK + 1];
	ENDS(EXPRESSION_BAD, 0x96);                     /* no result */
	ENDS(EXPRESSION_BAD, 0x22);                     /* nothing to add */
	ENDS(EXPRESSION_BAD, 0x31, 0x15, 1);            /* pick below the stack */
	ENDS(EXPRESSION_BAD, 0xff);                     /* unknown */
	ENDS(EXPRESSION_BAD, 0x31, 0x0c, 1, 2);         /* cut */
	ENDS(EXPRESSION_BAD, 0x10, 0x80);               /* cut number */
	ENDS(EXPRESSION_BAD, 0x2f, 0xfd, 0xff);         /* for ever */
	ENDS(EXPRESSION_BAD, 0x2f, 0xfc, 0xff);         /* before the start */
	ENDS(EXPRESSION_BAD, 0x31, 0x2f, 1, 0);         /* past the end */
	ENDS(EXPRESSION_BAD, 0x36, 0x30, 0x1b);         /* divided by zero */
	ENDS(EXPRESSION_BAD, 0x36, 0x30, 0x1d);
	ENDS(EXPRESSION_BAD, 0x92, 17, 0);              /* no such register */
	ENDS(EXPRESSION_UNREADABLE, 0x31, 0x06);        /* address 1 */
	ENDS(EXPRESSION_UNREADABLE, 0x77, 1, 0x06);     /* unaligned */
	ENDS(EXPRESSION_UNREADABLE, 0x77, 6, 0x94, 4);  /* over two words */
	ENDS(EXPRESSION_UNREADABLE, 0x77, 0, 0x94, 9);
	memset(many, 0x31, sizeof many);
	ck_assert_int_eq(end_of(many, EXPRESSION_STACK), EXPRESSION_OK);
	ck_assert_int_eq(end_of(many, EXPRESSION_STACK + 1), EXPRESSION_BAD);
	ck_assert_int_eq(run(BYTES(0x38, 0x1c), &cfa, &result), EXPRESSION_OK); /* the CFA is pushed first */
	ck_assert_uint_eq(result, 3992);
}
END_TEST

/* ---- real tables ---- */

struct real {
	struct plat_object object;
	struct cfi_tables tables;
	uintptr_t text_low, text_high;
};

static void open_real(struct real *r, void *function)
{
	plat_objects_init();
	ck_assert(plat_find_object((uintptr_t)function, &r->object));
	struct cfi_tables *t = &r->tables;
	t->header = r->object.eh_frame_hdr;
	ck_assert(plat_object_span(&r->object, t->header, &t->header_span.low, &t->header_span.high));
	uintptr_t frames = cfi_frames(&t->header_span, t->header);
	ck_assert(plat_object_span(&r->object, frames, &t->frames_span.low, &t->frames_span.high));
	ck_assert(plat_object_span(&r->object, (uintptr_t)function, &r->text_low, &r->text_high));
}

/* "rsp+8", "rbp+16", "exp" against a row's CFA. */
static bool same_cfa(const struct cfi_row *row, const char *text)
{
	static const char *const names[] = { "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
		                                 "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip" };
	char ours[32];
	if (row->cfa_block)
		return strcmp(text, "exp") == 0;
	snprintf(ours, sizeof ours, "%s%+ld", names[row->cfa_register], (long)row->cfa_offset);
	return strcmp(text, ours) == 0;
}

static bool same_register(const struct cfi_row *row, unsigned reg, const char *text)
{
	switch ((enum cfi_kind)row->kind[reg]) {
	case CFI_UNSPECIFIED:
	case CFI_UNDEFINED: return strcmp(text, "u") == 0;
	case CFI_SAME: return strcmp(text, "s") == 0;
	case CFI_OFFSET: return text[0] == 'c' && atol(text + 1) == row->value[reg];
	case CFI_VAL_OFFSET: return text[0] == 'v' && atol(text + 1) == row->value[reg];
	case CFI_REGISTER: return text[0] == 'r' && reg != 16;
	case CFI_EXPRESSION: return strcmp(text, "exp") == 0;
	case CFI_VAL_EXPRESSION: return strcmp(text, "vexp") == 0;
	}
	return false;
}

/* Every row that readelf prints for the object, asked of us: the CFA, rbp and the return address. */
static unsigned long compare_with_readelf(struct real *r, const char *path)
{
	char command[4200], line[512], words_of_line[20][32], heads[20][32];
	unsigned long rows = 0;
	int columns = 0;
	snprintf(command, sizeof command, "readelf --wide --debug-dump=frames-interp '%s' 2>/dev/null", path);
	FILE *f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f)) {
		int n = 0, used, at = 0;
		while (n < 20 && sscanf(line + at, "%31s%n", words_of_line[n], &used) == 1)
			at += used, n++;
		if (n > 1 && strcmp(words_of_line[0], "LOC") == 0) {
			columns = n;
			memcpy(heads, words_of_line, sizeof heads);
			continue;
		}
		bool is_cie = strstr(line, " CIE ") != NULL, is_fde = strstr(line, " FDE ") != NULL;
		if (is_cie || is_fde || n == 0)
			columns = is_cie ? -1 : is_fde || columns < 0 ? 0 : columns;
		if (columns <= 0 || n != columns || strlen(words_of_line[0]) != 16)
			continue;
		struct cfi_row row;
		uintptr_t pc = r->object.bias + strtoul(words_of_line[0], NULL, 16);
		enum cfi_end end = cfi_row_at(&r->tables, pc, &row);
		if (end != CFI_FOUND && pc == r->object.bias) /* the CIE's own row */
			continue;
		ck_assert_msg(end == CFI_FOUND, "%s: %s", path, line);
		ck_assert_msg(same_cfa(&row, words_of_line[1]), "%s: %s", path, line);
		for (int i = 2; i < columns; i++) {
			if (strcmp(heads[i], "rbp") == 0)
				ck_assert_msg(same_register(&row, 6, words_of_line[i]), "%s: %s", path, line);
			if (strcmp(heads[i], "ra") == 0)
				ck_assert_msg(same_register(&row, 16, words_of_line[i]), "%s: %s", path, line);
		}
		rows++;
	}
	pclose(f);
	return rows;
}

START_TEST(libc_as_readelf_reads_it)
{
	struct real r;
	open_real(&r, dlsym(RTLD_DEFAULT, "qsort"));
	unsigned long rows = compare_with_readelf(&r, r.object.path);
	printf("%lu rows of libc\n", rows);
	ck_assert_uint_gt(rows, 10000);
	open_real(&r, dlsym(RTLD_DEFAULT, "__tls_get_addr"));
	ck_assert_uint_gt(compare_with_readelf(&r, r.object.path), 1000);
}
END_TEST

/* ---- damage ---- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A copy between two pages that cannot be touched, its end at the very end. */
static uint8_t *fenced_copy(uintptr_t low, size_t bytes)
{
	size_t whole = (bytes + 4095) & ~(size_t)4095;
	uint8_t *map = mmap(NULL, whole + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(map != MAP_FAILED);
	mprotect(map + 4096, whole, PROT_READ | PROT_WRITE);
	return memcpy(map + 4096 + whole - bytes, (void *)low, bytes);
}

static void evaluate_all(const struct cfi_tables *t, const struct cfi_row *row)
{
	struct registers regs = { .r = { [7] = (uintptr_t)words, [6] = (uintptr_t)words } };
	struct unwind_bounds bounds = { (uintptr_t)words, (uintptr_t)(words + 4) };
	struct memory memory;
	uintptr_t result;
	memory_init(&memory, &bounds, (uintptr_t)words);
	if (row->cfa_block)
		expression_run(cfi_block(t, row->cfa_block), &regs, NULL, &memory, &result);
	for (unsigned i = 0; i < ARCH_REGISTERS; i++) {
		if (row->kind[i] == CFI_EXPRESSION || row->kind[i] == CFI_VAL_EXPRESSION)
			expression_run(cfi_block(t, (uintptr_t)row->value[i]), &regs, &result, &memory, &result);
	}
}

static unsigned long damaged_ends[3];

static void look_up_many(const struct cfi_tables *t, uintptr_t low, uintptr_t size, int times)
{
	for (int i = 0; i < times; i++) {
		struct cfi_row row;
		enum cfi_end end = cfi_row_at(t, low + random_next() % size, &row);
		damaged_ends[end]++;
		if (end != CFI_FOUND)
			continue;
		rule_from_row(t, &row);
		evaluate_all(t, &row);
	}
}

static void damage(uint8_t *bytes, size_t count)
{
	switch (random_next() % 4) {
	case 0: bytes[random_next() % count] = (uint8_t)random_next(); break;
	case 1: bytes[random_next() % count] ^= (uint8_t)(1u << random_next() % 8); break;
	case 2: bytes[random_next() % count] = 0xff; break;
	default: memset(bytes + random_next() % (count - 8), (int)random_next(), random_next() % 8); break;
	}
}

/* The small image is damaged all over; the lookups see every kind of broken header, CIE, FDE and instruction. */
START_TEST(damaged_small_tables_never_fault)
{
	static const uint8_t code[] = {
		0x41, 0x0e, 16, 0x86, 2, 0x0a, 0x41, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0, 0x43, 0x0b,
	};
	struct shape s = PLAIN;
	s.augmentation = "zPLR";
	one_function(&s, DATAREL | S4, code, sizeof code);
	uint8_t *copy = fenced_copy((uintptr_t)image, image_used);
	for (int i = 0; i < 300000; i++) {
		memcpy(copy, image, image_used);
		for (uint64_t n = random_next() % 4 + 1; n > 0; n--)
			damage(copy, image_used);
		uintptr_t low = (uintptr_t)copy, high = low + image_used;
		struct cfi_tables t = { low, { low, high }, { low, high } };
		look_up_many(&t, low + 0x2000, 0x100, 2);
	}
	for (int i = 0; i < 3; i++)
		ck_assert_uint_gt(damaged_ends[i], 100);
}
END_TEST

/* libc's own tables, cut at random and damaged more and more. pc-relative: the copy describes code next to itself. */
START_TEST(damaged_real_tables_never_fault)
{
	struct real r;
	open_real(&r, dlsym(RTLD_DEFAULT, "qsort"));
	uintptr_t low = r.tables.frames_span.low;
	size_t bytes = r.tables.frames_span.high - low;
	size_t header = r.tables.header - low;
	for (int round = 0; round < 30; round++) {
		size_t cut = round % 3 == 2 ? random_next() % (bytes - header) : 0;
		uint8_t *copy = fenced_copy(low, bytes - cut);
		uintptr_t copy_low = (uintptr_t)copy, shift = copy_low - low;
		struct cfi_span span = { copy_low, copy_low + bytes - cut };
		struct cfi_tables t = { copy_low + header, span, span };
		look_up_many(&t, r.text_low + shift, r.text_high - r.text_low, 1000);
		for (int i = 0; i < 300; i++) {
			for (int n = 0; n < 50; n++)
				damage(copy + header, bytes - cut - header);
			look_up_many(&t, r.text_low + shift, r.text_high - r.text_low, 20);
		}
		munmap((void *)((copy_low & ~4095UL) - 4096), ((bytes - cut + 4095) & ~4095UL) + 8192);
	}
	printf("found %lu, not covered %lu, broken %lu\n", damaged_ends[0], damaged_ends[1], damaged_ends[2]);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_gt(damaged_ends[i], 1000);
}
END_TEST

START_TEST(damaged_expressions_never_fault)
{
	for (int i = 0; i < 1000000; i++) {
		uint8_t code[24];
		uintptr_t result;
		size_t bytes = random_next() % sizeof code;
		for (size_t n = 0; n < bytes; n++)
			code[n] = (uint8_t)random_next();
		run(code, bytes, NULL, &result);
	}
}
END_TEST

/* ---- code bytes: which instruction may be a call ---- */

START_TEST(calls_are_told_by_their_bytes)
{
	static const struct {
		bool call;
		uint8_t size, bytes[8];
	} codes[] = {
		{true, 5, {0xe8, 1, 2, 3, 4}},       {true, 2, {0xff, 0xd0}},
		{true, 3, {0x41, 0xff, 0xd4}},       {true, 3, {0xff, 0x50, 8}},
		{true, 4, {0xff, 0x54, 0x24, 8}},    {true, 6, {0xff, 0x15, 1, 2, 3, 4}},
		{true, 6, {0xff, 0x90, 1, 2, 3, 4}}, {true, 7, {0xff, 0x94, 0x24, 1, 2, 3, 4}},
		{false, 1, {0x90}},                  {false, 4, {0x0f, 0x1f, 0x40, 0}},
		{false, 2, {0xff, 0xe0}},            {false, 6, {0xff, 0x25, 1, 2, 3, 4}},
		{false, 2, {0x0f, 0x0b}},            {false, 5, {0xe9, 1, 2, 3, 4}},
		{false, 1, {0xc3}},                  {false, 0, {0}},
	};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		uintptr_t low = (uintptr_t)codes[i].bytes;
		struct cfi_span code = {low, low + codes[i].size};
		ck_assert_msg(arch_follows_call(&code, code.high) == codes[i].call, "code %zu", i);
		code.low = code.high; /* nothing of it may be read */
		ck_assert(!arch_follows_call(&code, code.high));
	}
}
END_TEST

static Suite *tables_suite(void)
{
	Suite *suite = suite_create("unwind tables");
	TCase *c = tcase_create("tables");
	tcase_set_timeout(c, 120);
	tcase_add_test(c, every_encoding_of_functions);
	tcase_add_test(c, every_encoding_of_the_sorted_table);
	tcase_add_test(c, every_version_augmentation_and_length);
	tcase_add_test(c, what_is_not_understood_is_broken);
	tcase_add_test(c, without_a_sorted_table);
	tcase_add_test(c, many_functions_are_searched);
	tcase_add_test(c, instructions);
	tcase_add_test(c, locations);
	tcase_add_test(c, remembered_and_restored);
	tcase_add_test(c, rules_pack);
	tcase_add_test(c, expression_operations);
	tcase_add_test(c, expression_of_plt_entries);
	tcase_add_test(c, expression_limits);
	tcase_add_test(c, libc_as_readelf_reads_it);
	tcase_add_test(c, damaged_small_tables_never_fault);
	tcase_add_test(c, damaged_real_tables_never_fault);
	tcase_add_test(c, damaged_expressions_never_fault);
	tcase_add_test(c, calls_are_told_by_their_bytes);
	suite_add_tcase(suite, c);
	return suite;
}

int main(void)
{
	return run_suite(tables_suite());
}
