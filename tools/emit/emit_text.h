/*
 * emit_text: what the files of the text report, and the other emitters, share. A struct page is where a report is
 * written; `process` is the section it is in. Nothing here reads files.
 */
#ifndef MTRACE_EMIT_TEXT_H
#define MTRACE_EMIT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "emit/emit.h"
#include "model/profile.h"

struct leaks_row;
struct lifetimes;

struct page {
	FILE *out;
	const struct emit_options *options;
	const struct profile_process *process;
	const struct leaks *judged; /* of this process; NULL none */
	const struct lifetimes *lifetimes; /* likewise */
	uint32_t columns;
};

/* emit_units.c, beside emit_bytes and emit_duration */
void emit_count(char out[32], uint64_t count);                /* "90 411" */
void emit_share(char out[16], uint64_t part, uint64_t whole); /* "95 %" */

/* emit_frames.c */
const char *emit_basename(const char *path);
const char *emit_module_path(const struct profile_process *process, const struct profile_frame *frame); /* "" none */
const char *emit_program(const struct profile_process *process); /* its name as typed, without a path */
const char *emit_module(const struct profile_process *process, const struct profile_frame *frame); /* likewise */
const char *emit_function(const struct profile_frame *frame, uint32_t name); /* NULL: unknown */
void emit_frame_text(const struct profile_process *process, const struct profile_frame *frame, uint32_t name, char *out,
                     size_t size); /* never empty: function, module+0xoffset, or 0xaddress */
uint32_t emit_names_of(const struct profile_frame *frame); /* at least 1 */
const char *emit_language(const struct profile_frame *frame); /* "native", "java" */
size_t emit_width(const char *s); /* characters, for columns */
void emit_text_cut(FILE *out, const char *s, size_t columns);    /* at most that wide, "…" when cut, no controls */
void emit_text_padded(FILE *out, const char *s, size_t columns); /* exactly that wide */

/* The same as one line of "ended" in every report: "exit status 0, after 12 s". */
void emit_end_text(const struct profile_process *process, char *out, size_t size);

/* text_*.c: the parts of a section, in the order they are printed */
void text_begin(const struct page *page, const char *sgr); /* color on, e.g. "1" for bold */
void text_end(const struct page *page);
void text_label(const struct page *page, const char *label); /* the left column of boxes */
void text_trust(const struct page *page);
void text_exhausted(const struct page *page); /* in the same box */
void text_outside(const struct page *page);
void text_kinds(const struct page *page);
void text_stacks(const struct page *page);
void text_leaks(const struct page *page); /* page->judged, as a list */
void text_groups(const struct page *page);
void text_threads(const struct page *page); /* by name with digits folded */

/* The lines of one stack of page->process below its row, TEXT_INDENT columns in, folded around the user's own frame. */
enum { TEXT_INDENT = 5 };
void text_frames(const struct page *page, const struct profile_stack *stack);

/* leaks_text.c: is this row of verdicts listed? How many are, within the limit, and by how much they grew. */
bool emit_leaks_lists(const struct emit_options *o, const struct leaks_row *row);
uint32_t emit_leaks_listed(const struct emit_options *o, const struct leaks *leaks, int64_t *change);

/* emit_frames.c: what a stack is counted under when rows are sites, modules, kinds. */
void emit_site_label(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size);
void emit_module_label(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size);
void emit_kind_label(const struct profile_process *process, const struct profile_stack *stack, char *out, size_t size);

/* Digits become '#', runs of them one: "pool-12-thread-3" is "pool-#-thread-#". */
void text_fold_digits(char *out, size_t size, const char *name);

/* A thread's name, folded so; "(no name)", "(unknown thread)". */
void emit_thread_label(const struct profile_process *process, uint32_t thread, char *out, size_t size);

/* What a report ranks by, and how much of a kind there is of it. */
static inline uint64_t text_rank(const struct emit_options *o, const struct profile_counts *c)
{
	return o->allocated ? c->alloc_bytes : c->live_bytes;
}

/* Rows shown of a kind: malloc in full, the others a third of that, since what grows is mostly malloc. */
static inline uint32_t text_limit(const struct emit_options *o, enum mtrace_kind kind)
{
	if (o->limit == 0)
		return UINT32_MAX;
	return kind == MTRACE_KIND_MALLOC ? o->limit : (o->limit + 2) / 3;
}

#endif
