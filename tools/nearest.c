/*
 * nearest: which known name did the user mean? Distance counts insertions, deletions, substitutions and swaps of
 * neighbours. Used for commands, options and choices. Names longer than 63 bytes match nothing.
 */
#include "command.h"

#include <string.h>

#define MOST 63

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned distance(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b);
	unsigned rows[3][MOST + 1];
	for (size_t j = 0; j <= n; j++)
		rows[0][j] = (unsigned)j;
	for (size_t i = 1; i <= m; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], above2[j - 2] + 1);
		}
	}
	return rows[m % 3][n];
}

const char *nearest(const char *word, const char *const *names)
{
	size_t length = strlen(word);
	if (length > MOST)
		return NULL;
	unsigned best = (unsigned)(length + 1) / 3; /* one slip per three letters still counts as close */
	const char *found = NULL;
	for (; *names; names++) {
		if (strlen(*names) > MOST)
			continue;
		bool prefix = length >= 2 && strncmp(word, *names, length) == 0;
		unsigned d = prefix ? 1 : distance(word, *names);
		if (d < best + (found == NULL)) {
			best = d;
			found = *names;
		}
	}
	return found;
}
