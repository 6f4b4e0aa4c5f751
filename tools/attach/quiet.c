/*
 * quiet: see quiet.h.
 */
#include "attach/quiet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/ask.h"
#include "attach/hotspot.h"
#include "read/read.h"

#define USUAL "all=warning"
#define SILENT "all=warning,jvmti=off"

bool quiet_output_is(const char *answer, const char *selections)
{
	static const char output[] = "#0: stdout ";
	const char *at = strstr(answer, output);
	size_t length = strlen(selections);
	at = at ? at + strlen(output) : "";
	return strncmp(at, selections, length) == 0 && (at[length] == ' ' || at[length] == '\n' || at[length] == '\0');
}

/* One that it carried out. */
static int ask_log(const struct hotspot *jvm, const char *command, struct answer *answer, struct read_error *error)
{
	int code = ask_command(jvm, command, answer, error);
	if (code == 0 && answer->code != 0) {
		answer_free(answer);
		snprintf(error->text, sizeof error->text, "it has no log that can be told to be silent");
		code = -ENOTSUP;
	}
	return code;
}

static int set_level(const struct hotspot *jvm, const char *command, struct read_error *error)
{
	struct answer answer;
	int code = ask_log(jvm, command, &answer, error);
	if (code == 0)
		answer_free(&answer);
	return code;
}

static int is_output(const struct hotspot *jvm, const char *selections, bool *is, struct read_error *error)
{
	struct answer answer;
	int code = ask_log(jvm, "VM.log list", &answer, error);
	if (code != 0)
		return code;
	*is = quiet_output_is(answer.text, selections);
	answer_free(&answer);
	return 0;
}

int quiet_begin(const struct hotspot *jvm, struct read_error *error)
{
	bool is_usual, is_silent;
	int code = is_output(jvm, USUAL, &is_usual, error);
	if (code == 0 && is_usual)
		return set_level(jvm, "VM.log output=#0 what=jvmti=off", error);
	if (code == 0)
		code = is_output(jvm, SILENT, &is_silent, error);
	if (code != 0 || is_silent)
		return code;
	snprintf(error->text, sizeof error->text, "its log is configured (-Xlog), and would say so on its standard output");
	return -ENOTSUP;
}

void quiet_end(const struct hotspot *jvm)
{
	struct read_error ignored;
	bool is_silent;
	if (is_output(jvm, SILENT, &is_silent, &ignored) == 0 && is_silent)
		(void)set_level(jvm, "VM.log output=#0 what=jvmti=warning", &ignored);
}
