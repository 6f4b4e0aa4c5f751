/*
 * junit: see outputs.h. There is no standard of JUnit's XML: this is what Ant began and Jenkins, GitLab and Surefire read:
 * testsuites > testsuite > testcase, which has at most one of failure, error, skipped, then system-out.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"
#include "gate/finding.h"
#include "gate/outputs.h"
#include "gate/plain.h"
#include "gate/suppressions.h"

/* ---- XML ---- */

/* `attribute`: line breaks and tabs would come back as blanks. */
static void put_escaped(const char *s, bool attribute, FILE *out)
{
	char *plain = plain_text(s);
	for (const char *c = plain; *c != '\0'; c++)
		switch (*c) {
		case '&': fputs("&amp;", out); break;
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break; /* also for "]]>" */
		case '"': fputs("&quot;", out); break;
		case '\n':
		case '\t':
			if (attribute)
				fprintf(out, "&#%d;", *c);
			else
				fputc(*c, out);
			break;
		default: fputc(*c, out);
		}
	free(plain);
}

static void put_attribute(const char *name, const char *value, FILE *out)
{
	fprintf(out, " %s=\"", name);
	put_escaped(value, true, out);
	fputc('"', out);
}

/* ---- cases ---- */

enum { NAME_BYTES = 512 };

struct sums {
	size_t tests, failures, errors, skipped;
};

static struct sums sum_up(const struct gate_result *r)
{
	bool no_verdict = r->outcome == GATE_INCONCLUSIVE;
	struct sums sums = {.tests = r->finding_count + r->rules_held_count + no_verdict, .errors = no_verdict};
	for (size_t i = 0; i < r->finding_count; i++) {
		sums.failures += r->findings[i].fails;
		sums.errors += finding_is_open(&r->findings[i]);
		sums.skipped += !r->findings[i].fails && !finding_is_open(&r->findings[i]);
	}
	return sums;
}

static void open_case(const char *rule, const char *name, FILE *out)
{
	fprintf(out, "    <testcase classname=\"mtrace.gate.%s\"", rule);
	put_attribute("name", name, out);
}

/* What the cases of findings are called. Those of one name are told apart by number: consumers join runs by them. */
struct names {
	char (*at)[NAME_BYTES];
	size_t count;
};

static void name_cases(const struct gate_result *r, struct names *names)
{
	names->count = r->finding_count;
	names->at = calloc(names->count + 1, sizeof *names->at);
	if (!names->at)
		die(2, "out of memory");
	for (size_t i = 0; i < names->count; i++)
		finding_subject(&r->findings[i], names->at[i], NAME_BYTES - 16); /* the number has room */
}

static bool same_case(const struct gate_result *r, const struct names *names, size_t a, size_t b)
{
	return r->findings[a].rule == r->findings[b].rule && strcmp(names->at[a], names->at[b]) == 0;
}

/* Does `a` come before `b` in every run that has both? */
static bool precedes(const struct gate_result *r, size_t a, size_t b)
{
	const char *x = r->findings[a].identity, *y = r->findings[b].identity;
	int order = strcmp(x ? x : "", y ? y : "");
	return order < 0 || (order == 0 && a < b);
}

/* By identity, not by who is worst today. The first keeps its name. */
static void number_cases(const struct gate_result *r, struct names *names)
{
	uint32_t *before = calloc(names->count + 1, sizeof *before);
	if (!before)
		die(2, "out of memory");
	for (size_t i = 0; i < names->count; i++)
		for (size_t k = 0; k < names->count; k++)
			before[i] += k != i && same_case(r, names, i, k) && precedes(r, k, i);
	for (size_t i = 0; i < names->count; i++)
		if (before[i])
			sprintf(names->at[i] + strlen(names->at[i]), " (%" PRIu32 ")", before[i] + 1);
	free(before);
}

static void put_skipped(const struct gate_finding *f, FILE *out)
{
	const struct suppression *s = f->suppression;
	char message[1024];
	snprintf(message, sizeof message, "suppressed by %s:%" PRIu32 "%s%s", s->file, s->line, s->reason ? ": " : "",
	         s->reason ? s->reason : "");
	fputs("      <skipped", out);
	put_attribute("message", message, out);
	fputs("/>\n", out);
}

static void put_body(const struct gate_result *r, const struct gate_finding *f, FILE *out)
{
	size_t bytes;
	char *text = finding_text(r, f, NULL, &bytes);
	put_escaped(text, false, out);
	free(text);
}

static void put_finding(const struct gate_result *r, const struct gate_finding *f, const char *name, const char *root,
                        FILE *out)
{
	struct finding_place place;
	char title[1024];
	finding_title(r, f, title, sizeof title);
	open_case(gate_rule_word(f->rule), name, out);
	if (finding_place(f, root, &place)) {
		put_attribute("file", place.path, out);
		fprintf(out, " line=\"%" PRIu32 "\"", place.line);
	}
	fputs(">\n", out);
	if (!f->fails && !finding_is_open(f)) {
		put_skipped(f, out);
	} else {
		const char *element = f->fails ? "failure" : "error";
		fprintf(out, "      <%s", element);
		put_attribute("message", title, out);
		put_attribute("type", f->fails ? gate_rule_word(f->rule) : "inconclusive", out);
		fputc('>', out);
		put_body(r, f, out);
		fprintf(out, "</%s>\n", element);
	}
	fputs("    </testcase>\n", out);
}

static void put_inconclusive(const struct gate_result *r, FILE *out)
{
	open_case("run", "the run allows a verdict", out);
	fputs(">\n      <error", out);
	put_attribute("message", r->reason, out);
	fputs(" type=\"inconclusive\"/>\n    </testcase>\n", out);
}

static void put_suite(const struct gate_result *r, const struct sums *sums, FILE *out)
{
	fprintf(out,
	        "  <testsuite name=\"mtrace.gate\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" "
	        "time=\"%.3f\">\n",
	        sums->tests, sums->failures, sums->errors, sums->skipped, r->seconds > 0 ? r->seconds : 0.0);
	char *command = outputs_command(r);
	fputs("    <properties>\n      <property name=\"command\"", out);
	put_attribute("value", command, out);
	free(command);
	fputs("/>\n      <property name=\"verdict\"", out);
	put_attribute("value", r->reason, out);
	fprintf(out, "/>\n      <property name=\"status\" value=\"%d\"/>\n    </properties>\n", r->status);
}

void outputs_junit(const struct gate_result *r, const char *root, FILE *out)
{
	struct sums sums = sum_up(r);
	struct names names;
	name_cases(r, &names);
	number_cases(r, &names);
	fprintf(out,
	        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mtrace gate\" tests=\"%zu\" "
	        "failures=\"%zu\" errors=\"%zu\">\n",
	        sums.tests, sums.failures, sums.errors);
	put_suite(r, &sums, out);
	if (r->outcome == GATE_INCONCLUSIVE)
		put_inconclusive(r, out);
	for (size_t i = 0; i < r->finding_count; i++)
		put_finding(r, &r->findings[i], names.at[i], root, out);
	free(names.at);
	for (size_t i = 0; i < r->rules_held_count; i++) {
		open_case("held", r->rules_held[i], out);
		fputs("/>\n", out);
	}
	fputs("  </testsuite>\n</testsuites>\n", out);
}
