/* golden: see golden.h. */
#include "golden.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *load(const char *path)
{
	FILE *in = fopen(path, "r");
	ck_assert_msg(in != NULL, "%s is missing: UPDATE=1 writes it (run from the repository's top)", path);
	char *text = calloc(1, 1 << 20);
	ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, in), (1 << 20) - 1);
	fclose(in);
	return text;
}

static void store(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

/* Goldens hold for every version: the number becomes an "x". */
static void hide_version(char *text)
{
	static const char field[] = "\"version\":\"";
	char *at = strstr(text, field);
	if (!at)
		return;
	at += strlen(field);
	char *end = strchr(at, '"');
	*at = 'x';
	memmove(at + 1, end, strlen(end) + 1);
}

void golden_same(const char *name, char *text)
{
	char path[128];
	snprintf(path, sizeof path, "tests/golden/%s", name);
	hide_version(text);
	if (getenv("UPDATE"))
		store(path, text);
	char *wanted = load(path);
	if (strcmp(text, wanted) != 0) {
		char got[160];
		snprintf(got, sizeof got, "/tmp/mtrace-golden-%d-%s", (int)getpid(), name);
		store(got, text);
		ck_abort_msg("%s differs from %s; if that is right, UPDATE=1 rewrites it", path, got);
	}
	free(wanted);
}
