/*
 * environment: see environment.h.
 */
#include "run/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

void environment_begin(struct environment_options *options)
{
	const char *own = getenv("MTRACE_OPTIONS");
	memset(options, 0, sizeof *options);
	int n = snprintf(options->text, sizeof options->text, "%s", own ? own : "");
	options->full = (size_t)n >= sizeof options->text;
	options->used = strlen(options->text);
}

void environment_add(struct environment_options *options, const char *key, const char *value)
{
	size_t room = sizeof options->text - options->used;
	int n = snprintf(options->text + options->used, room, "%s%s=%s", options->used ? ":" : "", key, value);
	if ((size_t)n >= room) {
		options->text[options->used] = '\0';
		options->full = true;
		return;
	}
	options->used += (size_t)n;
}

void environment_get(const struct environment_options *options, const char *key, char *out, size_t bytes)
{
	size_t key_bytes = strlen(key);
	const char *word = options->text;
	out[0] = '\0';
	while (*word) {
		size_t n = strcspn(word, ":");
		if (n > key_bytes && word[key_bytes] == '=' && strncmp(word, key, key_bytes) == 0)
			snprintf(out, bytes, "%.*s", (int)(n - key_bytes - 1), word + key_bytes + 1);
		word += n + (word[n] == ':');
	}
}

const char *environment_check(const char *assignment)
{
	static const char *const names[] = {
#define X(type, name, preset, low, high, help) #name,
#include "options.def"
#undef X
		NULL};
	static char text[256];
	size_t n = strcspn(assignment, "=");
	if (assignment[n] == '\0')
		return "it must read KEY=VALUE";
	if (strchr(assignment, ':'))
		return "a value cannot contain ':'";
	for (size_t i = 0; names[i]; i++)
		if (strlen(names[i]) == n && strncmp(names[i], assignment, n) == 0)
			return NULL;
	char word[64];
	snprintf(word, sizeof word, "%.*s", (int)n, assignment);
	const char *close = nearest(word, names);
	snprintf(text, sizeof text, "the shim has no option %s%s%s", word, close ? "; did you mean " : "", close ? close : "");
	return text;
}

const char *environment_check_shim(const char *shim)
{
	if (strpbrk(shim, " :\t\n"))
		return "LD_PRELOAD cannot hold a path with spaces or colons";
	return NULL;
}

static bool is_preloaded(const char *list, const char *shim)
{
	size_t n = strlen(shim);
	for (const char *p = list; (p = strstr(p, shim)) != NULL; p += n) {
		bool begins = p == list || strchr(" :", p[-1]);
		if (begins && (p[n] == '\0' || strchr(" :", p[n])))
			return true;
	}
	return false;
}

static int set_preload(const char *shim)
{
	const char *kept = getenv("LD_PRELOAD");
	char *list;
	if (!kept || !*kept)
		return setenv("LD_PRELOAD", shim, 1) == 0 ? 0 : -errno;
	if (is_preloaded(kept, shim))
		return 0;
	if (asprintf(&list, "%s:%s", shim, kept) < 0)
		return -ENOMEM;
	int failed = setenv("LD_PRELOAD", list, 1) == 0 ? 0 : errno;
	free(list);
	return -failed;
}

int environment_apply(struct environment_options *options, const char *shim, const char *run_id)
{
	char pid[16];
	if (!shim)
		return 0;
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	environment_add(options, "run", run_id);
	environment_add(options, "pid", pid);
	if (options->full)
		return -E2BIG;
	if (setenv("MTRACE_OPTIONS", options->text, 1) != 0)
		return -errno;
	return set_preload(shim);
}
