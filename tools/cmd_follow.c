/*
 * cmd_follow: `mtrace follow`: the records of a process's ring, one line each as they come, and every --every what
 * `mtrace leaks` says: verdicts from the windows that it takes meanwhile, or, while these are too few, from the process's
 * own history. It ends when the process does and says how, at SIGINT or SIGTERM, or after --for; of a dead process or a
 * recording it prints what the ring held.
 *
 * It only reads: five looks a second, each two short reads while there is nothing new, and REPORT_WINDOWS times a report
 * the counts; nothing is sent to the process, and nothing waits for us.
 */
#include "command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "emit/emit.h"
#include "emit/emit_text.h"
#include "emit/events.h"
#include "model/leaks.h"
#include "model/past.h"
#include "model/profile.h"
#include "observe/observe.h"
#include "read/read.h"
#include "show.h"
#include "symbols/symbols.h"

enum { EVERY, FOR, JSON, ROWS, ALL };

const struct command_option cmd_follow_options[] = {
	[EVERY] = {"--every", "TIME", "a leak report that often: 90s, 10m, 2h; 0: none (default 10m)"},
	[FOR] = {"--for", "TIME", "end after that time"},
	[JSON] = {"--json", NULL, "one JSON object per line: records, \"report\", \"lost\", \"end\""},
	[ROWS] = {"-n", "N", "stacks shown in a leak report, 0 all (default 10)"},
	[ALL] = {"--all", NULL, "of a process that runs: all records that its ring holds first, not the last ten"},
	{NULL, NULL, NULL},
};

enum { LOOK_NS = 200000000, EARLIER = 10, EXEC_LOOKS = 10, REPORT_WINDOWS = 16 };
#define SECOND_NS 1000000000u
#define NO_END UINT64_MAX

struct follow {
	const char *target;
	uint64_t every_ns, end_ns, report_ns; /* the last two: instants of the monotonic clock; NO_END never */
	bool json, all, from_now;
	struct emit_options emit;

	struct read_news news, told;  /* what was lost, and what of that was said */
	bool begun;                   /* the first look is over */
	bool has_sample;
	uint64_t sample_live;         /* of the last sample shown */
	struct observe windows;       /* taken since we came, or since it became this program */
	bool has_windows;
	uint64_t window_ns;           /* when the next one ends: an instant of the monotonic clock */
};

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
	(void)number;
	asked_to_end = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- lines ---- */

static void put_json(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	json_decref(object);
	putchar('\n');
}

static json_t *new_line(const char *kind)
{
	json_t *line = json_pack("{s:s}", "kind", kind);
	if (!line)
		die(EXIT_TROUBLE, "out of memory");
	return line;
}

static void set_number(json_t *line, const char *key, uint64_t value)
{
	json_object_set_new(line, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

/* A busy process gives a sample a second: lines only where the figure moved. */
static bool is_worth_a_line(struct follow *f, const struct profile_event *e)
{
	if (e->kind != MTRACE_RING_sample)
		return true;
	uint64_t live = e->value[0], was = f->sample_live;
	uint64_t moved = live > was ? live - was : was - live;
	if (f->has_sample && (moved < 65536 || moved < was / 20))
		return false;
	f->has_sample = true;
	f->sample_live = live;
	return true;
}

static void put_event(struct follow *f, const struct profile_process *p, const struct profile_event *e)
{
	if (f->json) {
		json_t *line = emit_event_json(p, e, true);
		set_number(line, "pid", p->pid);
		put_json(line);
	} else if (is_worth_a_line(f, e)) {
		emit_event_text(p, e, stdout);
	}
}

static void put_lost(uint64_t count, const char *why)
{
	char n[32];
	emit_count(n, count);
	if (count)
		printf("…  %s records %s\n", n, why);
}

static void say_lost(struct follow *f)
{
	struct read_news *now = &f->news, *told = &f->told;
	uint64_t overwritten = now->overwritten - told->overwritten, unfinished = now->unfinished - told->unfinished;
	uint64_t held_back = now->held_back - told->held_back;
	*told = *now;
	if (!overwritten && !unfinished && !held_back)
		return;
	if (f->json) {
		json_t *line = new_line("lost");
		set_number(line, "overwritten", overwritten);
		set_number(line, "unfinished", unfinished);
		set_number(line, "held_back", held_back);
		put_json(line);
		return;
	}
	put_lost(overwritten, "lost: overwritten before they were read (ring= in MTRACE_OPTIONS is its size)");
	put_lost(unfinished, "lost: never finished by their writer");
	put_lost(held_back, "held back by the process: too many of a kind in one second");
}

static void say_who(const struct follow *f, const struct profile_process *p)
{
	char text[160];
	if (f->json)
		return;
	emit_end_text(p, text, sizeof text);
	printf("%s  pid %u  %s\n", emit_program(p), p->pid, text);
}

static void say_end(struct follow *f, const struct profile_process *p)
{
	char text[160];
	emit_end_text(p, text, sizeof text);
	if (!f->json) {
		printf("%s: %s\n", p->end == PROFILE_EXEC ? "exec" : "ended", text);
		return;
	}
	json_t *line = new_line("end");
	json_object_set_new(line, "reason", json_string(profile_end_name(p->end)));
	set_number(line, "status", (uint64_t)p->end_status);
	set_number(line, "lived_ns", p->lived_ns);
	put_json(line);
}

/* ---- reports ---- */

static void report_json(struct follow *f, const struct profile *p)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *memory = open_memstream(&text, &bytes);
	if (!memory)
		die(EXIT_TROUBLE, "out of memory");
	emit_json(p, &f->emit, memory);
	if (fclose(memory) != 0)
		die(EXIT_TROUBLE, "out of memory");
	for (size_t i = 0; i < bytes; i++)
		text[i] = text[i] == '\n' ? ' ' : text[i]; /* no string of JSON has one inside */
	printf("{\"kind\":\"report\",\"report\":%s}\n", text);
	free(text);
}

static void set_limit(pid_t pid, struct leaks *leaks)
{
	char who[16];
	snprintf(who, sizeof who, "%d", (int)pid);
	leaks->limit_bytes = pid ? read_memory_limit(who) : 0;
	leaks->limit_from = "memory.max of its cgroup";
}

/* By the windows that were taken, else by what it remembers. */
static bool judge(struct follow *f, const struct profile *p, struct leaks *leaks)
{
	struct growth growth;
	if (growth_windows(&f->windows.growth) >= VERDICT_WINDOWS) {
		observe_judge(&f->windows, p, NULL, leaks);
	} else {
		bool judged = past_windows(&p->processes[0], NULL, &growth);
		if (judged)
			leaks_judge(&growth, NULL, &p->processes[0], NULL, leaks);
		growth_free(&growth);
		if (!judged)
			return false;
		leaks->from_history = true;
	}
	set_limit(f->windows.running.pid, leaks);
	return true;
}

static void put_report(struct follow *f, const struct profile *p)
{
	if (f->json) {
		report_json(f, p);
		return;
	}
	putchar('\n');
	emit_text(p, &f->emit, stdout);
	putchar('\n');
}

static void report(struct follow *f)
{
	struct read_error error;
	struct leaks leaks = {.count = 0};
	struct profile *p = observe_now(&f->windows, &error);
	if (!p) {
		warn("follow: %s", error.text);
		return;
	}
	show_name(p, NULL);
	f->emit.judged = judge(f, p, &leaks) ? &leaks : NULL;
	f->emit.no_verdict = "too few windows yet, and too little history; a later report has them";
	put_report(f, p);
	f->emit.judged = NULL;
	leaks_free(&leaks);
	profile_free(p);
}

/* ---- windows ---- */

/* Not of a process that has ended. */
static void begin_windows(struct follow *f)
{
	struct read_error error;
	if (!f->every_ns)
		return;
	f->has_windows = observe_begin(&f->windows, f->target, &error) == 0;
	if (!f->has_windows)
		return;
	observe_take(&f->windows);
	f->window_ns = now_ns() + f->every_ns / REPORT_WINDOWS;
}

static void end_windows(struct follow *f)
{
	if (f->has_windows)
		observe_free(&f->windows);
	f->has_windows = false;
}

static void take_window_if_due(struct follow *f)
{
	if (!f->has_windows || now_ns() < f->window_ns)
		return;
	observe_take(&f->windows);
	f->window_ns = now_ns() + f->every_ns / REPORT_WINDOWS; /* from its end: a huge one is not read all the time */
}

static void report_if_due(struct follow *f)
{
	uint64_t now = now_ns();
	if (!f->has_windows || now < f->report_ns)
		return;
	report(f);
	f->report_ns = now_ns() + f->every_ns; /* from the end of this one: a huge process is not read all the time */
}

/* ---- one look ---- */

static void name_frames(struct profile *p, bool alive)
{
	struct symbols_options options = {.pid = alive ? read_pid_here(p->processes[0].pid, p->processes[0].start_time) : 0};
	struct symbols_result result = {0};
	if (p->processes[0].frame_count)
		symbols_resolve(p, &options, &result);
}

/* Of what was there before we came: the last few. */
static uint32_t first_shown(const struct follow *f, const struct profile_process *p)
{
	if (f->begun || f->all || !f->news.alive || f->json)
		return f->begun || !f->from_now ? 0 : p->event_count;
	if (f->from_now)
		return p->event_count;
	return p->event_count > EARLIER ? p->event_count - EARLIER : 0;
}

static void put_events(struct follow *f, const struct profile_process *p)
{
	uint32_t first = first_shown(f, p);
	char n[32];
	emit_count(n, first);
	if (first && !f->from_now && !f->begun)
		printf("…  %s records before these: --all shows them\n", n);
	for (uint32_t i = first; i < p->event_count; i++)
		put_event(f, p, &p->events[i]);
}

/* What was lost before we came is not our loss. */
static void look(struct follow *f)
{
	struct profile *p = profile_new();
	int code = read_segment_news(&f->news, p);
	if (!f->begun)
		f->told = f->news;
	say_lost(f);
	if (code == 1) {
		name_frames(p, f->news.alive);
		put_events(f, &p->processes[0]);
	}
	f->begun = true;
	profile_free(p);
	fflush(stdout);
}

/* ---- from the beginning to the end ---- */

static bool goes_on(const struct follow *f)
{
	return f->news.alive && !asked_to_end && now_ns() < f->end_ns && !ferror(stdout);
}

static void look_till_the_end(struct follow *f)
{
	f->news.alive = true;
	for (;;) {
		look(f);
		if (!goes_on(f))
			return;
		take_window_if_due(f);
		report_if_due(f);
		fflush(stdout);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	}
}

/* The same process still runs, whatever program it is now. Its pid here, if the target was one, else its own. */
static bool is_still_there(const struct follow *f, const struct profile_process *p)
{
	bool is_pid = f->target[strspn(f->target, "0123456789")] == '\0';
	char path[64], stat[1024] = "", state = 'Z';
	unsigned long long start;
	snprintf(path, sizeof path, "/proc/%lu/stat", is_pid ? strtoul(f->target, NULL, 10) : (unsigned long)p->pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	const char *at = fgets(stat, sizeof stat, file) ? strrchr(stat, ')') : NULL;
	fclose(file);
	for (int field = 2; at && field < 22; field++) { /* the name, field 2, may hold blanks and brackets */
		at = strchr(at + 1, ' ');
		state = at && field == 2 ? at[1] : state;
	}
	start = at ? strtoull(at, NULL, 10) : 0;
	return state != 'Z' && state != 'X' && start == p->start_time;
}

/* The segment of the image that came after: it is there within an instant if it is recorded at all. */
static bool take_next_image(struct follow *f)
{
	struct read_error error;
	struct profile *p = profile_new();
	bool found = false;
	for (int looks = 0; looks < EXEC_LOOKS && !found && !asked_to_end; looks++) {
		int fd = read_open_segment(f->target, &error);
		struct read_news news = {.fd = fd};
		found = fd >= 0 && read_segment_news(&news, p) >= 0 && news.alive;
		if (found) {
			close(f->news.fd);
			f->news = f->told = (struct read_news){.fd = fd};
			end_windows(f); /* of another program */
			begin_windows(f);
			break;
		}
		if (fd >= 0)
			close(fd);
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS / 2}, NULL);
	}
	profile_free(p);
	return found;
}

/* true: it became another program, which is followed in its place. */
static bool say_how_it_ended(struct follow *f)
{
	struct profile *p = profile_new();
	bool again = false;
	if (read_segment_who(f->news.fd, p) == 0) {
		const struct profile_process *process = &p->processes[0];
		bool lives_on = process->end != PROFILE_EXIT && is_still_there(f, process);
		if (lives_on)
			p->processes[0].end = PROFILE_EXEC; /* the later image says so when it has begun, if it is traced at all */
		say_end(f, process);
		again = lives_on && take_next_image(f);
	}
	profile_free(p);
	return again;
}

static int follow_segment(struct follow *f)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct profile *who = profile_new();
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (read_segment_who(f->news.fd, who) != 0) {
		warn("follow: %s: not a segment that this mtrace can read; `mtrace report %s` says why", f->target, f->target);
		profile_free(who);
		return EXIT_TROUBLE;
	}
	if (!f->from_now)
		say_who(f, &who->processes[0]);
	profile_free(who);
	f->report_ns = now_ns() + f->every_ns;
	begin_windows(f);
	do
		look_till_the_end(f);
	while (!f->news.alive && !asked_to_end && say_how_it_ended(f));
	end_windows(f);
	if (f->news.alive || f->news.position)
		return EXIT_DONE;
	warn("follow: %s has no ring: it was written by an earlier libmtrace, or there was no room for one", f->target);
	return EXIT_NOTHING;
}

/* A recording, which has names already. */
static int print_recorded(struct follow *f)
{
	struct profile *p = show_open("follow", f->target, NULL);
	bool any = false;
	if (!p)
		return EXIT_TROUBLE;
	for (uint32_t i = 0; i < p->process_count; i++) {
		const struct profile_process *process = &p->processes[i];
		if (!process->event_count)
			continue;
		any = true;
		say_who(f, process);
		f->has_sample = false;
		put_lost(f->json ? 0 : process->events_overwritten, "before these were overwritten");
		for (uint32_t e = 0; e < process->event_count; e++)
			put_event(f, process, &process->events[e]);
		say_end(f, process);
	}
	bool outside = p->process_count && p->processes[0].mode == PROFILE_OUTSIDE;
	profile_free(p);
	if (!any && outside)
		warn("follow: %s is not traced: start it under `mtrace run`; `mtrace doctor %s` tells what would work", f->target,
		     f->target);
	else if (!any)
		warn("follow: %s holds no records of a ring; it was made by an earlier version, or the run was not recorded",
		     f->target);
	return any ? EXIT_DONE : EXIT_NOTHING;
}

static int start(struct follow *f)
{
	struct read_error error;
	int fd = read_open_segment(f->target, &error);
	if (fd == -EMEDIUMTYPE)
		return print_recorded(f);
	if (fd < 0) {
		warn("follow: %s", error.text);
		return EXIT_TROUBLE;
	}
	f->news.fd = fd;
	int code = follow_segment(f);
	close(f->news.fd);
	return code;
}

/* ---- options ---- */

static bool take(struct follow *f, int option, const char *value)
{
	uint64_t ns;
	switch (option) {
	case EVERY: return show_duration("follow", "--every", value, &f->every_ns);
	case FOR:
		if (!show_duration("follow", "--for", value, &ns))
			return false;
		f->end_ns = now_ns() + ns;
		return true;
	case JSON: f->json = true; return true;
	case ROWS: return show_number("follow", value, &f->emit.limit);
	case ALL: f->all = true; return true;
	case -3: return show_one_target("follow", &f->target, value);
	default: return false;
	}
}

static struct follow defaults(void)
{
	return (struct follow){.every_ns = 600ull * SECOND_NS, .end_ns = NO_END, .emit = {.leaks = true, .limit = 10}};
}

int cmd_follow(int argc, char **argv, const struct command *self)
{
	struct follow f = defaults();
	struct option_cursor cursor = {.index = 1};
	for (int option; (option = option_or_operand(argc, argv, self, &cursor)) != -1;)
		if (!take(&f, option, cursor.value))
			return EXIT_TROUBLE;
	if (!f.target) {
		warn("follow: what? give a pid, a segment file, a recording, or `last`");
		return EXIT_TROUBLE;
	}
	show_dress(stdout, &f.emit.color, &f.emit.columns);
	f.emit.target = f.target;
	return start(&f);
}

int cmd_follow_on(const char *target)
{
	struct follow f = defaults();
	struct read_error error;
	struct profile *p = profile_new();
	int fd = read_open_segment(target, &error);
	bool lives = fd >= 0 && read_segment_who(fd, p) == 0 && p->processes[0].end == PROFILE_RUNNING;
	profile_free(p);
	if (fd >= 0)
		close(fd);
	if (!lives)
		return EXIT_DONE;
	f.target = f.emit.target = target;
	f.from_now = true;
	show_dress(stdout, &f.emit.color, &f.emit.columns);
	printf("\nfollowing %s: news as it comes, a report every 10 min; Ctrl-C ends\n", target);
	return start(&f);
}
