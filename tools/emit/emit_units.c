/* emit_units: numbers as people read them. IEC sizes with two digits after the point, counts in groups of three. */
#include <inttypes.h>
#include <string.h>

#include "emit/emit_text.h"

void emit_bytes(char out[32], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned unit = 0;
	double value = (double)bytes;
	while (value >= 1023.995 && unit < 6) { /* what would print as 1024.00 is 1.00 of the next */
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(out, 32, "%" PRIu64 " B", bytes);
	else
		snprintf(out, 32, "%.2f %s", value, units[unit]);
}

void emit_count(char out[32], uint64_t count)
{
	char plain[24];
	size_t n = (size_t)snprintf(plain, sizeof plain, "%" PRIu64, count), o = 0;
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			out[o++] = ' ';
		out[o++] = plain[i];
	}
	out[o] = '\0';
}

void emit_duration(char out[32], uint64_t ns)
{
	uint64_t s = ns / 1000000000u, ms = ns / 1000000u;
	if (s == 0)
		snprintf(out, 32, "%" PRIu64 " ms", ms);
	else if (s < 10)
		snprintf(out, 32, "%" PRIu64 ".%02" PRIu64 " s", s, ms % 1000 / 10);
	else if (s < 60)
		snprintf(out, 32, "%" PRIu64 " s", s);
	else if (s < 3600)
		snprintf(out, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
	else
		snprintf(out, 32, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
}

void emit_share(char out[16], uint64_t part, uint64_t whole)
{
	if (whole == 0)
		snprintf(out, 16, "-");
	else
		snprintf(out, 16, "%.0f %%", 100.0 * (double)part / (double)whole);
}
