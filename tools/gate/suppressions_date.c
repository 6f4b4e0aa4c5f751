/* suppressions_date: days as numbers that compare as they follow each other, see suppressions.h. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gate/suppressions.h"

static uint32_t number_of(const struct tm *day)
{
	return (uint32_t)(day->tm_year + 1900) * 10000 + (uint32_t)(day->tm_mon + 1) * 100 + (uint32_t)day->tm_mday;
}

static bool is_spelled_as_date(const char *text)
{
	static const char shape[] = "0000-00-00";
	if (strlen(text) != strlen(shape))
		return false;
	for (size_t i = 0; shape[i] != '\0'; i++)
		if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != '-')
			return false;
	return true;
}

/* The calendar says whether there is such a day: it would make the 30th of February one of March. */
bool suppressions_date(const char *text, uint32_t *date)
{
	struct tm day = {.tm_isdst = 0};
	if (!is_spelled_as_date(text) || sscanf(text, "%4d-%2d-%2d", &day.tm_year, &day.tm_mon, &day.tm_mday) != 3)
		return false;
	day.tm_year -= 1900;
	day.tm_mon -= 1;
	uint32_t wanted = number_of(&day);
	timegm(&day);
	if (wanted != number_of(&day) || wanted < 19000101)
		return false;
	*date = wanted;
	return true;
}

uint32_t suppressions_today(void)
{
	struct tm day;
	time_t now = time(NULL);
	return gmtime_r(&now, &day) ? number_of(&day) : 0;
}

uint32_t suppressions_days_later(uint32_t date, unsigned days)
{
	struct tm day = {.tm_year = (int)(date / 10000) - 1900,
	                 .tm_mon = (int)(date / 100 % 100) - 1,
	                 .tm_mday = (int)(date % 100 + days)};
	timegm(&day);
	return number_of(&day);
}
