/*
 * aside: see aside.h. A name gets a prefix where it stands, so that order, repetitions and odd bytes of the
 * environment come back as they were. An exec keeps what a command could notice: process id and parent, descriptors,
 * signal mask, ignored signals, terminal, limits.
 */
#include "run/aside.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "MTRACE_ASIDE_"

extern char **environ;

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* LD_LIBRARY_PATH is not among them: our own libraries may be found by it. */
static bool acts_on_us(const char *variable)
{
	static const char *const names[] = {"LD_PRELOAD=", "LD_AUDIT=", "LD_DEBUG=", "LD_PROFILE=", "GLIBC_TUNABLES=",
	                                    "MALLOC_" /* …CHECK_, …PERTURB_, …TRACE, …CONF and the others */};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (starts(variable, names[i]))
			return true;
	return false;
}

static size_t count_of(char *const *list)
{
	size_t n = 0;
	while (list[n])
		n++;
	return n;
}

static char *renamed(const char *variable)
{
	char *text = malloc(strlen(PREFIX) + strlen(variable) + 1);
	return text ? strcat(strcpy(text, PREFIX), variable) : NULL;
}

/* The environment with those renamed. NULL: none is set, or no memory. */
static char **renamed_environment(void)
{
	bool any = false;
	char **copy = calloc(count_of(environ) + 1, sizeof *copy);
	for (size_t i = 0; copy && environ[i]; i++) {
		copy[i] = acts_on_us(environ[i]) ? renamed(environ[i]) : environ[i];
		any |= copy[i] != environ[i];
		if (!copy[i]) {
			any = false;
			break;
		}
	}
	if (any)
		return copy;
	free(copy);
	return NULL;
}

/* By its path where that still names it, so that `ps` shows the same name as before. */
static void execute_again(char **argv, char **environment)
{
	static const char link[] = "/proc/self/exe";
	char path[4096];
	struct stat own, named;
	ssize_t n = readlink(link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	bool is_same = stat(link, &own) == 0 && stat(path, &named) == 0 && own.st_dev == named.st_dev &&
	               own.st_ino == named.st_ino;
	execve(is_same ? path : link, argv, environment);
}

void aside_put(char **argv)
{
	char **environment = renamed_environment();
	if (environment)
		execute_again(argv, environment);
}

void aside_take_back(void)
{
	for (char **variable = environ; *variable; variable++)
		if (starts(*variable, PREFIX))
			*variable += strlen(PREFIX);
}
