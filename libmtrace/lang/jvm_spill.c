/* jvm_spill: see jvm_spill.h. Encodings: Intel's manual, volume 2, chapter 2. */
#include "lang/jvm_spill.h"

#include <string.h>

enum { LOADS_MOST = 64, INSTRUCTION_MOST = 16, SPILL_MOST = 4096 };
enum { REX_W = 0x48, LOAD = 0x8b, STORE = 0x89, JUMP_NEAR = 0xe9, JUMP_SHORT = 0xeb };

/* Of an operand at sp plus a constant, from its ModRM byte on; 0: it is another. */
static uintptr_t stack_operand(const uint8_t *modrm)
{
	static const uint8_t displacement[] = {0, 1, 4};
	unsigned mod = modrm[0] >> 6;
	return mod < 3 && (modrm[0] & 7) == 4 && modrm[1] == 0x24 ? 2 + displacement[mod] : 0;
}

/* Where an instruction with the prefixes of vectors and masks has its ModRM byte; 0: it has none of these. */
static uintptr_t vector_modrm(const uint8_t *at)
{
	if (at[0] == 0xf2 || at[0] == 0xf3)
		return at[1] == 0x0f ? 3 : (at[1] & 0xf0) == 0x40 && at[2] == 0x0f ? 4 : 0;
	return at[0] == 0xc5 ? 3 : at[0] == 0xc4 ? 4 : at[0] == 0x62 ? 5 : 0;
}

/* Of an instruction that loads a register from the stack, or passes a result on; 0: it is another. */
static uintptr_t load_bytes(const uint8_t *at)
{
	static const uint8_t vzeroupper[] = {0xc5, 0xf8, 0x77};
	uintptr_t modrm = vector_modrm(at), operand;
	if (memcmp(at, vzeroupper, sizeof vzeroupper) == 0)
		return sizeof vzeroupper;
	if ((at[0] & 0xf8) == REX_W && (at[1] == LOAD || at[1] == STORE) && at[2] >> 6 == 3)
		return 3;
	if ((at[0] & 0xf8) == REX_W && at[1] == LOAD)
		modrm = 2;
	operand = modrm ? stack_operand(at + modrm) : 0;
	return operand ? modrm + operand : 0;
}

/* By how much it frees stack, and its length in *bytes; 0: it is another. */
static uintptr_t freed(const uint8_t *at, uintptr_t *bytes)
{
	uint32_t wide;
	if (at[0] != REX_W || (at[1] != 0x83 && at[1] != 0x81) || at[2] != 0xc4)
		return 0;
	memcpy(&wide, at + 3, sizeof wide);
	*bytes = at[1] == 0x83 ? 4 : 7;
	return at[1] == 0x83 ? (uintptr_t)(int8_t)at[3] : wide;
}

/* The code stays as it is while its frame is on the stack. An epilogue frees stack, too, but never jumps then. */
uintptr_t jvm_spilled(uintptr_t pc, uintptr_t end)
{
	uintptr_t bytes, room;
	for (uint32_t i = 0; i < LOADS_MOST && pc < end && end - pc >= INSTRUCTION_MOST; i++, pc += bytes) {
		const uint8_t *at = (const uint8_t *)pc;
		if ((room = freed(at, &bytes)) != 0)
			return (at[bytes] == JUMP_NEAR || at[bytes] == JUMP_SHORT) && room % 8 == 0 && room < SPILL_MOST
			               ? room
			               : 0;
		if ((bytes = load_bytes(at)) == 0)
			return 0;
	}
	return 0;
}
