/*
 * plat_filter: system calls that the program forbids itself (seccomp). A filter answers a call that it does not know by an
 * error, or by death: what a program allows itself is what it calls, and growing a segment is our affair. So filters are
 * copied when they are installed, and asked before each call of ours: one that it would be killed or interrupted for is
 * not made, and fails with EPERM; nor is one that the filter would answer by an error of its own choice, which could be the
 * very one by which the kernel says yes (plat_readable).
 *
 * What the thread that installs it forbids itself is taken for all threads; one installed by other means than prctl and
 * syscall, or by the program that executed this one, is not known. Classic BPF, as seccomp(2) allows it: all loads are from
 * struct seccomp_data, jumps go forward only, so an evaluation ends within the filter's length.
 */
#include "plat.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#define PLAT_AUDIT_ARCH AUDIT_ARCH_X86_64
#else
#define PLAT_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

enum { FILTERS_MOST = 16, INSTRUCTIONS_MOST = 4096 };

/* Written before the count that covers them; never changed: release / acquire of plat_filters. */
static struct filter {
	const struct sock_filter *code; /* NULL: nothing is allowed */
	uint32_t length;
} filters[FILTERS_MOST];
_Atomic uint32_t plat_filters; /* FILTERS_MOST + 1: too many, nothing is allowed */

static void add(const struct sock_filter *code, uint32_t length)
{
	static _Atomic uint32_t begun;
	uint32_t i = atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed), before = i;
	if (i >= FILTERS_MOST) {
		atomic_store_explicit(&plat_filters, FILTERS_MOST + 1, memory_order_release);
		return;
	}
	filters[i] = (struct filter){.code = code, .length = length};
	/* two threads at once: who finds the other one unfinished forbids all, which is seldom and safe */
	if (!atomic_compare_exchange_strong_explicit(&plat_filters, &before, i + 1, memory_order_release, memory_order_relaxed))
		atomic_store_explicit(&plat_filters, FILTERS_MOST + 1, memory_order_release);
}

/* The kernel would refuse what cannot be read; nothing is read here that it would not read. */
void plat_note_filter(const void *program)
{
	struct sock_fprog given = {0};
	if (!plat_readable((uintptr_t)program) || !plat_readable((uintptr_t)program + sizeof given - 1))
		return;
	memcpy(&given, program, sizeof given);
	size_t bytes = given.len * sizeof *given.filter;
	if (!given.len || given.len > INSTRUCTIONS_MOST)
		return;
	for (uintptr_t at = (uintptr_t)given.filter & ~4095UL; at < (uintptr_t)given.filter + bytes; at += 4096)
		if (!plat_readable(at > (uintptr_t)given.filter ? at : (uintptr_t)given.filter))
			return;
	struct sock_filter *copy = plat_map_private(bytes);
	if (copy)
		memcpy(copy, given.filter, bytes);
	add(copy, given.len);
}

void plat_note_strict(void)
{
	add(NULL, 0);
}

/* ---- what a filter says ---------------------------------------------------------------------------------- */

struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

static bool load(struct machine *m, const struct sock_filter *i, const struct seccomp_data *data)
{
	uint32_t *to = BPF_CLASS(i->code) == BPF_LDX ? &m->x : &m->a;
	switch (BPF_MODE(i->code)) {
	case BPF_IMM: *to = i->k; return true;
	case BPF_LEN: *to = sizeof *data; return true;
	case BPF_MEM: *to = i->k < BPF_MEMWORDS ? m->memory[i->k] : 0; return true;
	case BPF_ABS:
		if (i->k > sizeof *data - 4)
			return false;
		memcpy(to, (const char *)data + i->k, 4);
		return true;
	default: return false;
	}
}

static bool calculate(struct machine *m, const struct sock_filter *i)
{
	uint32_t b = BPF_SRC(i->code) == BPF_X ? m->x : i->k;
	switch (BPF_OP(i->code)) {
	case BPF_ADD: m->a += b; return true;
	case BPF_SUB: m->a -= b; return true;
	case BPF_MUL: m->a *= b; return true;
	case BPF_DIV: m->a = b ? m->a / b : 0; return b != 0;
	case BPF_OR: m->a |= b; return true;
	case BPF_AND: m->a &= b; return true;
	case BPF_XOR: m->a ^= b; return true;
	case BPF_LSH: m->a = b < 32 ? m->a << b : 0; return true;
	case BPF_RSH: m->a = b < 32 ? m->a >> b : 0; return true;
	case BPF_NEG: m->a = -m->a; return true;
	default: return false;
	}
}

static uint32_t jump(const struct machine *m, const struct sock_filter *i)
{
	uint32_t b = BPF_SRC(i->code) == BPF_X ? m->x : i->k;
	switch (BPF_OP(i->code)) {
	case BPF_JA: return i->k;
	case BPF_JEQ: return m->a == b ? i->jt : i->jf;
	case BPF_JGT: return m->a > b ? i->jt : i->jf;
	case BPF_JGE: return m->a >= b ? i->jt : i->jf;
	default: return m->a & b ? i->jt : i->jf; /* BPF_JSET */
	}
}

/* What is none of the kernel's instructions kills, as it would by being refused. */
static uint32_t answer(const struct filter *f, const struct seccomp_data *data)
{
	struct machine m = {0};
	for (uint64_t at = 0; at < f->length; at++) {
		const struct sock_filter *i = &f->code[at];
		bool is_known = true;
		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
		case BPF_LDX: is_known = load(&m, i, data); break;
		case BPF_ST: m.memory[i->k % BPF_MEMWORDS] = m.a; break;
		case BPF_STX: m.memory[i->k % BPF_MEMWORDS] = m.x; break;
		case BPF_ALU: is_known = calculate(&m, i); break;
		case BPF_JMP: at += jump(&m, i); break;
		case BPF_RET: return BPF_RVAL(i->code) == BPF_A ? m.a : i->k;
		default:
			if (BPF_MISCOP(i->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
		}
		if (!is_known)
			break;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

static bool is_harmless(uint32_t answer)
{
	uint32_t action = answer & SECCOMP_RET_ACTION_FULL;
	return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

bool plat_may_call(long number, const uint64_t arguments[6])
{
	struct seccomp_data data = {.nr = (int)number, .arch = PLAT_AUDIT_ARCH};
	uint32_t count = atomic_load_explicit(&plat_filters, memory_order_acquire);
	memcpy(data.args, arguments, sizeof data.args);
	for (uint32_t i = 0; i < count; i++)
		if (i >= FILTERS_MOST || !filters[i].code || !is_harmless(answer(&filters[i], &data)))
			return false;
	return true;
}
