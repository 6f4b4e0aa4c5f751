/* suppressions: see suppressions.h. Rows of all files in one array; what a row says are strings of its file's text. */
#include "gate/suppressions.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "emit/emit_text.h"

static const struct suppression nothing_said = {.max_bytes = UINT64_MAX, .max_blocks = UINT64_MAX};

void suppressions_init(struct suppressions *s)
{
	memset(s, 0, sizeof *s);
}

void suppressions_free(struct suppressions *s)
{
	for (size_t i = 0; i < s->text_count; i++)
		free(s->texts[i]);
	free(s->texts);
	free(s->rows);
	suppressions_init(s);
}

static void *grown(void *array, size_t count, size_t bytes)
{
	void *more = reallocarray(array, count, bytes);
	if (!more)
		die(EXIT_TROUBLE, "out of memory");
	return more;
}

/* Owned from here on; strings may be cut out of it. */
static char *keep_text(struct suppressions *s, const char *text, size_t bytes)
{
	char *kept = grown(NULL, bytes + 1, 1);
	memcpy(kept, text, bytes);
	kept[bytes] = '\0';
	s->texts = grown(s->texts, s->text_count + 1, sizeof *s->texts);
	s->texts[s->text_count++] = kept;
	return kept;
}

static void add_row(struct suppressions *s, const struct suppression *row)
{
	if ((s->count & (s->count - 1)) == 0)
		s->rows = grown(s->rows, s->count ? 2 * s->count : 1, sizeof *s->rows);
	s->rows[s->count++] = *row;
}

/* ---- a file ---- */

struct reading {
	struct suppressions *to;
	const char *file;
	uint32_t line;
	struct suppression next; /* what comments said of the row that is to come */
	uint32_t next_line;      /* of the first of them; 0: nothing is said */
};

static void complain(const struct reading *r, uint32_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void complain(const struct reading *r, uint32_t line, const char *format, ...)
{
	va_list arguments;
	size_t i = r->to->problem_count++;
	if (i >= SUPPRESSIONS_PROBLEMS)
		return;
	struct suppressions_problem *problem = &r->to->problems[i];
	problem->file = r->file;
	problem->line = line;
	va_start(arguments, format);
	vsnprintf(problem->text, sizeof problem->text, format, arguments);
	va_end(arguments);
}

/* ---- what a comment says ---- */

static bool take_number(const char *text, uint64_t *number, const char **rest)
{
	char *end;
	errno = 0;
	*number = strtoull(text, &end, 10);
	*rest = end;
	return errno == 0 && text[0] >= '0' && text[0] <= '9';
}

/* 512, 64KiB, 64k, 1MiB */
static bool take_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "kmgt";
	const char *rest;
	if (!take_number(text, bytes, &rest))
		return false;
	const char *unit = rest[0] ? strchr(units, rest[0] | 0x20) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);
		if (*bytes > UINT64_MAX >> shift)
			return false;
		*bytes <<= shift;
		rest++;
	}
	return rest[0] == '\0' || strcasecmp(rest, "B") == 0 || (unit && strcasecmp(rest, "iB") == 0);
}

enum said { SAID_REASON, SAID_OWNER, SAID_UNTIL, SAID_MAX, SAID_MAX_BLOCKS, SAID_AT, SAID_CALLER };
static const char *const said_names[] = {"reason", "owner", "until", "max", "max-blocks", "at", "caller", NULL};

static void take_said(struct reading *r, enum said what, const char *value)
{
	const char *rest = "";
	switch (what) {
	case SAID_REASON: r->next.reason = value; return;
	case SAID_OWNER: r->next.owner = value; return;
	case SAID_CALLER: r->next.caller = value; return;
	case SAID_AT:
		r->next.at_site = strcmp(value, "site") == 0;
		if (!r->next.at_site)
			complain(r, r->line, "at=%.40s is not known; there is at=site", value);
		return;
	case SAID_UNTIL:
		if (!suppressions_date(value, &r->next.until))
			complain(r, r->line, "until=%.40s is no day; write it as until=2027-01-31", value);
		return;
	case SAID_MAX:
		if (!take_size(value, &r->next.max_bytes))
			complain(r, r->line, "max=%.40s is no size; write it as max=64KiB", value);
		return;
	case SAID_MAX_BLOCKS:
		if (!take_number(value, &r->next.max_blocks, &rest) || rest[0] != '\0')
			complain(r, r->line, "max-blocks=%.40s is no number of blocks", value);
		return;
	}
}

/* One NAME=VALUE or NAME="VALUE" at *at; false at the end, or when the rest of the line is of no use. */
static bool next_said(struct reading *r, char **at)
{
	char *name = *at + strspn(*at, " \t");
	if (name[0] == '\0')
		return false;
	size_t n = strcspn(name, "= \t");
	if (n == 0 || name[n] != '=') {
		complain(r, r->line,
		         "%.40s: what is said of a suppression is written NAME=VALUE, a VALUE with blanks in quotes",
		         name);
		return false;
	}
	name[n] = '\0';
	char *value = name + n + 1;
	bool is_quoted = value[0] == '"';
	value += is_quoted;
	size_t length = strcspn(value, is_quoted ? "\"" : " \t");
	if (is_quoted && value[length] == '\0') {
		complain(r, r->line, "%.40s=\"… has no quote at its end", name);
		return false;
	}
	*at = value + length + (value[length] != '\0');
	value[length] = '\0';
	for (int i = 0; said_names[i]; i++)
		if (strcmp(said_names[i], name) == 0) {
			take_said(r, (enum said)i, value);
			return true;
		}
	const char *close = nearest(name, said_names);
	complain(r, r->line, "%.40s= is not known; %s%s%s", name,
	         close ? "did you mean " : "there are reason, owner, until, max, max-blocks, at and caller",
	         close ? close : "", close ? "=?" : "");
	return true;
}

/* A comment; ours, if it begins so. */
static void read_comment(struct reading *r, char *text)
{
	static const char ours[] = "mtrace:";
	text += strspn(text, " \t");
	if (strncmp(text, ours, strlen(ours)) != 0)
		return;
	if (r->next_line == 0)
		r->next_line = r->line;
	text += strlen(ours);
	while (next_said(r, &text))
		continue;
}

/* ---- its lines ---- */

static void read_row(struct reading *r, const char *pattern)
{
	r->next.pattern = pattern;
	r->next.file = r->file;
	r->next.line = r->line;
	add_row(r->to, &r->next);
	r->next = nothing_said;
	r->next_line = 0;
}

static void read_line(struct reading *r, char *line)
{
	static const char row[] = "leak:";
	line += strspn(line, " \t");
	for (size_t n = strlen(line); n > 0 && strchr(" \t\r\v\f", line[n - 1]); n--)
		line[n - 1] = '\0';
	if (line[0] == '#')
		read_comment(r, line + 1);
	else if (strncmp(line, row, strlen(row)) == 0)
		read_row(r, line + strlen(row));
	else if (line[0] != '\0')
		complain(r, r->line, "%.60s: is no suppression; a line is leak:PATTERN, or begins with #", line);
}

static void finish(struct reading *r)
{
	if (r->next_line)
		complain(r, r->next_line, "is said of no suppression: a line leak:PATTERN must follow");
}

void suppressions_read_text(struct suppressions *s, const char *name, const char *text, size_t bytes)
{
	const char *file = keep_text(s, name, strlen(name));
	struct reading r = {.to = s, .file = file, .next = nothing_said};
	char *at = keep_text(s, text, bytes), *end = at + bytes;
	while (at < end) {
		char *line_end = memchr(at, '\n', (size_t)(end - at));
		if (!line_end)
			line_end = end;
		*line_end = '\0';
		r.line++;
		if (strlen(at) != (size_t)(line_end - at))
			complain(&r, r.line,
			         "has a NUL byte: LeakSanitizer would stop reading here; is it a text file?");
		else
			read_line(&r, at);
		at = line_end + 1;
	}
	finish(&r);
}

/* Reads at most one byte more than a file may have. Returns how many, or -errno. */
static ssize_t read_all(int fd, char *text)
{
	size_t n = 0;
	ssize_t got = 0;
	while (n <= SUPPRESSIONS_FILE_BYTES && (got = read(fd, text + n, SUPPRESSIONS_FILE_BYTES + 1 - n)) > 0)
		n += (size_t)got;
	return got < 0 ? -errno : (ssize_t)n;
}

int suppressions_read(struct suppressions *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	char *text = grown(NULL, SUPPRESSIONS_FILE_BYTES + 1, 1);
	ssize_t n = read_all(fd, text);
	close(fd);
	if (n > SUPPRESSIONS_FILE_BYTES)
		n = -EFBIG;
	if (n >= 0)
		suppressions_read_text(s, path, text, (size_t)n);
	free(text);
	return n < 0 ? (int)n : 0;
}

void suppressions_add_built_in(struct suppressions *s)
{
	static const struct suppression rows[] = {
#define X(PATTERN, MAX_BYTES, REASON) \
	{.pattern = PATTERN, \
	 .max_bytes = MAX_BYTES, \
	 .max_blocks = UINT64_MAX, \
	 .reason = REASON, \
	 .file = SUPPRESSIONS_BUILT_IN},
#include "gate/suppressions_builtin.def"
#undef X
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct suppression row = rows[i];
		row.line = (uint32_t)i + 1;
		add_row(s, &row);
	}
}

/* ---- which covers what ---- */

/* Does a function match that is further out than name `name` of frame `at`? UINT32_MAX: than none of its names. */
static bool has_caller(const struct profile_process *process, const struct profile_stack *stack, uint32_t at,
                       uint32_t name, const char *pattern)
{
	uint32_t k = name + 1; /* 0 after UINT32_MAX */
	for (uint32_t i = at; i < stack->frame_count; i++, k = 0) {
		const struct profile_frame *frame = &process->frames[stack->frames[i]];
		for (; k < frame->name_count; k++)
			if (suppressions_matches(pattern, frame->names[k].function))
				return true;
	}
	return false;
}

/* Where a text stands: at a name of a frame of a stack, or at its module, which is inside of all its names. */
struct place {
	const struct profile_process *process;
	const struct profile_stack *stack;
	uint32_t at, name;  /* UINT32_MAX: the module */
	uint32_t site;      /* of the stack: frame, */
	uint32_t site_name; /* and name */
};

static bool row_matches(const struct suppression *row, const struct place *p, const char *text)
{
	if (!suppressions_matches(row->pattern, text))
		return false;
	if (row->at_site && (p->at != p->site || p->name != p->site_name))
		return false;
	return !row->caller || has_caller(p->process, p->stack, p->at, p->name, row->caller);
}

static struct suppression *row_for(const struct suppressions *s, const struct place *p, const char *text)
{
	for (size_t i = 0; text && i < s->count; i++)
		if (row_matches(&s->rows[i], p, text))
			return &s->rows[i];
	return NULL;
}

/* In the order of LeakSanitizer: a frame's module, then from its innermost name on each one's function and file. */
static struct suppression *row_of_frame(const struct suppressions *s, struct place *p)
{
	const struct profile_frame *frame = &p->process->frames[p->stack->frames[p->at]];
	p->name = UINT32_MAX;
	struct suppression *row =
		frame->kind == MTRACE_FRAME_JAVA ? NULL : row_for(s, p, emit_module_path(p->process, frame));
	for (p->name = 0; p->name < frame->name_count && !row; p->name++) {
		row = row_for(s, p, frame->names[p->name].function);
		if (!row)
			row = row_for(s, p, frame->names[p->name].file);
	}
	return row;
}

struct suppression *suppressions_find(const struct suppressions *s, const struct profile_process *process,
                                      const struct profile_stack *stack)
{
	struct suppression *row = NULL;
	struct place p = {.process = process, .stack = stack, .site = profile_site(process, stack)};
	if (p.site < stack->frame_count)
		p.site_name = profile_own_name(process, &process->frames[stack->frames[p.site]]);
	for (p.at = 0; p.at < stack->frame_count && !row; p.at++)
		row = row_of_frame(s, &p);
	return row;
}

static bool has_unused_row(const struct suppressions *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->rows[i].stacks == 0 && !suppressions_is_built_in(&s->rows[i]))
			return true;
	return false;
}

bool suppressions_need_names(const struct suppressions *s, const struct profile_process *process,
                             const struct profile_stack *stack)
{
	if (!has_unused_row(s))
		return false;
	for (uint32_t i = 0; i < stack->frame_count; i++) {
		const struct profile_frame *frame = &process->frames[stack->frames[i]];
		bool is_code = frame->kind != MTRACE_FRAME_NONE && frame->kind != MTRACE_FRAME_MARKER;
		if (is_code && (frame->name_count == 0 || !frame->names[0].function))
			return true;
	}
	return false;
}

void suppressions_cover(struct suppression *row, const struct profile_counts *counts)
{
	row->stacks++;
	row->live_blocks = profile_sum(row->live_blocks, counts->live_blocks);
	row->live_bytes = profile_sum(row->live_bytes, counts->live_bytes);
}

bool suppressions_is_built_in(const struct suppression *row)
{
	return strcmp(row->file, SUPPRESSIONS_BUILT_IN) == 0;
}

bool suppressions_is_expired(const struct suppression *row, uint32_t today)
{
	return row->until != 0 && row->until < today;
}

bool suppressions_is_exceeded(const struct suppression *row)
{
	return row->live_bytes > row->max_bytes || row->live_blocks > row->max_blocks;
}
