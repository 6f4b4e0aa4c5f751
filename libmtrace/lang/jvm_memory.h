/*
 * jvm_memory: verified reads of the JVM's own memory (jvm.h, J3). Private to lang/.
 * One system call per page that was not asked about just before; state of one look-up, on the caller's stack.
 */
#ifndef MTRACE_LANG_JVM_MEMORY_H
#define MTRACE_LANG_JVM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plat.h"

#define JVM_PAGE ((uintptr_t)4096)

struct jvm_memory {
	uintptr_t page; /* last one found readable; 0 none */
};

static inline bool jvm_is_readable(struct jvm_memory *m, uintptr_t from, size_t bytes)
{
	uintptr_t last = (from + bytes - 1) & ~(JVM_PAGE - 1);
	if (from < JVM_PAGE || last < from - (JVM_PAGE - 1))
		return false;
	for (uintptr_t page = from & ~(JVM_PAGE - 1); page <= last; page += JVM_PAGE) {
		if (page != m->page && !plat_readable(page))
			return false;
		m->page = page;
	}
	return true;
}

static inline bool jvm_load(struct jvm_memory *m, uintptr_t from, void *to, size_t bytes)
{
	if (!jvm_is_readable(m, from, bytes))
		return false;
	memcpy(to, (const void *)from, bytes);
	return true;
}

static inline bool jvm_load_word(struct jvm_memory *m, uintptr_t from, uintptr_t *word)
{
	return jvm_load(m, from, word, sizeof *word);
}

#endif
