/*
 * test_tools_redact: what a command line may show of passwords, tokens and keys: nothing but their names.
 *
 * Examples for each shape, each program and each exception; then the properties, over random command lines made of
 * pieces that matter: no string ever grows, a second pass changes nothing, no secret that has a name or a shape shows.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/redact.h"
#include "run.h"

#define ARGS 8
#define ARG_BYTES 512

struct example {
	const char *before, *after; /* words separated by '|', one argument each */
};

static const struct example examples[] = {
	/* --name=value, --name value, -name */
	{"prog|--password=hunter2", "prog|--password=***"},
	{"prog|--password|hunter2|x", "prog|--password|***|x"},
	{"prog|--password|--verbose", "prog|--password|--verbose"},
	{"prog|--password=", "prog|--password="},
	{"prog|--password=ab", "prog|--password=**"},
	{"prog|--db-password=a b;c&d", "prog|--db-password=***"},
	{"prog|--requirepass|abc123|--port|6379", "prog|--requirepass|***|--port|6379"},
	{"prog|-token|abcdef", "prog|-token|***"},
	{"prog|--api-key|k|--apiKey=kkkk", "prog|--api-key|*|--apiKey=***"},
	{"prog|--secret.access_key=qwerty", "prog|--secret.access_key=***"},
	/* words and properties */
	{"env|DB_PASSWORD=hunter2|prog", "env|DB_PASSWORD=***|prog"},
	{"env|AWS_SECRET_ACCESS_KEY=wJalrXUt/K7|prog", "env|AWS_SECRET_ACCESS_KEY=***|prog"},
	{"java|-Djavax.net.ssl.keyStorePassword=changeit|-Xmx1g", "java|-Djavax.net.ssl.keyStorePassword=***|-Xmx1g"},
	{"java|-Dspring.datasource.password=x y", "java|-Dspring.datasource.password=***"},
	/* several in one argument */
	{"psql|host=h password=hunter2 user=u", "psql|host=h password=*** user=u"},
	{"app|Server=s;Password=hunter2;User=u", "app|Server=s;Password=***;User=u"},
	{"app|{\"user\":\"u\",\"password\":\"a\\\"b c\",\"n\":1}", "app|{\"user\":\"u\",\"password\":\"***\",\"n\":1}"},
	{"sh|-c|mysql --password hunter2 db && echo", "sh|-c|mysql --password *** db && echo"},
	{"curl|-H|Authorization: Bearer abcdefghijkl", "curl|-H|Authorization: ***"},
	{"curl|-H|X-Api-Key: abc", "curl|-H|X-Api-Key: ***"},
	{"curl|https://h/p?user=u&token=abc&x=1", "curl|https://h/p?user=u&token=***&x=1"},
	/* URLs */
	{"prog|postgres://user:hunter2@host:5432/db", "prog|postgres://user:***@host:5432/db"},
	{"prog|redis://:hunter2@host:6379/0", "prog|redis://:***@host:6379/0"},
	{"prog|amqp://u:p@ss:word@h/v", "prog|amqp://u:***@h/v"},
	{"prog|--url=ftp://u:pa/ss@h/f", "prog|--url=ftp://u:***@h/f"},
	{"prog|http://host:8080/a@b", "prog|http://host:8080/a@b"},
	{"prog|a://u:one@h,b://u:two@h", "prog|a://u:***@h,b://u:***@h"},
	/* shapes */
	{"prog|AKIAIOSFODNN7EXAMPLE", "prog|***"},
	{"prog|ghp_abcdefghijklmnopqrstuvwxyz0123456789", "prog|***"},
	{"prog|x=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_def", "prog|x=***"},
	{"prog|glpat-abcdefghij0123456789", "prog|***"},
	/* programs */
	{"mysql|-uroot|-phunter2|db", "mysql|-uroot|-p***|db"},
	{"/usr/bin/mysqldump|-p|db", "/usr/bin/mysqldump|-p|db"},
	{"env|A=1|mysql|-phunter2", "env|A=1|mysql|-p***"},
	{"sshpass|-p|hunter2|ssh|-p|22|h", "sshpass|-p|***|ssh|-p|22|h"},
	{"redis-cli|-a|hunter2|ping", "redis-cli|-a|***|ping"},
	{"curl|-u|user:hunter2|http://h", "curl|-u|user:***|http://h"},
	{"curl|-u|user|http://h", "curl|-u|user|http://h"},
	{"openssl|-passin|pass:hunter2", "openssl|-passin|pass:***"},
	/* what is no secret stays */
	{"ssh|-p|2222|host", "ssh|-p|2222|host"},
	{"prog|--password-file=/run/secret.txt", "prog|--password-file=/run/secret.txt"},
	{"prog|--token-path|/var/t", "prog|--token-path|/var/t"},
	{"env|PWD=/home/u|prog", "env|PWD=/home/u|prog"},
	{"sort|--key=2", "sort|--key=2"},
	{"test|--gtest_filter=Token::Parse", "test|--gtest_filter=Token::Parse"},
	{"git|checkout|0123456789abcdef0123456789abcdef01234567", "git|checkout|0123456789abcdef0123456789abcdef01234567"},
	{"redis-server|--save||--appendonly|no", "redis-server|--save||--appendonly|no"},
};

/* ---- helpers ---- */

static size_t split(const char *line, char store[ARGS][ARG_BYTES], char *args[ARGS])
{
	size_t count = 0;
	for (;;) {
		size_t n = strcspn(line, "|");
		ck_assert_uint_lt(count, ARGS);
		snprintf(store[count], ARG_BYTES, "%.*s", (int)n, line);
		args[count] = store[count];
		count++;
		if (!line[n])
			return count;
		line += n + 1;
	}
}

static void join(char *out, size_t size, char *args[ARGS], size_t count)
{
	out[0] = '\0';
	for (size_t i = 0; i < count; i++)
		snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? "|" : "", args[i]);
}

static void redact_line(const char *line, char *out, size_t size)
{
	char store[ARGS][ARG_BYTES], *args[ARGS];
	size_t count = split(line, store, args);
	redact_args(args, count);
	join(out, size, args, count);
}

/* ---- examples ---- */

START_TEST(each_example_reads_as_it_should)
{
	char out[ARGS * ARG_BYTES];
	redact_line(examples[_i].before, out, sizeof out);
	ck_assert_str_eq(out, examples[_i].after);
}
END_TEST

START_TEST(nothing_is_nothing)
{
	char empty[] = "";
	char *args[] = {empty};
	redact_args(NULL, 0);
	redact_args(args, 1);
	redact_text(empty);
	ck_assert_str_eq(empty, "");
}
END_TEST

/* ---- properties ---- */

static const char *const pieces[] = {
	"--", "-", "password", "pass", "token", "=", ":", "://", "user", "@", "host", "|", "|", " ", "  ", "\"", "'", "{", "}",
	"&", ";", ",", "/", "\\", "x", "***", "**", "*", "a b", "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOiJIUzI1NiJ9abcdef",
	"Bearer ", "mysql", "curl", "-p", "-u", "-phunter", "sshpass", "-file", ".", "_", "-D", "PWD", "\xc3\xa9", "\xff", "1234",
	"-----BEGIN ", "sk-", "redis-cli", "-a", "--user", "%", "\t", "\n",
};

static unsigned seed_of(void)
{
	const char *text = getenv("MTRACE_SEED");
	return text ? (unsigned)strtoul(text, NULL, 10) : 20240607u;
}

static void random_line(char *out, size_t size, unsigned *seed)
{
	int words = 1 + rand_r(seed) % 14, bars = 0;
	out[0] = '\0';
	for (int i = 0; i < words; i++) {
		const char *piece = pieces[(unsigned)rand_r(seed) % (sizeof pieces / sizeof pieces[0])];
		if (*piece == '|' && ++bars >= ARGS)
			continue;
		snprintf(out + strlen(out), size - strlen(out), "%s", piece);
	}
}

START_TEST(no_string_grows_and_a_second_pass_changes_nothing)
{
	unsigned seed = seed_of();
	char line[ARG_BYTES], once[ARGS * ARG_BYTES], twice[ARGS * ARG_BYTES];
	for (int i = 0; i < 40000; i++) {
		char store[ARGS][ARG_BYTES], *args[ARGS];
		size_t before[ARGS];
		random_line(line, sizeof line, &seed);
		size_t count = split(line, store, args);
		for (size_t n = 0; n < count; n++)
			before[n] = strlen(args[n]);
		redact_args(args, count);
		for (size_t n = 0; n < count; n++)
			ck_assert_msg(strlen(args[n]) <= before[n], "grew: %s", line);
		join(once, sizeof once, args, count);
		redact_args(args, count);
		join(twice, sizeof twice, args, count);
		ck_assert_msg(strcmp(once, twice) == 0, "%s\n-> %s\n-> %s", line, once, twice);
	}
}
END_TEST

/* A secret with a telling name, wherever it stands in the line, does not show. */
START_TEST(named_secrets_never_show)
{
	static const char *const shapes[] = {"--password=SECRET9", "--api-token|SECRET9", "DB_PASSWORD=SECRET9",
	                                     "http://u:SECRET9@h/", "{\"secret\":\"SECRET9\"}", "a=b password=SECRET9 c",
	                                     "Authorization: SECRET9", "--x.passwd=SECRET9"};
	static const char *const around[] = {"prog", "-v", "--port=1", "", "a b", "x:y", "--flag", "\xff"};
	unsigned seed = seed_of();
	char line[ARG_BYTES], out[ARGS * ARG_BYTES];
	for (int i = 0; i < 20000; i++) {
		snprintf(line, sizeof line, "%s|%s|%s|%s", around[rand_r(&seed) % 8], around[rand_r(&seed) % 8],
		         shapes[rand_r(&seed) % 8], around[rand_r(&seed) % 8]);
		redact_line(line, out, sizeof out);
		ck_assert_msg(!strstr(out, "SECRET9"), "%s -> %s", line, out);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("redact");
	TCase *cases = tcase_create("redact");
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, each_example_reads_as_it_should, 0, sizeof examples / sizeof examples[0]);
	tcase_add_test(cases, nothing_is_nothing);
	tcase_add_test(cases, no_string_grows_and_a_second_pass_changes_nothing);
	tcase_add_test(cases, named_secrets_never_show);
	suite_add_tcase(suite, cases);
	printf("seed %u (MTRACE_SEED)\n", seed_of());
	return run_suite(suite);
}
