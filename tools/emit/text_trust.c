/*
 * text_trust: the box at the head of every section: how the figures were made, what was not seen, what was dropped,
 * what the tracker cost, how the process ended. Every counter that is not zero is named here, with its reason.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libiberty/libiberty.h>

#include "emit/emit_text.h"

static const struct row {
	const char *name, *help;
} counters[] = {
#define X(name, help) {#name, help},
#include "counters.def"
#undef X
};

static const char *help_of(const char *name)
{
	for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
		if (strcmp(counters[i].name, name) == 0)
			return counters[i].help;
	return "(this mtrace does not know what it counts)";
}

/* ---- how it ended ---- */

void emit_end_text(const struct profile_process *process, char *out, size_t size)
{
	char after[32] = "", how[96];
	if (process->lived_ns)
		emit_duration(after, process->lived_ns);
	const char *signal_name = process->end == PROFILE_SIGNAL ? strsigno(process->end_status) : NULL; /* sigabbrev_np: 2.32 */
	switch (process->end) {
	case PROFILE_RUNNING: snprintf(how, sizeof how, "running"); break;
	case PROFILE_EXIT: snprintf(how, sizeof how, "exit status %d", process->end_status); break;
	case PROFILE_SIGNAL:
		snprintf(how, sizeof how, "%s (signal %d)", signal_name ? signal_name : "SIG?", process->end_status);
		break;
	case PROFILE_EXEC: snprintf(how, sizeof how, "became another program (exec)"); break;
	default: /* mtrace run saw the signal; a segment alone has nothing that says why it ends */
		snprintf(how, sizeof how, "%s", process->end_status ? "killed: SIGKILL" : "killed: SIGKILL, or no word of its end");
	}
	const char *since = process->end == PROFILE_RUNNING ? ", for " : ", after ";
	snprintf(out, size, "%s%s%s", how, after[0] ? since : "", after);
}

static void ended(const struct page *page)
{
	char text[160];
	bool crashed = page->process->end == PROFILE_SIGNAL || page->process->end == PROFILE_KILLED;
	emit_end_text(page->process, text, sizeof text);
	text_label(page, page->process->end == PROFILE_RUNNING ? "state" : "ended");
	fprintf(page->out, "%s\n", text);
	if (!crashed)
		return;
	text_label(page, "");
	if (!page->process->in_tracker)
		fprintf(page->out, "no thread was inside libmtrace then\n");
	else if (page->process->end == PROFILE_SIGNAL)
		fprintf(page->out, "a thread was INSIDE libmtrace then: the crash may be ours, please report it\n");
	else
		fprintf(page->out, "a thread was inside libmtrace then; if it crashed (was not killed), please report it\n");
}

/* ---- the rows ---- */

/* Since when, and until when, in the words of a process that was attached to. */
static void pauses(const struct page *page)
{
	const struct profile_process *p = page->process;
	char time[32];
	time_t at = (time_t)((p->wall_start_ns + p->attached_ns) / 1000000000u);
	struct tm utc;
	if (p->attached && gmtime_r(&at, &utc) && strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S UTC", &utc)) {
		text_label(page, "");
		fprintf(page->out, "attached at %s: older blocks are not known, and their frees are unknown frees\n", time);
	}
	if (p->detached) {
		emit_duration(time, p->detached_ns);
		text_label(page, "");
		fprintf(page->out, "detached after %s: nothing is recorded since; `mtrace attach %u` goes on\n", time, p->pid);
	}
}

static void mode(const struct page *page)
{
	const struct profile_process *p = page->process;
	char size[32];
	emit_bytes(size, p->sample_bytes);
	text_label(page, "mode");
	if (p->mode == PROFILE_EXACT)
		fprintf(page->out, "exact: every block, its size and its stack\n");
	else if (p->mode == PROFILE_SAMPLE)
		fprintf(page->out, "sampled, one block per %s on average: live figures are estimates\n", size);
	else
		fprintf(page->out, "off: loaded, but nothing was recorded\n");
	pauses(page);
	if (p->forked) {
		text_label(page, "");
		fprintf(page->out, "forked: blocks from before the fork are the parent's (pid %u)\n", p->parent_pid);
	}
	if (p->poisoned) {
		text_label(page, "");
		fprintf(page->out, "STOPPED: the tracker found its own tables damaged; what is below ends there\n");
	}
}

static void coverage(const struct page *page)
{
	static const char *const names[][2] = {
		{"unknown_frees", "unknown frees"}, {"implicit_frees", "implicit"}, {"inherited_frees", "inherited"},
		{"bootstrap_blocks", "bootstrap blocks"}, {"unknown_jni_releases", "unknown JNI releases"},
	};
	text_label(page, "coverage");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char n[32];
		uint64_t value = profile_counter_of(page->process, names[i][0]);
		emit_count(n, value);
		if (i < 3 || value)
			fprintf(page->out, "%s%s %s", i ? ", " : "", n, names[i][1]);
	}
	fputc('\n', page->out);
	if (!profile_has_jvm(page->process) || page->process->jni)
		return;
	text_label(page, "");
	fprintf(page->out, "JNI references are not counted: mtrace run -- java …, or java -agentpath:…/libmtrace.so\n");
}

/* Counters of stacks that are not whole, by reason. Returns false when all are. */
static void whole(const struct page *page)
{
	static const char *const reasons[][2] = {
		{"stacks_lost_in_java", "lost in Java code"},
		{"stacks_too_deep", "deeper than depth="}, {"stacks_no_rules", "code without unwind rules"},
		{"stacks_bad_rules", "rules that cannot be evaluated"}, {"stacks_unreadable", "unreadable memory"},
	};
	char n[32];
	uint64_t total = profile_counter_of(page->process, "truncated_stacks"), told = 0;
	text_label(page, "stacks");
	if (total == 0) {
		fprintf(page->out, "all whole\n");
		return;
	}
	emit_count(n, total);
	fprintf(page->out, "%s captures not whole:", n);
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
		uint64_t value = profile_counter_of(page->process, reasons[i][0]);
		emit_count(n, value);
		if (value)
			fprintf(page->out, "%s %s %s", told ? "," : "", n, reasons[i][1]);
		told += value;
	}
	emit_count(n, total > told ? total - told : 0);
	if (total > told)
		fprintf(page->out, "%s %s other reasons", told ? "," : "", n);
	fputc('\n', page->out);
}

/* Only of a process that runs: its threads were in the middle of these, look after look. */
static void unsettled(const struct page *page)
{
	char n[32];
	if (page->process->unsettled_stacks == 0)
		return;
	emit_count(n, page->process->unsettled_stacks);
	text_label(page, "");
	fprintf(page->out, "%s changed too fast to be read at one instant: perhaps too low\n", n);
}

static bool is_told_above(const char *name)
{
	static const char *const told[] = {
		"unknown_frees", "implicit_frees", "inherited_frees", "bootstrap_blocks", "truncated_stacks", "stacks_too_deep",
		"stacks_no_rules", "stacks_bad_rules", "stacks_unreadable", "stacks_lost_in_java", "unknown_jni_releases",
	};
	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
		if (strcmp(told[i], name) == 0)
			return true;
	return false;
}

static void drops(const struct page *page)
{
	bool any = false;
	for (uint32_t i = 0; i < page->process->counter_count; i++) {
		const struct profile_counter *c = &page->process->counters[i];
		bool is_news = strncmp(c->name, "ring_", 5) == 0 || strncmp(c->name, "stream_", 7) == 0; /* no figures */
		bool is_asked_for = strcmp(c->name, "marks_between") == 0;
		if (c->value == 0 || is_told_above(c->name) || is_news || is_asked_for)
			continue;
		char n[32];
		emit_count(n, c->value);
		text_label(page, any ? "" : "drops");
		fprintf(page->out, "%s %s: %s\n", n, strncmp(c->name, "drop_", 5) == 0 ? c->name + 5 : c->name, help_of(c->name));
		any = true;
	}
	if (!any) {
		text_label(page, "drops");
		fprintf(page->out, "no drops\n");
	}
}

static void tracker(const struct page *page)
{
	const struct profile_process *p = page->process;
	char all[32], private[32];
	emit_bytes(all, p->tracker_bytes);
	emit_bytes(private, p->tracker_private_bytes);
	text_label(page, "tracker");
	fprintf(page->out, "%s of memory for all this", all);
	if (p->tracker_private_bytes)
		fprintf(page->out, ", at most %s of it private to the process", private);
	fputc('\n', page->out);
}

void text_trust(const struct page *page)
{
	const struct profile_process *p = page->process;
	char n[32];
	mode(page);
	ended(page);
	coverage(page);
	whole(page);
	unsettled(page);
	drops(page);
	tracker(page);
	if (p->skipped) {
		emit_count(n, p->skipped);
		text_label(page, "damaged");
		fprintf(page->out, "%s records could not be right and were left out\n", n);
	}
	if (p->note) {
		text_label(page, "note");
		fprintf(page->out, "%s\n", p->note);
	}
}
