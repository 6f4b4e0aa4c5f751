/*
 * finding: what one finding of a gate is called, where it is, and what is said of it: the same words in every output.
 */
#ifndef MTRACE_GATE_FINDING_H
#define MTRACE_GATE_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "gate/result.h"

/* "word_copy < keep_longest", "module librocksdbjni.so", "total": the same from run to run. */
void finding_subject(const struct gate_finding *finding, char *out, size_t size);

/* The subject, how much, and why: one line. */
void finding_title(const struct gate_result *result, const struct gate_finding *finding, char *out, size_t size);

/* Where a reader should look: of the frames from the site outwards, the first whose file is below `root` (a directory); else
   the site's own file. Of a finding about a suppression: its line. false: there is none. */
struct finding_place {
	char path[1024];
	bool is_relative; /* to root; else as the compiler had it */
	uint32_t line;    /* at least 1 */
};
bool finding_place(const struct gate_finding *finding, const char *root, struct finding_place *place);
bool finding_path(const char *file, const char *root, struct finding_place *place); /* path and is_relative alone */

/* Lines: how much, why, which rule, the stack folded around the user's own frame. */
void finding_write(const struct gate_result *result, const struct gate_finding *finding, FILE *out);

/* Lines: what to do if it is no leak: a cache's way, and the suppression that would cover it. None when it is about no stack. */
void finding_write_advice(const struct gate_finding *finding, FILE *out);

/* Both, below the title and `after_title` (NULL: without a title). To be freed. */
char *finding_text(const struct gate_result *result, const struct gate_finding *finding, const char *after_title, size_t *bytes);

/* Neither fails nor is covered: it lacks the names by which a suppression might cover it. */
static inline bool finding_is_open(const struct gate_finding *finding)
{
	return !finding->fails && !finding->suppression;
}

/* 64 bits of its identity, 16 hex digits: the same across rebuilds of the same source. */
void finding_fingerprint(const struct gate_finding *finding, char out[17]);

#endif
