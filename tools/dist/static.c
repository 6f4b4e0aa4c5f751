/*
 * static: what the static mtrace of `make dist` has in place of dlopen (the linker's --wrap). Linked there only.
 *
 * One that is static and loads a library gets a second libc with it, that of the machine it happens to run on, and works
 * only where this is the very version that it was linked with. libdw alone asks, for libdebuginfod, whether or not there is
 * a server to ask. It goes on without.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__wrap_dlopen(const char *name, int flags);

void *__wrap_dlopen(const char *name, int flags)
{
	static int said;
	const char *servers = getenv("DEBUGINFOD_URLS");
	(void)flags;
	if (name && strstr(name, "debuginfod") && servers && *servers && !said++)
		fputs("mtrace: DEBUGINFOD_URLS is not asked: this mtrace is one static file. Fetch debug information with "
		      "debuginfod-find and name its directory with --search, or use an mtrace that was built on this machine\n",
		      stderr);
	return NULL;
}
