/*
 * jvm_layout: where things are in this process's HotSpot, read once from the tables that the JVM itself exports
 * (gHotSpotVMStructs and its like), so that no version's headers are compiled in. Private to lang/.
 *
 * A layout is taken whole or not at all: a row of jvm_layout.def that is missing, or a frame shape that is not ours,
 * and this JVM's Java frames are not followed, which is said in one line. Plain reads of libjvm's own data, which stays
 * mapped: its code has a frame on the caller's stack. Async-signal-safe.
 */
#ifndef MTRACE_LANG_JVM_LAYOUT_H
#define MTRACE_LANG_JVM_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

struct jvm_layout {
#define VALUE(name, type, field, shape) uintptr_t name; /* address of the variable */
#define OFFSET(name, type, field, shape) int32_t name;  /* -1: this JVM has none */
#define SIZE(name, type, shape) int32_t name;
#define NUMBER(name, constant, shape) int32_t name;
#include "lang/jvm_layout.def"
#undef VALUE
#undef OFFSET
#undef SIZE
#undef NUMBER
	bool is_new; /* rows NEW rather than OLD */
};

/* From the libjvm that `code` lies in. NULL: done; else the first row that is missing, or why not. */
const char *jvm_layout_read(uintptr_t code, struct jvm_layout *layout);

#endif
