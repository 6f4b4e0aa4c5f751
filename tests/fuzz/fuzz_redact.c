/*
 * fuzz_redact: command lines of strangers. Nothing may grow, a second pass may change nothing, and of a
 * password nothing may stay.
 */
#include "fuzz.h"
#include "model/redact.h"

enum { ARGS = 64 };

static size_t split(const uint8_t *data, size_t size, char **args)
{
	size_t count = 0;
	while (size && count < ARGS) {
		size_t n = strnlen((const char *)data, size);
		args[count] = memcpy(malloc(n + 1), data, n); /* each on its own, so that a byte too many is seen */
		args[count++][n] = 0;
		data += n, size -= n;
		if (size)
			data++, size--;
	}
	return count;
}

/* Whatever a password is, nothing of it stays (quotes around one do). */
static void hide_password(const char *password)
{
	char *line = NULL;
	if (!password[0] || strchr("\"'", password[0]) || asprintf(&line, "--password=%s", password) < 0)
		return;
	redact_args(&line, 1);
	fuzz_require(line[strlen("--password=") + strspn(line + strlen("--password="), "*")] == 0, "a password is all asterisks");
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *args[ARGS], *first[ARGS];
	size_t count = split(data, size, args), bytes[ARGS];
	for (size_t i = 0; i < count; i++) {
		bytes[i] = strlen(args[i]);
		hide_password(args[i]);
	}
	redact_args(args, count);
	for (size_t i = 0; i < count; i++) {
		fuzz_require(strlen(args[i]) <= bytes[i], "no string grows");
		first[i] = strdup(args[i]);
	}
	redact_args(args, count);
	for (size_t i = 0; i < count; i++) {
		fuzz_require(!strcmp(args[i], first[i]), "a second pass changes nothing");
		redact_text(args[i]);
		free(args[i]);
		free(first[i]);
	}
	return 0;
}
