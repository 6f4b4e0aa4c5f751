/*
 * markdown: see outputs.h. What is said of a finding stands in a fenced block, whose fence is longer than any in it; what is
 * said in the text itself cannot become markup.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "emit/emit_text.h"
#include "gate/finding.h"
#include "gate/outputs.h"
#include "gate/plain.h"
#include "gate/suppressions.h"

/* GitHub refuses a summary of more than a mebibyte: what each part may have of it; the rest is for head and command. */
enum {
	ROWS_BYTES = 150 << 10,
	FINDINGS_BYTES = 700 << 10,
	NOTES_BYTES = 50 << 10,
	HELD_BYTES = 50 << 10,
	COMMAND_BYTES = 4 << 10
};

/* ---- text ---- */

/* As text of a paragraph or of a cell: one line, no markup. */
static void put_text(const char *s, FILE *out)
{
	char *plain = plain_text(s);
	for (const char *c = plain; *c != '\0'; c++) {
		if (strchr("\\`*_{}[]<>#|&~", *c))
			fputc('\\', out);
		fputc(*c == '\n' || *c == '\t' ? ' ' : *c, out);
	}
	free(plain);
}

static size_t longest_run(const char *s, char of)
{
	size_t longest = 0, run = 0;
	for (; *s != '\0'; s++) {
		run = *s == of ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	return longest;
}

static void put_fenced(const char *s, FILE *out)
{
	char *plain = plain_text(s);
	size_t fence = longest_run(plain, '`') + 1;
	fence = fence < 3 ? 3 : fence;
	for (int end = 0; end < 2; end++) {
		for (size_t i = 0; i < fence; i++)
			fputc('`', out);
		fputs(end ? "\n" : "text\n", out);
		if (!end)
			fputs(plain, out);
	}
	free(plain);
}

/* What `write` writes, fenced. */
typedef void writer(const struct gate_result *r, const struct gate_finding *f, FILE *out);

static void put_written(writer *write, const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	char *text = NULL;
	size_t bytes;
	FILE *to = open_memstream(&text, &bytes);
	if (!to)
		die(2, "out of memory");
	write(r, f, to);
	fclose(to);
	if (bytes) {
		put_fenced(text, out);
		fputc('\n', out);
	}
	free(text);
}

static void write_advice(const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	(void)r;
	finding_write_advice(f, out);
}

/* ---- parts, each within its bound ---- */

/* Writes number `index` of a part; what it leaves out, it does not write. */
typedef void piece(const struct gate_result *r, size_t index, FILE *out);

/* Whole pieces, as long as they have room; then how many had none. */
static void put_part(piece *write, const struct gate_result *r, size_t count, size_t room, FILE *out)
{
	size_t left_out = 0;
	for (size_t i = 0; i < count; i++) {
		char *text = NULL;
		size_t bytes;
		FILE *to = open_memstream(&text, &bytes);
		if (!to)
			die(2, "out of memory");
		write(r, i, to);
		fclose(to);
		left_out += left_out ? bytes > 0 : bytes > room;
		if (!left_out && bytes) {
			fwrite(text, 1, bytes, out);
			room -= bytes;
		}
		free(text);
	}
	if (left_out)
		fprintf(out, "\n%zu more have no room on this page.\n", left_out);
}

/* ---- the page ---- */

static const char *outcome_word(enum gate_outcome outcome)
{
	return outcome == GATE_PASS ? "pass" : outcome == GATE_FAIL ? "fail" : "inconclusive";
}

static void put_head(const struct gate_result *r, FILE *out)
{
	char least[32];
	double sight = r->sight_per_step;
	fprintf(out, "## mtrace gate: %s\n\n", outcome_word(r->outcome));
	put_text(r->reason, out);
	fputs("\n\n", out);
	if (r->has_sight) {
		uint64_t tenths = (uint64_t)(sight * 10) + 1; /* rounded up: what is printed would have been seen */
		if (sight < 10)
			snprintf(least, sizeof least, "%" PRIu64 ".%" PRIu64 " B", tenths / 10, tenths % 10);
		else
			emit_bytes(least, tenths / 10 + 1);
		fprintf(out,
		        "Would have caught a leak of %s or more per %s, over %" PRIu64 " %s in %" PRIu64
		        " windows; %" PRIu64 " stacks judged.\n\n",
		        least, gate_unit_word(r->unit, false), r->work_steps, gate_unit_word(r->unit, true), r->windows,
		        r->stacks_judged);
	}
}

static void put_row(const struct gate_result *r, size_t index, FILE *out)
{
	const struct gate_finding *f = &r->findings[index];
	char title[1024], bytes[32];
	finding_title(r, f, title, sizeof title);
	emit_bytes(bytes, f->live_bytes);
	fprintf(out, "| %s | %s | ",
	        f->fails             ? "**fails**"
	        : finding_is_open(f) ? "open"
	                             : "covered",
	        gate_rule_word(f->rule));
	put_text(title, out);
	fprintf(out, " | %s |\n", bytes);
}

/* Those that fail. */
static void put_finding(const struct gate_result *r, size_t index, FILE *out)
{
	const struct gate_finding *f = &r->findings[index];
	char subject[256];
	if (!f->fails)
		return;
	finding_subject(f, subject, sizeof subject);
	fprintf(out, "### %zu. ", index + 1);
	put_text(subject, out);
	fputs("\n\n", out);
	put_written(finding_write, r, f, out);
	put_written(write_advice, r, f, out);
}

static void put_note(const struct gate_result *r, size_t index, FILE *out)
{
	static const char *const words[GATE_TROUBLES] = {
		[GATE_UNUSED] = "covered nothing",
		[GATE_EXPIRED] = "has expired",
		[GATE_EXCEEDED] = "covers more than its max",
		[GATE_UNRESOLVED] = "One may be meant for a stack that has frames without names",
	};
	const struct suppression *s = r->notes[index].suppression;
	if ((unsigned)r->notes[index].trouble >= GATE_TROUBLES)
		return;
	fputs("- ", out);
	if (s) {
		put_text(s->file, out);
		fprintf(out, ":%" PRIu32 ": leak:", s->line);
		put_text(s->pattern, out);
		fputc(' ', out);
	}
	fprintf(out, "%s\n", words[r->notes[index].trouble]);
}

static void put_held(const struct gate_result *r, size_t index, FILE *out)
{
	fputs("- ", out);
	put_text(r->rules_held[index], out);
	fputc('\n', out);
}

void outputs_markdown(const struct gate_result *r, FILE *out)
{
	char *command = outputs_command(r);
	put_head(r, out);
	if (r->finding_count) {
		fputs("| | rule | what | live at the end |\n|---|---|---|---:|\n", out);
		put_part(put_row, r, r->finding_count, ROWS_BYTES, out);
		fputc('\n', out);
		put_part(put_finding, r, r->finding_count, FINDINGS_BYTES, out);
	}
	if (r->note_count) {
		fputs("### Suppressions\n\n", out);
		put_part(put_note, r, r->note_count, NOTES_BYTES, out);
		fputc('\n', out);
	}
	if (r->rules_held_count) {
		fputs("### Held\n\n", out);
		put_part(put_held, r, r->rules_held_count, HELD_BYTES, out);
		fputc('\n', out);
	}
	if (strlen(command) > COMMAND_BYTES)
		command[COMMAND_BYTES] = '\0';
	fputs("The command: ", out);
	put_text(command, out);
	fputc('\n', out);
	free(command);
}
