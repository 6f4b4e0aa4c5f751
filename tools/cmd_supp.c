/*
 * cmd_supp: `mtrace supp gen TARGET` writes suppressions for what it finds, `mtrace supp lint FILE…` says what is wrong with
 * files of them: lines that LeakSanitizer or the gate would not take, those that hide too much, and, against a run, those
 * that cover nothing or too much. lint: exit 0 nothing to complain of, 1 complaints, 2 usage or I/O.
 */
#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit/emit.h"
#include "emit/emit_text.h"
#include "gate/suppressions.h"
#include "model/growth.h"
#include "model/leaks.h"
#include "model/past.h"
#include "model/profile.h"
#include "show.h"

enum { ROWS, ALL, STACK, ON_MARK, AGAINST, BUILT_IN, TODAY, OUTPUT, SEARCH };

const struct command_option cmd_supp_options[] = {
	[ROWS] = {"-n", "N",
                  "gen: so many stacks at most, 0 all (default: every leak; where no verdict is known the 10 largest)"},
	[ALL] = {"--all", NULL, "gen: every stack that holds something, whatever its verdict"},
	[STACK] = {"--stack", "ID", "gen: this stack alone"},
	[ON_MARK] = {"--on-mark", "NAME",
                     "gen: verdicts from windows that end at these marks, as a gate's do (default: by time)"},
	[AGAINST] = {"--against", "TARGET", "lint: say what each line covers of what is live there"},
	[BUILT_IN] = {"--built-in", NULL, "lint: those that every gate has, too"},
	[TODAY] = {"--today", "DATE", "the day to reckon from (default: today, UTC)"},
	[OUTPUT] = {"-o", "FILE", "write there instead of stdout"},
	[SEARCH] = {"--search", "DIR", "look there for files with symbols, too (may be given again)"},
	{NULL, NULL, NULL},
};

enum { MOST_SEARCH = 32, VALID_DAYS = 90, DEFAULT_ROWS = 10 };

struct request {
	bool lints;
	const char **operands;
	size_t operand_count;
	const char *against, *stack, *on_mark, *output;
	const char *search[MOST_SEARCH + 1];
	size_t search_count;
	uint32_t rows, today;
	bool has_rows, all, built_in;
};

/* ---- what was asked for ---- */

static bool take_date(const char *word, uint32_t *date)
{
	if (suppressions_date(word, date))
		return true;
	warn("supp: --today takes a day, as 2027-01-31; not %s", word);
	return false;
}

static bool take_search(struct request *r, const char *path)
{
	if (!show_is_directory("supp", path))
		return false;
	if (r->search_count < MOST_SEARCH)
		r->search[r->search_count++] = path;
	return true;
}

static bool take(struct request *r, int option, const char *value)
{
	switch (option) {
	case ROWS: r->has_rows = true; return show_number("supp", value, &r->rows);
	case ALL: r->all = true; return true;
	case STACK: r->stack = value; return true;
	case ON_MARK: r->on_mark = value; return true;
	case AGAINST: r->against = value; return true;
	case BUILT_IN: r->built_in = true; return true;
	case TODAY: return take_date(value, &r->today);
	case OUTPUT: r->output = value; return true;
	case SEARCH: return take_search(r, value);
	case -3: r->operands[r->operand_count++] = value; return true;
	default: return false;
	}
}

static bool parse(int argc, char **argv, const struct command *self, struct request *r)
{
	static const char *const verbs[] = {"gen", "lint", NULL};
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(r, option, cursor.value))
			return false;
	if (r->operand_count == 0) {
		warn("supp: gen or lint? `mtrace supp gen TARGET` writes suppressions, `mtrace supp lint FILE…` checks "
		     "files of them");
		return false;
	}
	int verb = show_choice("supp", "the first word", r->operands[0], verbs);
	r->lints = verb == 1;
	if (verb < 0)
		return false;
	if ((r->operand_count < 2 && !r->built_in) || (!r->lints && r->operand_count > 2)) {
		warn(r->lints ? "supp lint: which files?"
		              : "supp gen: of what? give one pid, segment file or recording, or `last`");
		return false;
	}
	if (r->lints ? r->all || r->stack || r->has_rows || r->on_mark : r->against || r->built_in) {
		warn("supp %s: %s", r->operands[0],
		     r->lints ? "-n, --all, --stack and --on-mark are gen's" : "--against and --built-in are lint's");
		return false;
	}
	return true;
}

/* ---- gen ---- */

/* Stacks of one function under one caller are covered by one line. */
struct group {
	struct suppression_names names;
	struct profile_counts counts;
};

struct groups {
	struct group *at;
	size_t count;
	uint32_t unnamed; /* stacks without a name in them */
};

static struct group *group_of(struct groups *groups, const struct suppression_names *names)
{
	for (size_t i = 0; i < groups->count; i++)
		if (strcmp(groups->at[i].names.pattern, names->pattern) == 0 &&
		    strcmp(groups->at[i].names.caller, names->caller) == 0)
			return &groups->at[i];
	groups->at = reallocarray(groups->at, groups->count + 1, sizeof *groups->at);
	if (!groups->at)
		die(EXIT_TROUBLE, "out of memory");
	groups->at[groups->count] = (struct group){.names = *names};
	return &groups->at[groups->count++];
}

static void add_stack(struct groups *groups, const struct profile_process *process, const struct profile_stack *stack)
{
	struct suppression_names names;
	if (suppressions_name(process, stack, &names))
		profile_counts_add(&group_of(groups, &names)->counts, &stack->counts);
	else
		groups->unnamed++;
}

/* What its history says: false when there is none. */
static bool add_leaks(struct groups *groups, const struct profile_process *process, const char *on_mark, uint32_t limit)
{
	struct growth growth;
	struct leaks leaks = {0};
	bool judged = past_windows(process, on_mark, &growth);
	uint32_t *same = calloc(growth.series_count + 1, sizeof *same);
	if (!same)
		die(EXIT_TROUBLE, "out of memory");
	for (uint32_t i = 0; i < growth.series_count; i++)
		same[i] = i;
	if (judged)
		leaks_judge(&growth, same, process, NULL, &leaks);
	for (size_t i = 0, n = 0; i < leaks.count && n < limit; i++)
		if (leaks.rows[i].verdict.kind == VERDICT_LEAK) {
			add_stack(groups, process, leaks.rows[i].stack);
			n++;
		}
	leaks_free(&leaks);
	growth_free(&growth);
	free(same);
	return judged;
}

static bool is_asked_for(const struct request *r, const struct profile_stack *stack)
{
	char id[24];
	snprintf(id, sizeof id, "%016" PRIx64, stack->id);
	return stack->counts.live_blocks && (!r->stack || strcmp(id, r->stack) == 0);
}

static void add_live(struct groups *groups, const struct request *r, const struct profile_process *process,
                     uint32_t limit)
{
	for (uint32_t i = 0, n = 0; i < process->stack_count && n < limit; i++)
		if (is_asked_for(r, &process->stacks[i])) {
			add_stack(groups, process, &process->stacks[i]);
			n++;
		}
}

static void find_stacks(struct groups *groups, const struct request *r, const struct profile *p)
{
	uint32_t limit = r->has_rows && r->rows ? r->rows : UINT32_MAX;
	for (uint32_t i = 0; i < p->process_count; i++) {
		bool by_verdict = !r->all && !r->stack;
		if (by_verdict && (add_leaks(groups, &p->processes[i], r->on_mark, limit) || r->on_mark))
			continue; /* of marks that are too few for verdicts nothing follows */
		add_live(groups, r, &p->processes[i], by_verdict && !r->has_rows ? DEFAULT_ROWS : limit);
	}
}

static int write_groups(const struct request *r, const struct groups *groups)
{
	FILE *out;
	if (groups->unnamed)
		warn("supp gen: %s: %u stack%s left out: no frame has a name; `mtrace symbolize` or --search may find "
		     "them",
		     r->operands[1], groups->unnamed, groups->unnamed == 1 ? "" : "s");
	if (groups->count == 0) {
		warn("supp gen: %s: nothing to suppress%s", r->operands[1],
		     r->stack     ? ": no such stack holds anything"
		     : r->on_mark ? ": no stack has the verdict leak by these marks, or they are too few; `mtrace "
		                    "leaks --on-mark` tells"
		     : r->all     ? ""
		                  : ": no stack has the verdict leak; --all takes every stack that holds something");
		return EXIT_NOTHING;
	}
	if (show_output("supp gen", r->output, &out) != 0)
		return EXIT_TROUBLE;
	for (size_t i = 0; i < groups->count; i++)
		suppressions_write(out, &groups->at[i].names, &groups->at[i].counts,
		                   suppressions_days_later(r->today, VALID_DAYS));
	return show_close("supp gen", r->output, out) == 0 ? EXIT_DONE : EXIT_TROUBLE;
}

static int generate(const struct request *r)
{
	struct groups groups = {0};
	struct profile *p = show_open("supp gen", r->operands[1], r->search_count ? r->search : NULL);
	if (!p)
		return EXIT_TROUBLE;
	find_stacks(&groups, r, p);
	int code = show_recorded("supp gen", r->operands[1], p);
	if (code == EXIT_DONE)
		code = write_groups(r, &groups);
	free(groups.at);
	profile_free(p);
	return code;
}

/* ---- lint ---- */

struct linting {
	const struct request *request;
	struct suppressions suppressions;
	FILE *out;
	size_t complaints;
};

static void say_of(struct linting *l, const struct suppression *row, const char *what)
{
	fprintf(l->out, "%s:%" PRIu32 ": %s [leak:", row->file, row->line, what);
	emit_text_cut(l->out, row->pattern, 60);
	fputs("]\n", l->out);
}

static void complain(struct linting *l, const struct suppression *row, const char *what)
{
	l->complaints++;
	say_of(l, row, what);
}

static void say_problems(struct linting *l)
{
	const struct suppressions *s = &l->suppressions;
	for (size_t i = 0; i < s->problem_count && i < SUPPRESSIONS_PROBLEMS; i++) {
		fprintf(l->out, "%s:%" PRIu32 ": ", s->problems[i].file, s->problems[i].line);
		emit_text_cut(l->out, s->problems[i].text, sizeof s->problems[i].text);
		fputc('\n', l->out);
	}
	if (s->problem_count > SUPPRESSIONS_PROBLEMS)
		fprintf(l->out, "and %zu lines more are wrong\n", s->problem_count - SUPPRESSIONS_PROBLEMS);
	l->complaints += s->problem_count;
}

static bool names_library(const char *pattern)
{
	const char *so = strstr(pattern, ".so");
	return so && (so[3] == '\0' || strchr(".*$", so[3]));
}

static void say_of_pattern(struct linting *l, const struct suppression *row)
{
	const char *end = strchr(row->pattern, '$');
	if (row->pattern[strspn(row->pattern, "*^")] == '\0')
		complain(l, row, "covers every stack; name a function");
	else if (suppressions_matches_all(row))
		complain(l, row,
		         "covers all that a thread does, since it matches main or what starts threads; name a "
		         "function, or at=site");
	else if (names_library(row->pattern))
		complain(l, row, "hides every leak below a whole library; name a function of it");
	if (row->pattern[0] == ' ' || row->pattern[0] == '\t')
		complain(l, row, "the blank after leak: is part of the pattern");
	if (end && end[1] != '\0')
		complain(l, row, "what follows $ is not looked at; write * where the text has a $");
	if (row->pattern[0] && strchr(row->pattern + 1, '^'))
		complain(l, row, "^ means the begin at the begin only, and is a letter here");
}

static void say_of_words(struct linting *l, const struct suppression *row)
{
	const char *reason = row->reason, *owner = row->owner;
	if (!reason || reason[0] == '\0')
		complain(l, row, "no reason is said; write above it: # mtrace: reason=\"…\" owner=…");
	else if (strncmp(reason, "TODO", 4) == 0)
		complain(l, row, "its reason is still to be written");
	if (owner && strcmp(owner, "TODO") == 0)
		complain(l, row, "its owner is still to be named");
	if (suppressions_is_expired(row, l->request->today))
		complain(l, row, "expired: the gate fails; fix the leak, remove the line, or give until= another day");
}

static void say_of_twin(struct linting *l, size_t index)
{
	const struct suppression *rows = l->suppressions.rows, *row = &rows[index];
	char text[512];
	for (size_t i = 0; i < index; i++)
		if (strcmp(rows[i].pattern, row->pattern) == 0 &&
		    strcmp(rows[i].caller ? rows[i].caller : "", row->caller ? row->caller : "") == 0) {
			snprintf(text, sizeof text, "the same stands in %.300s:%" PRIu32 ", which is found first",
			         rows[i].file, rows[i].line);
			complain(l, row, text);
			return;
		}
}

static void say_of_use(struct linting *l, const struct suppression *row)
{
	char bytes[32], blocks[32], text[128];
	if (row->stacks == 0 && suppressions_is_built_in(row))
		return;
	if (row->stacks == 0) {
		complain(l, row, "covers nothing there: remove it, if that run did all that it should");
		return;
	}
	emit_bytes(bytes, row->live_bytes);
	emit_count(blocks, row->live_blocks);
	snprintf(text, sizeof text, "covers %s in %s block%s of %" PRIu64 " stack%s", bytes, blocks,
	         row->live_blocks == 1 ? "" : "s", row->stacks, row->stacks == 1 ? "" : "s");
	say_of(l, row, text);
	if (suppressions_is_exceeded(row))
		complain(l, row, "covers more than its max: the gate fails");
}

static void cover(struct suppressions *s, const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++) {
		const struct profile_process *process = &p->processes[i];
		for (uint32_t k = 0; k < process->stack_count; k++) {
			const struct profile_stack *stack = &process->stacks[k];
			struct suppression *row =
				stack->counts.live_blocks ? suppressions_find(s, process, stack) : NULL;
			if (row)
				suppressions_cover(row, &stack->counts);
		}
	}
}

/* false after one line on stderr. */
static bool read_files(struct linting *l)
{
	const struct request *r = l->request;
	for (size_t i = 1; i < r->operand_count; i++) {
		int trouble = suppressions_read(&l->suppressions, r->operands[i]);
		if (trouble) {
			warn("supp lint: %s: %s", r->operands[i], strerror(-trouble));
			return false;
		}
	}
	if (r->built_in)
		suppressions_add_built_in(&l->suppressions);
	if (!r->against)
		return true;
	struct profile *p = show_open("supp lint", r->against, r->search_count ? r->search : NULL);
	if (!p)
		return false;
	cover(&l->suppressions, p);
	profile_free(p);
	return true;
}

static int lint(const struct request *r)
{
	struct linting l = {.request = r};
	suppressions_init(&l.suppressions);
	if (!read_files(&l) || show_output("supp lint", r->output, &l.out) != 0) {
		suppressions_free(&l.suppressions);
		return EXIT_TROUBLE;
	}
	say_problems(&l);
	for (size_t i = 0; i < l.suppressions.count; i++) {
		say_of_pattern(&l, &l.suppressions.rows[i]);
		say_of_words(&l, &l.suppressions.rows[i]);
		say_of_twin(&l, i);
		if (r->against)
			say_of_use(&l, &l.suppressions.rows[i]);
	}
	suppressions_free(&l.suppressions);
	if (show_close("supp lint", r->output, l.out) != 0)
		return EXIT_TROUBLE;
	return l.complaints ? EXIT_NOTHING : EXIT_DONE;
}

int cmd_supp(int argc, char **argv, const struct command *self)
{
	struct request r = {.today = suppressions_today()};
	int code = EXIT_TROUBLE;
	r.operands = calloc((size_t)argc + 1, sizeof *r.operands);
	if (!r.operands)
		die(EXIT_TROUBLE, "out of memory");
	if (parse(argc, argv, self, &r))
		code = r.lints ? lint(&r) : generate(&r);
	free(r.operands);
	return code;
}
