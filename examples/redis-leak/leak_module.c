/*
 * sessions: a Redis module with a real leak, traced by `make quickstart`.
 *
 *   SESSION.OPEN USER    remembers a session and the history of its commands
 *   SESSION.CLOSE USER   forgets it
 *
 * The leak: session_close() frees the session and its name but not the history, so every session that was closed
 * leaves 1 KiB behind. Redis's own figures do not show it: used_memory counts what went through Redis's allocator
 * functions, and a module may call malloc itself.
 *
 * Redis hands a module its functions by name: the first word of the context is the address of the one that finds the
 * others. The few that are needed are declared here, since Debian does not package redismodule.h.
 */
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, API_VERSION = 1, MODULE_VERSION = 1, HISTORY_BYTES = 1024, BUCKETS = 1024 };

struct context;
struct string;
typedef int command(struct context *context, struct string **argv, int argc);

static int (*create_command)(struct context *, const char *name, command *run, const char *flags, int first, int last,
                             int step);
static void (*set_module_attributes)(struct context *, const char *name, int version, int api_version);
static int (*wrong_arity)(struct context *);
static int (*reply_with_number)(struct context *, long long number);
static const char *(*string_text)(const struct string *, size_t *length);

struct session {
	struct session *next;
	char *user;
	char *history;
};

static struct session *sessions[BUCKETS];

static struct session **bucket_of(const char *user)
{
	unsigned hash = 5381;
	for (; *user; user++)
		hash = hash * 33 + (unsigned char)*user;
	return &sessions[hash % BUCKETS];
}

static char *history_new(const char *user)
{
	char *history = calloc(1, HISTORY_BYTES);
	if (history)
		strncpy(history, user, HISTORY_BYTES - 1);
	return history;
}

static void session_open(const char *user)
{
	struct session *session = malloc(sizeof *session);
	if (!session)
		return;
	session->user = strdup(user);
	session->history = history_new(user);
	session->next = *bucket_of(user);
	*bucket_of(user) = session;
}

/* Returns how many were closed. */
static int session_close(const char *user)
{
	for (struct session **link = bucket_of(user); *link; link = &(*link)->next) {
		struct session *session = *link;
		if (strcmp(session->user, user))
			continue;
		*link = session->next;
		free(session->user);
		free(session); /* and session->history? */
		return 1;
	}
	return 0;
}

static int open_command(struct context *context, struct string **argv, int argc)
{
	if (argc != 2)
		return wrong_arity(context);
	session_open(string_text(argv[1], NULL));
	return reply_with_number(context, 1);
}

static int close_command(struct context *context, struct string **argv, int argc)
{
	if (argc != 2)
		return wrong_arity(context);
	return reply_with_number(context, session_close(string_text(argv[1], NULL)));
}

/* The functions of Redis that this module uses; FAILED when this Redis lacks one. */
static int bind_functions(struct context *context)
{
	int (*find)(const char *name, void *function) = *(int (**)(const char *, void *))context;

	return find("RedisModule_CreateCommand", &create_command) ||
	       find("RedisModule_SetModuleAttribs", &set_module_attributes) ||
	       find("RedisModule_WrongArity", &wrong_arity) ||
	       find("RedisModule_ReplyWithLongLong", &reply_with_number) ||
	       find("RedisModule_StringPtrLen", &string_text);
}

int RedisModule_OnLoad(struct context *context, struct string **argv, int argc);

int RedisModule_OnLoad(struct context *context, struct string **argv, int argc)
{
	(void)argv;
	(void)argc;
	if (bind_functions(context))
		return FAILED;
	set_module_attributes(context, "sessions", MODULE_VERSION, API_VERSION);
	if (create_command(context, "session.open", open_command, "write", 0, 0, 0) ||
	    create_command(context, "session.close", close_command, "write", 0, 0, 0))
		return FAILED;
	return DONE;
}
