/*
 * mtrace: who gets argv. The table of commands is commands.c, a command's options and work are in its cmd_*.c; here is
 * only what comes before and after them.
 */
#include "command.h"
#include "gate/self.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/aside.h"

enum { MOST_COMMANDS = 64 };

static const struct command *find(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static bool is_target(const char *word)
{
	bool is_pid = word[0] != '\0' && word[strspn(word, "0123456789")] == '\0';
	return is_pid || strcmp(word, "last") == 0 || access(word, F_OK) == 0;
}

static int unknown(const char *word)
{
	const char *names[MOST_COMMANDS + 1];
	size_t n = 0;
	for (const struct command *c = commands; c->name && n < MOST_COMMANDS; c++)
		names[n++] = c->name;
	names[n] = NULL;
	const char *close = nearest(word, names);
	if (close)
		warn("there is no command, process or file %s; did you mean `mtrace %s`?", word, close);
	else
		warn("there is no command, process or file %s; `mtrace help` lists the commands", word);
	return EXIT_TROUBLE;
}

/* What was printed must have arrived: a full disk behind stdout is an error, a closed pipe is not worth a line. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	warn("the output could not be written in full: %m");
	return EXIT_TROUBLE;
}

/* A closed standard descriptor must not become that of a file we open: what is said there would be written into it.
   It stays one that cannot be used, the wrong way round. */
static void hold_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
			return;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		char *help[] = {(char *)"help", NULL};
		return finish(cmd_help(1, help, find("help")));
	}
	const char *word = argv[1];
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		word = "version";
	const struct command *command = find(word);
	bool starts_others = command && (command->run == cmd_run || (command->run == cmd_gate && !self_is_victim()));
	if (starts_others)
		aside_put(argv);
	else
		hold_standard_descriptors();
	if (command)
		return finish(command->run(argc - 1, argv + 1, command));
	if (!is_target(word))
		return unknown(word);
	command = find("report");
	int code = finish(command->run(argc, argv, command));
	bool goes_on = code == EXIT_DONE && argc == 2 && isatty(STDOUT_FILENO);
	return goes_on ? finish(cmd_follow_on(word)) : code;
}
