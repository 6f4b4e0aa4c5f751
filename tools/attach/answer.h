/*
 * answer: what a JVM said, and the tables in it. It is somebody else's text: bounded, and may be anything. Pure.
 */
#ifndef MTRACE_ATTACH_ANSWER_H
#define MTRACE_ATTACH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ANSWER_BYTES_MOST = 64 << 20 };

struct answer {
	char *bytes;      /* all that came, NUL-terminated; the caller frees it */
	const char *text; /* behind the code's line */
	int code;         /* 0: the command was carried out */
};

/* Takes over `bytes`, of which bytes[length] is 0: "CODE\nTEXT". -EPROTO: it is none; the bytes are still the caller's. */
int answer_parse(char *bytes, size_t length, struct answer *answer);
void answer_free(struct answer *answer);

/* The first line of the text that says anything, without its newline, cut to fit. */
void answer_first_line(const struct answer *answer, char *line, size_t bytes);

/* Of `load`: what the library's Agent_OnAttach returned. false: it was not called. */
bool answer_returned(const struct answer *answer, int *code);

/* Rows with two figures. Of native memory: a category, bytes reserved and committed; of the histogram: a class, instances
   and bytes. By name, each once. */
struct answer_row {
	char *name;
	uint64_t first, second;
};
struct answer_table {
	struct answer_row *rows;
	size_t count;
	struct answer_row total; /* no name */
};
enum { ANSWER_ROWS_MOST = 1 << 20 };

/* 0; -ENODATA: the text has no such table; -ENOMEM. */
int answer_native_memory(const char *text, struct answer_table *table);
int answer_histogram(const char *text, struct answer_table *table);
const struct answer_row *answer_row_of(const struct answer_table *table, const char *name); /* NULL none */
void answer_table_free(struct answer_table *table);

/* From GC.heap_info: where the Java heap is. false: its collector does not say. */
bool answer_heap_place(const char *text, uint64_t *start, uint64_t *end);

/* Bytes of the Java heap in use, from GC.heap_info, whichever collector; too much rather than too little. 0: not told. */
uint64_t answer_heap_used(const char *text);

#endif
