/*
 * github: see outputs.h. A command is one line, `::error name=value,…::text`; what would end a value or the line is written
 * as %25, %0D, %0A, and within values %3A and %2C. Ten of a kind are shown for a step; a text is cut at 64 KiB.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "gate/finding.h"
#include "gate/outputs.h"
#include "gate/plain.h"
#include "gate/suppressions.h"

enum { MOST_SHOWN = 10, TEXT_BYTES = 60000 };

static void put_escaped(const char *s, const char *specials, FILE *out)
{
	char *plain = plain_text(s);
	for (const char *c = plain; *c != '\0'; c++)
		if (strchr(specials, *c))
			fprintf(out, "%%%02X", (unsigned char)*c);
		else
			fputc(*c, out);
	free(plain);
}

static void put_value(const char *s, FILE *out)
{
	put_escaped(s, "%\r\n:,", out);
}

static void put_text(const char *s, FILE *out)
{
	put_escaped(s, "%\r\n", out);
}

/* "::error file=…,line=…,title=…::"; path NULL: no file. */
static void open_command(const char *level, const char *path, uint32_t line, const char *title, FILE *out)
{
	fprintf(out, "::%s ", level);
	if (path) {
		fputs("file=", out);
		put_value(path, out);
		fprintf(out, ",line=%" PRIu32 ",", line);
	}
	fputs("title=", out);
	put_value(title, out);
	fputs("::", out);
}

static void put_finding(const struct gate_result *r, const struct gate_finding *f, const char *root, FILE *out)
{
	struct finding_place place = {.path = ""};
	char subject[256], heading[300];
	size_t bytes;
	bool placed = finding_place(f, root, &place) && place.is_relative;
	char *text = finding_text(r, f, "\n", &bytes);
	if (bytes > TEXT_BYTES)
		text[TEXT_BYTES] = '\0';
	else if (bytes > 0)
		text[bytes - 1] = '\0'; /* its last line break */
	finding_subject(f, subject, sizeof subject);
	snprintf(heading, sizeof heading, "%s: %s", gate_rule_word(f->rule), subject);
	open_command("error", placed ? place.path : NULL, place.line, heading, out);
	put_text(text, out);
	fputc('\n', out);
	free(text);
}

static void put_note(const struct gate_supp_note *note, const char *root, FILE *out)
{
	static const char *const words[GATE_TROUBLES] = {
		[GATE_UNUSED] = "covered nothing in this run: remove it, if the run did all that it should",
		[GATE_EXPIRED] = "has expired: its stacks count again",
	};
	const struct suppression *s = note->suppression;
	struct finding_place place = {.path = ""};
	if (!s || (unsigned)note->trouble >= GATE_TROUBLES || !words[note->trouble])
		return; /* those have a finding of their own, or are the reason of the outcome */
	bool placed = !suppressions_is_built_in(s) && finding_path(s->file, root, &place) && place.is_relative;
	open_command(note->trouble == GATE_UNUSED ? "warning" : "error", placed ? place.path : NULL, s->line,
	             "mtrace gate: suppression", out);
	fputs("leak:", out);
	put_text(s->pattern, out);
	fprintf(out, ": %s\n", words[note->trouble]);
}

void outputs_github(const struct gate_result *r, const char *root, FILE *out)
{
	size_t shown = 0, failing = 0;
	if (r->outcome == GATE_INCONCLUSIVE) {
		open_command("error", NULL, 0, "mtrace gate: inconclusive", out);
		put_text(r->reason, out);
		fputc('\n', out);
		shown++;
	}
	for (size_t i = 0; i < r->finding_count; i++) {
		failing += r->findings[i].fails;
		if (r->findings[i].fails && shown < MOST_SHOWN) {
			put_finding(r, &r->findings[i], root, out);
			shown++;
		}
	}
	for (size_t i = 0, notes = 0; i < r->note_count && notes < MOST_SHOWN; i++, notes++)
		put_note(&r->notes[i], root, out);
	size_t inconclusive = r->outcome == GATE_INCONCLUSIVE;
	if (failing > shown - inconclusive)
		fprintf(out, "::notice title=mtrace gate::%zu more findings are in the summary\n",
		        failing - (shown - inconclusive));
}
