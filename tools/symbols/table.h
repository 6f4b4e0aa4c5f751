/*
 * table: the functions of an ELF symbol table, by address.
 */
#ifndef MTRACE_SYMBOLS_TABLE_H
#define MTRACE_SYMBOLS_TABLE_H

#include <elfutils/libdwfl.h>
#include <stddef.h>
#include <stdint.h>

struct table_symbol {
	uint64_t start, size;
	uint64_t section_end; /* of the section it stands in; 0 unknown */
	const char *name;     /* libdwfl's; lives as long as the module */
	uint8_t rank;         /* of several at one address the highest is shown */
};
struct table {
	struct table_symbol *symbols;
	size_t count;
};

void table_fill(struct table *t, Dwfl_Module *module);
/* The function that covers `address`, else a label without size close before it; NULL none. */
const char *table_find(const struct table *t, uint64_t address);
void table_free(struct table *t);

/* What is shown of a symbol's name: no version, no suffix of the compiler's for a part or a copy of a function
   (".part.0", ".cold", ".isra.0", ".constprop.0", ".lto_priv.0", ".llvm.123"); demangled. malloc'd. */
char *table_shown(const char *name);

#endif
