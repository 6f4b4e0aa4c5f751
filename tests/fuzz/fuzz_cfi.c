/*
 * fuzz_cfi: the tables of .eh_frame_hdr and .eh_frame, read as the unwinder reads another module's. Input: where .eh_frame
 * begins after the header (2 bytes), the pc as a distance from the header (4 bytes), then the tables.
 *
 * The tables lie between two pages that nobody may touch, once ending at the second and once beginning at the first, at a
 * fixed address, so that an input does the same every time. The expressions of a row are run, too.
 */
#include "fuzz.h"
#include "unwind/cfi.h"
#include "unwind/expression.h"

enum { ROOM = 64 << 10, PAGE = 4096 };
static uint8_t *const room = (uint8_t *)0x200000000000ull;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	mmap(room - PAGE, ROOM + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (mprotect(room, ROOM, PROT_READ | PROT_WRITE)) {
		perror("fuzz_cfi: room");
		exit(2);
	}
	return 0;
}

static void run_block(const struct cfi_tables *tables, uintptr_t block)
{
	static uintptr_t stack[64];
	struct unwind_bounds bounds = {(uintptr_t)stack, (uintptr_t)(stack + 64)};
	struct memory memory;
	struct registers registers;
	memset(&registers, 0, sizeof registers);
	for (size_t i = 0; i < sizeof registers / sizeof(uintptr_t); i++)
		((uintptr_t *)(void *)&registers)[i] = (uintptr_t)&stack[i % 64];
	memory_init(&memory, &bounds, (uintptr_t)stack);
	uintptr_t result, cfa = (uintptr_t)&stack[32];
	struct bytes code = cfi_block(tables, block);
	expression_run(code, &registers, NULL, &memory, &result);
	expression_run(code, &registers, &cfa, &memory, &result);
}

static void read_tables(uint8_t *tables_at, size_t size, size_t frames, uint32_t distance)
{
	uintptr_t low = (uintptr_t)tables_at, high = low + size;
	struct cfi_tables tables = {low, {low, low + (frames <= size ? frames : size)}, {low + (frames <= size ? frames : 0), high}};
	struct cfi_row row;
	cfi_frames(&tables.header_span, tables.header);
	if (cfi_row_at(&tables, low + (uintptr_t)(int64_t)(int32_t)distance, &row) != CFI_FOUND)
		return;
	rule_from_row(&tables, &row);
	if (row.cfa_block)
		run_block(&tables, row.cfa_block);
	for (int i = 0; i < ARCH_REGISTERS; i++)
		if (row.kind[i] == CFI_EXPRESSION || row.kind[i] == CFI_VAL_EXPRESSION)
			run_block(&tables, (uintptr_t)row.value[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	size_t frames = fuzz_number(&in, 2);
	uint32_t distance = (uint32_t)fuzz_number(&in, 4);
	if (in.left > ROOM)
		return -1;
	memcpy(room, in.at, in.left);
	read_tables(room, in.left, frames, distance);
	memcpy(room + ROOM - in.left, in.at, in.left);
	read_tables(room + ROOM - in.left, in.left, frames, distance);
	return 0;
}
