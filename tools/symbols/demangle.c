/*
 * demangle: C++ (Itanium) and Rust (legacy and v0) names through libiberty, printed as c++filt prints them.
 *
 * Called by symbols/ for every name from a binary. A mangled name of some hundred bytes can stand for gigabytes of
 * text (each back reference may double it), so the text is taken piece by piece and the work is left, by longjmp out of
 * libiberty's printer, once it exceeds TEXT_MAX; the callback forms of libiberty keep their state on the stack.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#include "command.h"
#include "symbols.h"

#define MANGLED_MAX 16384u
#define TEXT_MAX 32768u /* c++filt of the longest name in libstdc++, LLVM and Chromium is below half of it */

struct text {
	char *bytes;
	size_t used;
	jmp_buf too_long;
};

static void append(const char *bytes, size_t count, void *context)
{
	struct text *t = context;

	if (count > TEXT_MAX - t->used)
		longjmp(t->too_long, 1);
	memcpy(t->bytes + t->used, bytes, count);
	t->used += count;
}

typedef int demangler(const char *mangled, int options, demangle_callbackref callback, void *context);

static char *print(demangler *demangle, const char *mangled)
{
	struct text *t = malloc(sizeof(*t));
	char *result = NULL;

	if (t)
		t->bytes = malloc(TEXT_MAX + 1);
	if (!t || !t->bytes)
		die(EXIT_TROUBLE, "out of memory");
	t->used = 0;
	if (!setjmp(t->too_long) && demangle(mangled, DMGL_PARAMS | DMGL_ANSI, append, t) && t->used)
		result = strndup(t->bytes, t->used);
	free(t->bytes);
	free(t);
	return result;
}

/* Rust's legacy names are C++ names that end in 17h and 16 hexadecimal digits. */
static bool may_be_rust(const char *s)
{
	size_t n = strlen(s);

	return strncmp(s, "_R", 2) == 0 || (n > 21 && strstr(s, "17h") != NULL);
}

char *symbols_demangle(const char *mangled)
{
	char *text = NULL;

	if (strncmp(mangled, "_Z", 2) != 0 && strncmp(mangled, "_R", 2) != 0)
		return NULL;
	if (strlen(mangled) > MANGLED_MAX)
		return NULL;
	if (may_be_rust(mangled))
		text = print(rust_demangle_callback, mangled);
	if (!text && mangled[1] == 'Z')
		text = print(cplus_demangle_v3_callback, mangled);
	return text;
}
