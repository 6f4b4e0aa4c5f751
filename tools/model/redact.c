/*
 * redact: see redact.h. Four tables say what is secret: names, exceptions to the names, options of certain programs,
 * and strings that are recognised by their shape alone. One scanner walks each argument from left to right for
 * `name=value`, `name: value`, `"name":"value"` and `--name value`; URLs and shapes are looked for on their own.
 *
 * Everything is a memmove to the left within the argument: a value of n bytes becomes min(n, 3) asterisks.
 */
#include "model/redact.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES 128 /* longer names are cut at the front: the telling word comes last */

/* A name is compared in lower case without - _ . and the like: anywhere in it, or (tail) only at its end. */
static const struct secret_name {
	const char *word;
	bool tail;
} secret_names[] = {
	{"password", false},   {"passwd", false},     {"passphrase", false},    {"passcode", false},
	{"secret", false},     {"token", false},      {"apikey", false},        {"accesskey", false},
	{"privatekey", false}, {"authkey", false},    {"encryptionkey", false}, {"signingkey", false},
	{"accountkey", false}, {"masterkey", false},  {"licensekey", false},    {"sharedkey", false},
	{"credential", false}, {"authorization", false}, {"cookie", false},     {"sessionid", false},
	{"signature", false},  {"connectionstring", false}, {"requirepass", false}, {"masterauth", false},
	{"pass", true},        {"pwd", true},         {"pin", true},            {"psk", true},
	{"sas", true},         {"otp", true},         {"basicauth", false},     {"userpass", false},
};

/* Names that say where a secret is, or are no secret at all. Compared with the end of the name, or all of it. */
static const struct plain_name {
	const char *word;
	bool whole;
} plain_names[] = {
	{"file", false}, {"path", false}, {"dir", false}, {"pwd", true}, {"oldpwd", true}, {"spin", true},
};

/* Options that carry a secret without a telling name. How the value follows the option: */
enum value_place { JOINED = 1, SEPARATE = 2, EITHER = 3 };

static const struct program_option {
	const char *program; /* glob on the base name */
	const char *option;
	enum value_place place;
	char after; /* 0: all of the value; else what follows the first such character */
} program_options[] = {
	{"mysql*", "-p", JOINED, 0},        {"mariadb*", "-p", JOINED, 0},     {"mongo*", "-p", EITHER, 0},
	{"sshpass", "-p", EITHER, 0},       {"redis-cli", "-a", EITHER, 0},    {"valkey-cli", "-a", EITHER, 0},
	{"curl", "-u", EITHER, ':'},        {"curl", "--user", EITHER, ':'},   {"curl", "-U", EITHER, ':'},
	{"curl", "--proxy-user", EITHER, ':'}, {"docker", "-p", SEPARATE, 0},  {"podman", "-p", SEPARATE, 0},
	{"ldap*", "-w", EITHER, 0},         {"smbclient", "-U", EITHER, '%'},  {"7z*", "-p", JOINED, 0},
	{"zip", "-P", EITHER, 0},           {"unzip", "-P", EITHER, 0},        {"sqlcmd", "-P", EITHER, 0},
	{"isql", "-P", EITHER, 0},          {"cqlsh", "-p", EITHER, 0},        {"rabbitmqadmin", "-p", EITHER, 0},
	{"ipmitool", "-P", EITHER, 0},      {"snmp*", "-A", EITHER, 0},        {"snmp*", "-X", EITHER, 0},
	{"snmp*", "-c", EITHER, 0},         {"htpasswd", "-b", SEPARATE, 0},   {"rclone", "--pass", EITHER, 0},
};

/* Strings that are secret by their looks: a prefix, then at least `least` characters of [A-Za-z0-9_-] and `also`. */
static const struct secret_shape {
	const char *prefix;
	size_t least;
	const char *also;
} secret_shapes[] = {
	{"AKIA", 16, ""},        {"ASIA", 16, ""},       {"ghp_", 20, ""},      {"gho_", 20, ""},
	{"ghu_", 20, ""},        {"ghs_", 20, ""},       {"ghr_", 20, ""},      {"github_pat_", 20, ""},
	{"glpat-", 16, "."},     {"xoxb-", 10, ""},      {"xoxp-", 10, ""},     {"xoxa-", 10, ""},
	{"xoxr-", 10, ""},       {"xoxs-", 10, ""},      {"eyJ", 20, ".=+/"},   {"AIza", 30, ""},
	{"sk_live_", 10, ""},    {"rk_live_", 10, ""},   {"sk-", 20, ""},       {"hf_", 20, ""},
	{"npm_", 20, ""},        {"pypi-", 20, ""},      {"dckr_pat_", 16, ""}, {"hvs.", 20, "."},
	{"Bearer ", 8, ".=+/~"}, {"Basic ", 8, ".=+/~"}, {"SG.", 20, "."},      {"-----BEGIN ", 0, " \n\r.=+/:,\\"},
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool ends_with(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);
	return n >= m && strcmp(text + n - m, tail) == 0;
}

/* Replaces `bytes` at `value` by at most three asterisks; returns where the text goes on. */
static char *hide(char *value, size_t bytes)
{
	size_t stars = bytes < 3 ? bytes : 3;
	memset(value, '*', stars);
	memmove(value + stars, value + bytes, strlen(value + bytes) + 1);
	return value + stars;
}

/* ---- names ---- */

static void fold_name(char out[NAME_BYTES], const char *name, size_t bytes)
{
	if (bytes >= NAME_BYTES) {
		name += bytes - (NAME_BYTES - 1);
		bytes = NAME_BYTES - 1;
	}
	size_t used = 0;
	for (size_t i = 0; i < bytes; i++)
		if (isalnum((unsigned char)name[i]))
			out[used++] = (char)tolower((unsigned char)name[i]);
	out[used] = '\0';
}

static bool is_plain_name(const char *folded)
{
	for (size_t i = 0; i < ROWS(plain_names); i++) {
		const struct plain_name *row = &plain_names[i];
		if (row->whole ? strcmp(folded, row->word) == 0 : ends_with(folded, row->word))
			return true;
	}
	return false;
}

static bool is_secret_name(const char *name, size_t bytes)
{
	char folded[NAME_BYTES];
	fold_name(folded, name, bytes);
	if (is_plain_name(folded))
		return false;
	for (size_t i = 0; i < ROWS(secret_names); i++) {
		const struct secret_name *row = &secret_names[i];
		if (row->tail ? ends_with(folded, row->word) : strstr(folded, row->word) != NULL)
			return true;
	}
	return false;
}

/* ---- name and value within one argument ---- */

/* The end of a value: its closing quote, or, unquoted and not the whole argument, a space or a separator. */
static char *value_end(char *value, char quote, bool rest)
{
	if (!quote)
		return rest ? value + strlen(value) : value + strcspn(value, " \t\n&;'\"}");
	while (*value && *value != quote)
		value += *value == '\\' && value[1] ? 2 : 1;
	return value;
}

/* Where the value of the name that ends at `end` begins; NULL when no value follows. */
static char *value_after(char *name, char *end)
{
	bool quoted = *end == '"' || *end == '\'';
	char *p = end + quoted;
	if (*name == '-' && !quoted && isspace((unsigned char)*p)) {
		p += strspn(p, " \t\n");
		return *p && *p != '-' ? p : NULL;
	}
	p += strspn(p, " \t");
	if (*p == '=')
		return p + 1;
	if (*p != ':' || p[1] == ':' || strncmp(p + 1, "//", 2) == 0)
		return NULL;
	return p + 1 + strspn(p + 1, " \t");
}

/* Hides the value of the name [name, end) if the name is telling. Returns where to go on. */
static char *hide_pair(char *arg, char *name, char *end)
{
	char *value = value_after(name, end);
	if (!value || !*value || !is_secret_name(name, (size_t)(end - name)))
		return end;
	bool rest = name == arg && !isspace((unsigned char)*end);
	char quote = *value == '"' || *value == '\'' ? *value : '\0';
	if (quote)
		value++;
	return hide(value, (size_t)(value_end(value, quote, rest && !quote) - value));
}

static void hide_pairs(char *arg)
{
	char *p = arg;
	while (*p) {
		if (!is_name_char(*p)) {
			p++;
			continue;
		}
		char *end = p;
		while (is_name_char(*end))
			end++;
		p = hide_pair(arg, p, end);
	}
}

/* ---- URLs: scheme://user:password@host ---- */

static char *last_at(char *from, char *to)
{
	return memrchr(from, '@', (size_t)(to - from));
}

static void hide_url_passwords(char *arg)
{
	char *p = arg;
	while ((p = strstr(p, "://")) != NULL) {
		char *user = p += 3;
		char *host_end = user + strcspn(user, "/?# \t\n'\"");
		char *word_end = user + strcspn(user, " \t\n'\"");
		char *colon = memchr(user, ':', (size_t)(host_end - user));
		if (!colon)
			continue;
		char *at = last_at(user, host_end);
		bool is_port = colon[strspn(colon + 1, "0123456789") + 1] == '/' || colon + 1 == host_end;
		if (!at && !is_port) /* a password with an unescaped slash in it */
			at = last_at(colon, word_end);
		if (at && at > colon + 1)
			p = hide(colon + 1, (size_t)(at - colon - 1));
	}
}

/* ---- shapes ---- */

static size_t shape_bytes(const char *p, const struct secret_shape *shape)
{
	size_t prefix = strlen(shape->prefix), n = prefix;
	if (strncmp(p, shape->prefix, prefix) != 0)
		return 0;
	while (p[n] && (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '-' || strchr(shape->also, p[n])))
		n++;
	return n - prefix >= shape->least ? n : 0;
}

static size_t secret_bytes(const char *p)
{
	for (size_t i = 0; i < ROWS(secret_shapes); i++) {
		size_t n = shape_bytes(p, &secret_shapes[i]);
		if (n)
			return n;
	}
	return 0;
}

static void hide_shapes(char *arg)
{
	for (char *p = arg; *p; p++) {
		if (p > arg && isalnum((unsigned char)p[-1]))
			continue;
		size_t n = secret_bytes(p);
		if (n)
			p = hide(p, n) - 1;
	}
}

/* ---- options of certain programs ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool is_known_program(const char *name)
{
	for (size_t i = 0; i < ROWS(program_options); i++)
		if (fnmatch(program_options[i].program, name, 0) == 0)
			return true;
	return false;
}

/* Is this argument a program of its own, started by the one before it (env, sudo, sshpass)? */
static bool starts_program(const char *before, const char *arg)
{
	return arg[0] != '-' && (is_known_program(base_name(arg)) || strcmp(before, "sshpass") == 0);
}

static void hide_value(char *value, char after)
{
	if (after) {
		value = strchr(value, after);
		if (!value)
			return;
		value++;
	}
	hide(value, strlen(value));
}

/* Hides what `row` says about args[0], or args[1]. Returns how many arguments are done with. */
static size_t apply_program_option(const struct program_option *row, char **args, size_t count)
{
	size_t n = strlen(row->option);
	if (strncmp(args[0], row->option, n) != 0)
		return 0;
	if (args[0][n] == '\0') {
		if (!(row->place & SEPARATE) || count < 2)
			return 0;
		hide_value(args[1], row->after);
		return 2;
	}
	if (!(row->place & JOINED) || (row->option[1] == '-' && args[0][n] != '='))
		return 0;
	hide_value(args[0] + n + (args[0][n] == '='), row->after);
	return 1;
}

static size_t hide_program_option(const char *program, char **args, size_t count)
{
	for (size_t i = 0; i < ROWS(program_options); i++) {
		if (fnmatch(program_options[i].program, program, 0) != 0)
			continue;
		size_t done = apply_program_option(&program_options[i], args, count);
		if (done)
			return done;
	}
	return 0;
}

/* `--password` on its own: the next argument is the value, unless that is an option again. */
static bool is_secret_option(const char *arg)
{
	size_t n = strlen(arg);
	for (size_t i = 0; i < n; i++)
		if (!is_name_char(arg[i]))
			return false;
	return arg[0] == '-' && n > 2 && is_secret_name(arg, n);
}

/* Grows smaller with whatever hide() changes. */
static size_t weight(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == '*' ? 1 : 2;
	return n;
}

/* One secret may hide the beginning of another ("a://password:x;y@h"): again until nothing is found. */
void redact_text(char *text)
{
	size_t before;
	do {
		before = weight(text);
		hide_shapes(text);
		hide_url_passwords(text);
		hide_pairs(text);
	} while (weight(text) != before);
}

static void redact_once(char **args, size_t count)
{
	const char *program = count ? base_name(args[0]) : "";
	for (size_t i = 0; i < count;) {
		size_t done = i ? hide_program_option(program, args + i, count - i) : 0;
		if (done) {
			i += done;
			continue;
		}
		redact_text(args[i]);
		if (i && starts_program(program, args[i]))
			program = base_name(args[i]);
		if (i && is_secret_option(args[i]) && i + 1 < count && args[i + 1][0] != '-') {
			hide(args[i + 1], strlen(args[i + 1]));
			i++;
		}
		i++;
	}
}

static size_t weight_of_all(char **args, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += weight(args[i]);
	return n;
}

void redact_args(char **args, size_t count)
{
	size_t before;
	do {
		before = weight_of_all(args, count);
		redact_once(args, count);
	} while (weight_of_all(args, count) != before);
}
