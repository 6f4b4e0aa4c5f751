/*
 * dwarf: one ELF file with its symbols and debug information, asked for the names at an address.
 */
#ifndef MTRACE_SYMBOLS_DWARF_H
#define MTRACE_SYMBOLS_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files.h"

struct profile;
struct profile_name;
struct dwarf_file;

/* Opens what files_open_module finds. NULL: nothing was found, or it cannot be read. */
struct dwarf_file *dwarf_open(const struct files_module *m);
void dwarf_close(struct dwarf_file *file);

bool dwarf_has_lines(const struct dwarf_file *file); /* debug information was found */
const char *dwarf_link(const struct dwarf_file *file); /* name in .gnu_debuglink, "" none */

/* The names at an address of the module's own ELF address space: innermost inlined function first. *names and its
   texts belong to `owner`. Returns how many, 0 none. */
uint32_t dwarf_names(struct dwarf_file *file, uint64_t address, struct profile *owner, const struct profile_name **names);

#endif
