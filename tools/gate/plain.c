/* plain: see plain.h. */
#include "gate/plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* The length of the sequence at s, and the character that it stands for; 0: it stands for none. */
static size_t decode(const unsigned char *s, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
	*character = n > 1 ? s[0] & (0x7fu >> n) : s[0];
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (s[i] & 0x3f);
	}
	return *character < least[n] ? 0 : n;
}

/* What XML 1.0 allows, and no C1 controls. */
static bool is_plain(uint32_t c)
{
	if (c < ' ')
		return c == '\t' || c == '\n';
	return !(c >= 0x7f && c < 0xa0) && !(c >= 0xd800 && c < 0xe000) && c != 0xfffe && c != 0xffff && c <= 0x10ffff;
}

char *plain_text(const char *s)
{
	size_t n = s ? strlen(s) : 0;
	char *out = malloc(3 * n + 1), *o = out;
	if (!out)
		die(2, "out of memory");
	for (size_t i = 0; i < n;) {
		uint32_t character;
		size_t step = decode((const unsigned char *)s + i, &character);
		bool kept = step && is_plain(character);
		memcpy(o, kept ? s + i : REPLACEMENT, kept ? step : 3);
		o += kept ? step : 3;
		i += step ? step : 1;
	}
	*o = '\0';
	return out;
}
