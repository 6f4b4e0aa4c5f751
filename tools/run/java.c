/*
 * java: see java.h.
 */
#include "run/java.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "die.h"
#include "model/elf_facts.h"
#include "run/locate.h"

/* ---- which launcher is it? ---- */

static bool is_launcher(const char *path)
{
	static struct elf_facts facts;
	return elf_facts_read(path, false, &facts) == 0 && !facts.script[0] && facts.jvm_launcher;
}

/* Whole files: launchers are small. */
static bool have_same_bytes(const char *a, const char *b)
{
	FILE *x = fopen(a, "re"), *y = fopen(b, "re");
	int p = EOF, q = EOF;
	while (x && y && (p = fgetc(x)) == (q = fgetc(y)) && p != EOF)
		;
	if (x)
		fclose(x);
	if (y)
		fclose(y);
	return x && y && p == q;
}

/* The `java` beside it, or beside what it is a link to; "" there is none. */
static void find_java_beside(const char *path, char java[PATH_MAX])
{
	char real[PATH_MAX];
	java[0] = '\0';
	if (!realpath(path, real))
		return;
	char *slash = strrchr(real, '/');
	if (!slash || (size_t)(slash - real) > PATH_MAX - sizeof "/java")
		return;
	snprintf(java, PATH_MAX, "%.*s/java", (int)(slash - real), real);
	if (access(java, X_OK) != 0)
		java[0] = '\0';
}

/* What stands before an option for the JVM: java takes these as they are, and so does its copy under another name; tools
   such as javac, whose files differ from java's, after -J. NULL: neither for certain. */
static const char *option_prefix(const char *path)
{
	char java[PATH_MAX];
	const char *slash = strrchr(path, '/');
	find_java_beside(path, java);
	if (java[0])
		return have_same_bytes(path, java) ? "" : "-J";
	return strcmp(slash ? slash + 1 : path, "java") == 0 ? "" : NULL;
}

/* ---- does it lead to one? ---- */

static bool names_launcher(const char *word)
{
	char path[LOCATE_PATH_BYTES];
	return locate_command(word, path) == 0 && is_launcher(path);
}

enum { WORDS_LOOKED_AT = 64 };

/* Of an argument such as "exec java -jar app.jar", too. */
static bool has_launcher(const char *argument, int *words_left)
{
	static const char between[] = " \t\n;&|()";
	char *words = strdup(argument), *rest = NULL;
	bool found = false;
	if (!words)
		die(2, "out of memory");
	for (char *word = strtok_r(words, between, &rest); word && --*words_left >= 0; word = strtok_r(NULL, between, &rest))
		if ((found = names_launcher(word)))
			break;
	free(words);
	return found;
}

enum { SCRIPT_BYTES_READ = 64 << 10 };

static bool is_script_naming_java(const char *path)
{
	static char text[SCRIPT_BYTES_READ];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
	if (fd >= 0)
		close(fd);
	return n > 2 && text[0] == '#' && text[1] == '!' && memmem(text, (size_t)n, "java", 4) != NULL;
}

static bool follows_java(const char *follow)
{
	char *globs = strdup(follow), *rest = NULL;
	bool found = false;
	if (!globs)
		die(2, "out of memory");
	for (char *glob = strtok_r(globs, ",", &rest); glob && !found; glob = strtok_r(NULL, ",", &rest))
		found = strcmp(glob, "*") != 0 && fnmatch(glob, "java", 0) == 0;
	free(globs);
	return found;
}

static bool leads_to_java(const char *path, char **argv, const char *follow)
{
	int words_left = WORDS_LOOKED_AT;
	if (follows_java(follow) || is_script_naming_java(path))
		return true;
	for (size_t i = 1; argv[i] && words_left > 0; i++)
		if (has_launcher(argv[i], &words_left))
			return true;
	return false;
}

/* ---- the agent ---- */

static char *text_of(const char *a, const char *b, const char *c, const char *d)
{
	char *text;
	if (asprintf(&text, "%s%s%s%s", a, b, c, d) < 0)
		die(2, "out of memory");
	return text;
}

/* In front of the program's own options, which win. */
static char **with_arguments(char **argv, char *first, char *second)
{
	size_t count = 0, added = 0;
	while (argv[count])
		count++;
	char **more = calloc(count + 3, sizeof *more);
	if (!more)
		die(2, "out of memory");
	more[added++] = argv[0];
	more[added++] = first;
	if (second)
		more[added++] = second;
	memcpy(more + added, argv + 1, count * sizeof *more); /* its end included */
	return more;
}

static bool has_agent(char **argv, const char *shim)
{
	static const char *const variables[] = {"JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS"};
	for (size_t i = 1; argv[i]; i++)
		if (strstr(argv[i], "-agentpath:") && strstr(argv[i], shim))
			return true;
	for (size_t i = 0; i < 2; i++)
		if (getenv(variables[i]) && strstr(getenv(variables[i]), shim))
			return true;
	return false;
}

/* JDK 9 and later have their classes in lib/modules. */
static bool knows_xlog(const char *launcher)
{
	char real[PATH_MAX], modules[PATH_MAX + 16];
	if (!realpath(launcher, real))
		return false;
	*strrchr(real, '/') = '\0';
	snprintf(modules, sizeof modules, "%s/../lib/modules", real);
	return access(modules, F_OK) == 0;
}

#define NO_LOG "-Xlog:jvmti=off"

static char **arguments_of(const char *path, const char *prefix, char **argv, const char *shim)
{
	bool quiet = !knows_xlog(path);
	return with_arguments(argv, text_of(prefix, "-agentpath:", shim, quiet ? "=quiet" : ""),
	                      quiet ? NULL : text_of(prefix, NO_LOG, "", ""));
}

void java_set_up(const char *path, char **argv, const char *shim, const char *follow, struct java_agent *agent)
{
	const char *set = getenv("JDK_JAVA_OPTIONS"), *kept = set ? set : "";
	*agent = (struct java_agent){.argv = argv};
	if (strchr(shim, '=') || has_agent(argv, shim)) /* the JVM takes what follows for the agent's options */
		return;
	const char *prefix = is_launcher(path) && !follows_java(follow) ? option_prefix(path) : NULL;
	if (prefix)
		agent->argv = arguments_of(path, prefix, argv, shim);
	else if (is_launcher(path) || leads_to_java(path, argv, follow))
		agent->java_options = text_of("-agentpath:", shim, " " NO_LOG " ", kept);
}
