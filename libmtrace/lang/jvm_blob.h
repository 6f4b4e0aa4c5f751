/*
 * jvm_blob: the piece of the code cache that a pc lies in. Private to lang/. Reads as jvm.h, J1 says.
 */
#ifndef MTRACE_LANG_JVM_BLOB_H
#define MTRACE_LANG_JVM_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "lang/jvm_layout.h"

extern struct jvm_layout jvm_layout; /* valid once jvm_code is set */

/* The code heaps of this process, NULL-terminated; false: the JVM has none yet. */
bool jvm_blobs_init(void);

struct jvm_blob {
	uintptr_t start;      /* of the CodeBlob */
	uintptr_t code;       /* its first instruction */
	uintptr_t end;
	int32_t frame_words;  /* 0 or less: it has no frame of a fixed size */
	bool is_method;       /* compiled, or the wrapper of a native method */
};

bool jvm_blob_at(uintptr_t pc, struct jvm_blob *blob);

/* Does the name of a blob that is not a method begin so? */
bool jvm_blob_is_named(const struct jvm_blob *blob, const char *begin);

static inline uintptr_t jvm_word(uintptr_t at)
{
	return *(const volatile uintptr_t *)at;
}

static inline int32_t jvm_int(uintptr_t at)
{
	return *(const volatile int32_t *)at;
}

#endif
