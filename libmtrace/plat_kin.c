/*
 * plat_kin: what this process is called, whose child it is, and what it hands on to its own: the environment.
 */
#include "plat.h"

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

const char *plat_digits(uint64_t value, char room[24])
{
	char *digit = room + 23;
	*digit = '\0';
	do {
		*--digit = (char)('0' + value % 10);
	} while (value /= 10);
	return digit;
}

static void append(char *text, const char *more)
{
	memcpy(text + strlen(text), more, strlen(more) + 1);
}

/* A process's name, which may be anything, has its newlines written as \n there. */
uint32_t plat_parent_of(uint32_t pid)
{
	static const char field[] = "\nPPid:\t";
	char path[40] = "/proc/", text[512], digits[24];
	append(path, plat_digits(pid, digits));
	append(path, "/status");
	const char *at = plat_read_file(path, text, sizeof text) > 0 ? strstr(text, field) : NULL;
	uint32_t parent = 0;
	for (at = at ? at + sizeof field - 1 : ""; *at >= '0' && *at <= '9'; at++)
		parent = parent * 10 + (uint32_t)(*at - '0');
	return parent;
}

void plat_executable(char *path, size_t bytes)
{
	const char *called = (const char *)getauxval(AT_EXECFN);
	if (plat_readlink("/proc/self/exe", path, bytes) > 0 || !called)
		return;
	strncpy(path, called, bytes - 1);
	path[bytes - 1] = '\0';
}

/* ---- the environment ----
 *
 * Texts and lists are made in mappings of our own, for good: the program may keep pointers to any of them. An entry is
 * changed in its place where there is one, so that who reads the list the kernel made (Go) sees it too.
 */

static char **find_entry(const char *name)
{
	char **entry = environ;
	size_t length = strlen(name);
	while (*entry && (strncmp(*entry, name, length) || (*entry)[length] != '='))
		entry++;
	return entry;
}

static bool add_entry(const char *name, const char *value)
{
	size_t entries = 0;
	while (environ[entries])
		entries++;
	size_t list_bytes = (entries + 2) * sizeof *environ;
	char **list = plat_map_private(list_bytes + strlen(name) + strlen(value) + 2);
	if (!list)
		return false;
	memcpy(list, environ, entries * sizeof *environ);
	list[entries] = (char *)list + list_bytes;
	append(list[entries], name);
	append(list[entries], "=");
	append(list[entries], value);
	environ = list;
	return true;
}

bool plat_extend_env(const char *name, const char *separator, const char *more)
{
	char **entry = find_entry(name);
	if (!*entry)
		return add_entry(name, more);
	char *text = plat_map_private(strlen(*entry) + strlen(separator) + strlen(more) + 1);
	if (!text)
		return false;
	append(text, *entry);
	append(text, separator);
	append(text, more);
	*entry = text;
	return true;
}
