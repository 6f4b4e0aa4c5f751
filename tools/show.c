/* show: see show.h. */
#include "show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "emit/emit.h"
#include "format.h"
#include "model/history.h"
#include "model/profile.h"
#include "read/read.h"
#include "read/recording.h"
#include "symbols/symbols.h"

static bool has_names(const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++)
		for (uint32_t f = 0; f < p->processes[i].frame_count; f++)
			if (p->processes[i].frames[f].name_count && p->processes[i].frames[f].kind != MTRACE_FRAME_JAVA)
				return true; /* Java frames have theirs in any segment */
	return false;
}

void show_name(struct profile *p, const char *const *search)
{
	if (has_names(p) && !search)
		return; /* a symbolised recording: its own names are the right ones */
	const struct profile_process *first = &p->processes[0];
	struct symbols_options options = {
		.search = search,
		.pid = p->process_count == 1 && first->end == PROFILE_RUNNING ? read_pid_here(first->pid, first->start_time) : 0,
		.again = search != NULL,
	};
	struct symbols_result result = {0};
	symbols_resolve(p, &options, &result);
}

/* ---- TARGET@MARK ---- */

/* Where the name of a mark begins; NULL: none is meant. A file may have an @ in its name. */
static const char *mark_in(const char *target)
{
	const char *at = strrchr(target, '@');
	return at && at != target && at[1] != '\0' && access(target, F_OK) != 0 ? at + 1 : NULL;
}

static bool has_mark(const struct profile_process *process, const char *name)
{
	for (uint32_t i = 0; i < process->mark_count; i++)
		if (strcmp(process->marks[i].name, name) == 0)
			return true;
	return false;
}

static void say_no_mark(const char *command, const char *target, const struct profile *p, const char *name)
{
	char names[256] = "";
	for (uint32_t i = 0; i < p->processes[0].boundary_count && strlen(names) < 160; i++) {
		uint32_t mark = p->processes[0].boundaries[i].mark;
		if (mark == PROFILE_NO_MARK)
			continue;
		size_t used = strlen(names);
		snprintf(names + used, sizeof names - used, "%s%.48s", used ? ", " : "", p->processes[0].marks[mark].name);
	}
	if (has_mark(&p->processes[0], name))
		warn("%s: %s: that mark has no counts: later ones took its place, or libmtrace.so was older", command, target);
	else
		warn("%s: %s: there is no such mark; %s%s", command, target, names[0] ? "there are: " : "it has none with counts",
		     names);
}

/* Processes that never saw the mark are left out. `end`, unless a mark has that name, is the end. */
static bool go_back(const char *command, const char *target, struct profile *p, const char *name)
{
	uint32_t kept = 0, unknown = 0, without = 0;
	for (uint32_t i = 0; i < p->process_count; i++) {
		struct profile_process *process = &p->processes[i];
		uint32_t boundary = history_of_mark(process, name);
		if (boundary == PROFILE_NO_MARK) {
			without++;
			continue;
		}
		unknown += history_go_back(p, process, boundary);
		process->stream = (struct profile_stream){.asked_ms = 0}; /* of another time */
		p->processes[kept++] = *process;
	}
	if (kept == 0 && strcmp(name, "end") == 0)
		return true;
	if (kept == 0) {
		say_no_mark(command, target, p, name);
		return false;
	}
	p->process_count = kept;
	if (without)
		warn("%s: %s: left out: %u processes without that mark", command, target, without);
	if (unknown)
		warn("%s: %s: left out: %u stacks of which is not known what they held then", command, target, unknown);
	return true;
}

/* The target without the mark. */
static struct profile *open_marked(const char *command, const char *target, const char *name, const char *const *search)
{
	char base[4096];
	int n = snprintf(base, sizeof base, "%.*s", (int)(name - 1 - target), target);
	struct profile *p = n < (int)sizeof base ? show_open(command, base, search) : NULL;
	if (p && !go_back(command, target, p, name)) {
		profile_free(p);
		p = NULL;
	}
	return p;
}

struct profile *show_open(const char *command, const char *target, const char *const *search)
{
	const char *mark = mark_in(target);
	if (mark)
		return open_marked(command, target, mark, search);
	struct read_error error = {.text = ""};
	struct profile *p = profile_new();
	if (read_target(target, p, &error) != 0) {
		warn("%s: %s", command, error.text);
		profile_free(p);
		return NULL;
	}
	if (p->process_count == 0) {
		warn("%s: %s: holds no process; the run it was made from traced none", command, target);
		profile_free(p);
		return NULL;
	}
	show_name(p, search);
	return p;
}

/* `report -o app.mtr app.mtr`, or -o and a target in the wrong order: a report must not take the place of a record. */
static bool is_record(const char *path)
{
	char magic[8] = "";
	FILE *file = fopen(path, "re");
	bool is = file && fread(magic, 1, sizeof magic, file) == sizeof magic &&
	          (memcmp(magic, RECORDING_MAGIC, sizeof magic) == 0 || memcmp(magic, MTRACE_SEGMENT_MAGIC, sizeof magic) == 0);
	if (file)
		fclose(file);
	return is;
}

int show_output(const char *command, const char *path, FILE **out)
{
	struct stat st;
	*out = stdout;
	if (!path || strcmp(path, "-") == 0)
		return 0;
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && is_record(path)) {
		warn("%s: -o %s: is a recording or a segment, and would be lost; give another file", command, path);
		return -1;
	}
	*out = fopen(path, "we");
	if (*out)
		return 0;
	warn("%s: %s: cannot be written: %s", command, path, strerror(errno));
	return -1;
}

int show_close(const char *command, const char *path, FILE *out)
{
	bool bad = fflush(out) != 0 || ferror(out);
	if (out != stdout)
		bad |= fclose(out) != 0;
	if (bad && out != stdout)
		warn("%s: %s: not written in full: %s", command, path, strerror(errno));
	return bad ? -1 : 0;
}

bool show_is_directory(const char *command, const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		warn("%s: --search %s: %s", command, path, strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		warn("%s: --search %s: is not a directory", command, path);
	else
		return true;
	return false;
}

/* "stack, site or kind" */
static void list_choices(char *out, size_t size, const char *const *names)
{
	size_t n = 0;
	for (size_t i = 0; names[i] && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i == 0 ? "" : names[i + 1] ? ", " : " or ", names[i]);
}

int show_choice(const char *command, const char *option, const char *word, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(word, names[i]) == 0)
			return i;
	char choices[256] = "";
	const char *close = nearest(word, names);
	list_choices(choices, sizeof choices, names);
	warn("%s: %s takes %s; not %s%s%s", command, option, choices, word, close ? "; did you mean " : "", close ? close : "");
	return -1;
}

bool show_by(const char *command, const char *word, enum emit_by *by)
{
	static const char *const names[] = {"stack", "site", "module", "thread", "kind", NULL};
	int choice = show_choice(command, "--by", word, names);
	if (choice >= 0)
		*by = (enum emit_by)choice;
	return choice >= 0;
}

bool show_number(const char *command, const char *text, uint32_t *number)
{
	char *end;
	errno = 0;
	unsigned long value = strtoul(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && text[0] != '-' && value <= UINT32_MAX) {
		*number = (uint32_t)value;
		return true;
	}
	warn("%s: -n takes a number of rows, 0 for all; not %s", command, text);
	return false;
}

bool show_one_target(const char *command, const char **target, const char *value)
{
	if (*target) {
		warn("%s: one target at a time: %s or %s?", command, *target, value);
		return false;
	}
	*target = value;
	return true;
}

/* A number, and the unit after it by its first letter, which one of `rests` may follow; false: neither, or too much. */
static bool take_unit(const char *text, const char *letters, const uint64_t *factors, const char *const *rests,
                      uint64_t *value)
{
	char *end;
	errno = 0;
	double number = strtod(text, &end);
	const char *unit = *end ? strchr(letters, *end | 0x20) : letters;
	size_t rest = 0;
	while (*end && rests[rest] && strcasecmp(end + 1, rests[rest]) != 0)
		rest++;
	if (errno || end == text || !rests[rest] || !unit || !(number >= 0) || number * (double)factors[unit - letters] >= 9e18)
		return false;
	*value = (uint64_t)(number * (double)factors[unit - letters]);
	return true;
}

bool show_size(const char *command, const char *option, const char *text, uint64_t *bytes)
{
	static const uint64_t factors[] = {1, 1ull << 10, 1ull << 20, 1ull << 30, 1ull << 40};
	static const char *const rests[] = {"", "b", "ib", NULL};
	if (take_unit(text, "bkmgt", factors, rests, bytes) && *bytes)
		return true;
	warn("%s: %s takes a size, as 512m or 2g; not %s", command, option, text);
	return false;
}

bool show_duration(const char *command, const char *option, const char *text, uint64_t *ns)
{
	static const uint64_t factors[] = {1000000000u, 60000000000u, 3600000000000u, 86400000000000u};
	static const char *const rests[] = {"", "in", NULL};
	if (take_unit(text, "smhd", factors, rests, ns))
		return true;
	warn("%s: %s takes a duration, as 90s, 10m or 2h; not %s", command, option, text);
	return false;
}

void show_dress(FILE *out, bool *color, uint32_t *columns)
{
	const char *no_color = getenv("NO_COLOR");
	struct winsize size;
	if (!isatty(fileno(out)))
		return;
	*color = !(no_color && no_color[0] != '\0');
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= 60)
		*columns = size.ws_col < 160 ? size.ws_col : 160;
}

bool show_has_extension(const char *path, const char *extension)
{
	size_t n = strlen(path), m = strlen(extension);
	return n > m && strcmp(path + n - m, extension) == 0;
}

const char *show_why_nothing(const struct profile_process *p)
{
	uint64_t blocks = 0;
	for (unsigned kind = 0; kind < MTRACE_KIND_COUNT; kind++)
		blocks = profile_sum(blocks, p->by_kind[kind].alloc_blocks);
	if (p->mode == PROFILE_OUTSIDE || blocks > 0)
		return NULL;
	if (p->mode == PROFILE_OFF)
		return "recording was off (mode=off in MTRACE_OPTIONS)";
	if (p->poisoned)
		return "the tracker stopped: its tables were damaged from outside";
	if (profile_counter_of(p, "drop_stacks_full") || profile_counter_of(p, "drop_live_full"))
		return "the tracker had no room from the start: raise memory= in MTRACE_OPTIONS";
	if (p->skipped)
		return "its record is damaged";
	if (p->end == PROFILE_EXEC)
		return "it became another program (exec) before it allocated anything";
	return "it made none that a preload can see; it may have an allocator of its own inside (`mtrace doctor` tells)";
}

int show_recorded(const char *command, const char *target, const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++)
		if (mark_in(target) || !show_why_nothing(&p->processes[i])) /* at a mark nothing may be there yet */
			return EXIT_DONE;
	warn("%s: %s recorded no allocation: %s", command, target, show_why_nothing(&p->processes[0]));
	return EXIT_NOTHING;
}
