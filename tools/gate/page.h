/*
 * page: a gate's result as one page of text: the outcome and why, what was looked at, how small a leak would have been caught,
 * then each finding with its stack and what to do about it. The same run gives the same page.
 */
#ifndef MTRACE_GATE_PAGE_H
#define MTRACE_GATE_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "gate/result.h"

struct page_options {
	bool color, full; /* full: every frame */
	uint32_t columns; /* 0: 100 */
	uint32_t limit;   /* findings shown; 0 all */
};

void page_write(const struct gate_result *r, const struct page_options *options, FILE *out);

/* "16 B", "0.32 B", "+1.5 MiB" with a sign: what grows for each step. */
void page_bytes(char out[48], double bytes, bool sign);

#endif
