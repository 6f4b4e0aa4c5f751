/* show: see show.h. */
#include "show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "format.h"
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

static void name_frames(struct profile *p, const char *const *search)
{
	if (has_names(p) && !search)
		return; /* a symbolised recording: its own names are the right ones */
	const struct profile_process *first = &p->processes[0];
	struct symbols_options options = {
		.search = search,
		.pid = p->process_count == 1 && first->end == PROFILE_RUNNING ? (pid_t)first->pid : 0,
		.again = search != NULL,
	};
	struct symbols_result result = {0};
	symbols_resolve(p, &options, &result);
}

struct profile *show_open(const char *command, const char *target, const char *const *search)
{
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
	name_frames(p, search);
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
		if (!show_why_nothing(&p->processes[i]))
			return EXIT_DONE;
	warn("%s: %s recorded no allocation: %s", command, target, show_why_nothing(&p->processes[0]));
	return EXIT_NOTHING;
}
