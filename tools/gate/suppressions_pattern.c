/* suppressions_pattern: LeakSanitizer's rule for when a pattern matches, see suppressions.h; tests/programs/supp.sh asks
   LeakSanitizer itself. */
#include <string.h>

#include "gate/suppressions.h"

/* One literal piece, up to the next '*' or '$': where the text goes on after it, NULL when it is not there. */
static const char *after_piece(const char *text, const char *piece, size_t n, bool at_begin)
{
	const char *found = memmem(text, strlen(text), piece, n);
	return found && (found == text || !at_begin) ? found + n : NULL;
}

bool suppressions_matches(const char *pattern, const char *text)
{
	bool at_begin = pattern[0] == '^', after_any = false;
	if (!text || text[0] == '\0')
		return false;
	pattern += at_begin;
	while (pattern[0] != '\0') {
		if (pattern[0] == '$') /* whatever follows it is not looked at */
			return after_any || text[0] == '\0';
		after_any = pattern[0] == '*';
		if (after_any) {
			pattern++;
			at_begin = false;
			continue;
		}
		size_t n = strcspn(pattern, "*$");
		text = after_piece(text, pattern, n, at_begin);
		if (!text)
			return false;
		pattern += n;
		at_begin = false;
	}
	return true;
}

bool suppressions_matches_all(const struct suppression *row)
{
	static const char *const outermost[] = {"main",         "_start", "__libc_start_main",
	                                        "start_thread", "clone3", "java.lang.Thread.run"};
	for (size_t i = 0; i < sizeof outermost / sizeof outermost[0] && !row->at_site; i++)
		if (suppressions_matches(row->pattern, outermost[i]))
			return true;
	return false;
}
