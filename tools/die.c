/* die: see die.h. Lines longer than 2 KiB are cut; control characters become '?', so that a file's name cannot
   move the cursor of whoever reads the message. */
#include "die.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *format, va_list arguments)
{
	char line[2048] = "mtrace: ";
	size_t n = strlen(line);
	vsnprintf(line + n, sizeof line - n - 1, format, arguments);
	for (n = 0; line[n] != '\0'; n++)
		if ((unsigned char)line[n] < ' ' || line[n] == 127)
			line[n] = '?';
	line[n++] = '\n';
	fflush(stdout);
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody listens: nothing better to do */
}

void die(int code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
	exit(code);
}

void warn(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	say(format, arguments);
	va_end(arguments);
}
