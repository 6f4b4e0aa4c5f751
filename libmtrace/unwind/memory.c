/* memory: see memory.h. */
#include "unwind/memory.h"

#include "plat.h"
#include "unwind/arch.h"

#define NO_PAGE ((uintptr_t)1)

static bool on_stack(const struct memory *m, uintptr_t address)
{
	return address >= m->stack.low && address < m->stack.high;
}

/* The caller runs on sp, so when sp is on its stack everything above is in use. */
void memory_init(struct memory *m, const struct unwind_bounds *bounds, uintptr_t sp)
{
	m->stack.low = bounds->low;
	m->stack.high = bounds->high & ~(uintptr_t)(ARCH_WORD - 1);
	m->page = NO_PAGE;
	m->low = on_stack(m, sp) ? sp : m->stack.high;
}

/* sp comes from memory here, so it is believed only when its page is there. */
void memory_jump(struct memory *m, uintptr_t sp)
{
	if (on_stack(m, sp) && sp < m->low && plat_readable(sp))
		m->low = sp & ~(MEMORY_PAGE - 1);
}

uintptr_t memory_reach(const struct memory *m, uintptr_t sp)
{
	if (sp >= m->low && sp < m->stack.high)
		return m->stack.high;
	if ((sp & ~(MEMORY_PAGE - 1)) == m->page)
		return m->page + MEMORY_PAGE;
	return 0;
}

static bool verify(struct memory *m, uintptr_t address)
{
	uintptr_t page = address & ~(MEMORY_PAGE - 1);
	if (page == m->page)
		return true;
	if (page < MEMORY_LOWEST || !plat_readable(address))
		return false;
	m->page = page;
	return true;
}

bool memory_load(struct memory *m, uintptr_t address, uintptr_t *word)
{
	if (address & (ARCH_WORD - 1))
		return false;
	bool plain = address >= m->low && address < m->stack.high;
	if (!plain && !verify(m, address))
		return false;
	*word = word_at(address);
	return true;
}

bool memory_load_bytes(struct memory *m, uintptr_t address, unsigned bytes, uintptr_t *value)
{
	unsigned at = (unsigned)(address & (ARCH_WORD - 1));
	uintptr_t word;
	if (bytes == 0 || bytes > ARCH_WORD || at + bytes > ARCH_WORD || !memory_load(m, address - at, &word))
		return false;
	word >>= 8 * at;
	*value = bytes == ARCH_WORD ? word : word & (((uintptr_t)1 << (8 * bytes)) - 1);
	return true;
}

bool memory_same_stack(const struct memory *m, uintptr_t a, uintptr_t b)
{
	return on_stack(m, a) == on_stack(m, b);
}
