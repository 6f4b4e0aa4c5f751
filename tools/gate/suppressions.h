/*
 * suppressions: what a gate is told to accept, by name: files in LeakSanitizer's syntax, and what each line was used for.
 *
 * `leak:PATTERN` a line, `#` comments, blank lines, read as LeakSanitizer reads them. What it does not know stands in a
 * comment above, `# mtrace: reason="…" owner=… until=2027-01-31 max=64KiB max-blocks=9 at=site caller=PATTERN`, so that it
 * still reads the file. mtrace-policy.5 says what each means.
 *
 * Called by the gate and by `mtrace supp`. Files are those of strangers: every line is checked, a wrong one becomes a
 * problem with its place and what to do. Bound: SUPPRESSIONS_FILE_BYTES a file. Dies without memory.
 */
#ifndef MTRACE_SUPPRESSIONS_H
#define MTRACE_SUPPRESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/profile.h"

enum { SUPPRESSIONS_FILE_BYTES = 4 << 20, SUPPRESSIONS_PROBLEMS = 64 };

struct suppression {
	const char *pattern; /* what follows "leak:" */
	const char *
		caller; /* a pattern for the name of a frame further out than the one that matches; NULL: any, or none */
	bool at_site;   /* the pattern is compared with the stack's site alone */
	const char *file;                         /* as it was named; SUPPRESSIONS_BUILT_IN */
	uint32_t line;                            /* from 1 */
	const char *reason, *owner;               /* NULL: not said */
	uint32_t until;                           /* the last day on which it holds, 20270131; 0: for good */
	uint64_t max_bytes, max_blocks;           /* most that it may cover, of live blocks; UINT64_MAX: any */
	uint64_t stacks, live_blocks, live_bytes; /* that it was found to cover: suppressions_cover */
};
#define SUPPRESSIONS_BUILT_IN "(built in)"

struct suppressions_problem {
	const char *file;
	uint32_t line;
	char text[256]; /* what is wrong, and what to do */
};

struct suppressions {
	struct suppression
		*rows; /* in the order of the files: an earlier one is found first. They move while files are read */
	size_t count;
	struct suppressions_problem problems[SUPPRESSIONS_PROBLEMS];
	size_t problem_count; /* all, also those that found no room */
	char **texts;         /* owned: the files, cut into strings */
	size_t text_count;
};

void suppressions_init(struct suppressions *s);
void suppressions_free(struct suppressions *s);

/* Appends a file's rows. 0, also with problems; -errno when it cannot be read, -EFBIG when it is too large. */
int suppressions_read(struct suppressions *s, const char *path);
void suppressions_read_text(struct suppressions *s, const char *name, const char *text, size_t bytes);

/* suppressions_builtin.def: blocks of the C library's and the JVM's own start-up. After the files, which go first. */
void suppressions_add_built_in(struct suppressions *s);

/* The one that covers this stack: of its innermost frame that any row matches, the first row; an expired one, too. NULL: none. */
struct suppression *suppressions_find(const struct suppressions *s, const struct profile_process *process,
                                      const struct profile_stack *stack);

/* Not covered, but it has frames without names, and rows that were not found yet: with names one might cover it. */
bool suppressions_need_names(const struct suppressions *s, const struct profile_process *process,
                             const struct profile_stack *stack);

/* It covers so much more. */
void suppressions_cover(struct suppression *row, const struct profile_counts *counts);

/* Does the pattern match what is in every stack of a thread: main, start_thread and their like? */
bool suppressions_matches_all(const struct suppression *row);

bool suppressions_is_built_in(const struct suppression *row);
bool suppressions_is_expired(const struct suppression *row, uint32_t today);
bool suppressions_is_exceeded(const struct suppression *row); /* it covers more than its max or max-blocks */

/* suppressions_pattern.c: LeakSanitizer's rule. Anywhere in the text; '*' is any text, '^' at the begin and '$' hold it
   there. Each piece is taken where it is first found: so leak:ab$ does not match "abcab". NULL and "" are never matched. */
bool suppressions_matches(const char *pattern, const char *text);

/* suppressions_date.c: 2027-01-31 as 20270131; false when that is no day. Today by UTC. A day that comes so much later. */
bool suppressions_date(const char *text, uint32_t *date);
uint32_t suppressions_today(void);
uint32_t suppressions_days_later(uint32_t date, unsigned days);

/* suppressions_write.c: what a line would have to name to cover this stack and as little else as two names can say: the
   function of its site, and that one's caller ("" none). false: no frame of the program's own has a name. */
enum { SUPPRESSIONS_NAME_BYTES = 4096 };
struct suppression_names {
	const char *function, *calling; /* the two themselves; NULL: none */
	char pattern[SUPPRESSIONS_NAME_BYTES], caller[SUPPRESSIONS_NAME_BYTES];
};
bool suppressions_name(const struct profile_process *process, const struct profile_stack *stack,
                       struct suppression_names *names);

/* The two lines for it, with a reason to be filled in, and bounds just above these counts. `until` 0: for good. */
void suppressions_write(FILE *out, const struct suppression_names *names, const struct profile_counts *counts,
                        uint32_t until);

#endif
