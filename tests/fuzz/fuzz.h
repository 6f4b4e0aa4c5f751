/*
 * fuzz: what the harnesses share: an input taken apart from its front, files in memory, and everything that is done with a
 * profile once it is read. Each fuzz_*.c is one reader of what others wrote; `make fuzz` builds and runs them (fuzz.sh).
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* Up to eight bytes as a number; what is not there is 0. */
static inline uint64_t fuzz_number(struct fuzz_input *in, size_t bytes)
{
	uint64_t value = 0;
	size_t n = bytes < in->left ? bytes : in->left;
	memcpy(&value, in->at, n);
	in->at += n;
	in->left -= n;
	return value;
}

static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t bytes)
{
	const uint8_t *at = in->at;
	in->at += bytes;
	in->left -= bytes;
	return at;
}

static inline void fuzz_require(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz: does not hold: %s\n", what);
	abort();
}

#endif
