/*
 * victim_kept: has the C library make what it makes once and keeps (suppressions_builtin.def), each by a call of its own, and
 * leaks one block itself. Needs a file with a zone other than UTC and a locale: C.UTF-8 is there always.
 */
#include <grp.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static volatile int sum;

static void convert(const char *to, const char *from)
{
	iconv_t both = iconv_open(to, from);
	if (both != (iconv_t)-1)
		iconv_close(both);
}

static void look_up_names(void)
{
	struct addrinfo *found;
	sum += getpwuid(0) != NULL;
	sum += getservbyname("http", "tcp") != NULL;
	sum += gethostbyname("localhost") != NULL;
	if (getaddrinfo("localhost", NULL, NULL, &found) == 0)
		freeaddrinfo(found);
}

int main(void)
{
	time_t now = 0;
	struct tm day;
	setlocale(LC_ALL, "C.UTF-8");
	localtime_r(&now, &day);
	convert("UTF-8", "KOI8-R");
	textdomain("victim_kept");
	sum += gettext("a message")[0];
	look_up_names();
	return malloc(123) == NULL;
}
