/*
 * faulty: a layer over plat in which the Nth call of a function fails, for a test build of the shim (fault.mk links it with
 * --wrap; nothing of it is in the library that is shipped). Rows: faults.def.
 *
 * MTRACE_FAULT=NAME:N[+][:ERROR][,…]   the Nth call of NAME in a process fails with that error; +: and all after it
 * MTRACE_FAULT_SAID=FILE               gets a line for the first failure of each process
 * Counts are a process's own; a forked child goes on from its parent's. Calls before the environment is there do not fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "plat.h"

enum fault {
#define ERRNO(ret, name, params, args, ...) FAULT_##name,
#define VALUE(ret, name, params, args, value) FAULT_##name,
#define NOTHING(name, params, args) FAULT_##name,
#include "faults.def"
	FAULT_COUNT
};

static const char *const names[] = {
#define ERRNO(ret, name, params, args, ...) #name,
#define VALUE(ret, name, params, args, value) #name,
#define NOTHING(name, params, args) #name,
#include "faults.def"
};

#define ERRNO(ret, name, params, args, ...) ret __real_##name params; ret __wrap_##name params;
#define VALUE(ret, name, params, args, value) ret __real_##name params; ret __wrap_##name params;
#define NOTHING(name, params, args) void __real_##name params; void __wrap_##name params;
#include "faults.def"

static _Atomic uint32_t calls[FAULT_COUNT], said_by;

static uint32_t take_number(const char **at)
{
	uint32_t value = 0;
	for (; **at >= '0' && **at <= '9'; ++*at)
		value = value * 10 + (uint32_t)(**at - '0');
	return value;
}

static void say(enum fault f)
{
	const char *path = plat_env("MTRACE_FAULT_SAID");
	uint32_t pid = plat_pid();
	if (!path || atomic_exchange_explicit(&said_by, pid, memory_order_relaxed) == pid)
		return;
	int fd = __real_plat_open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	__real_plat_write(fd, names[f], strlen(names[f]));
	__real_plat_write(fd, "\n", 1);
	__real_plat_close(fd);
}

/* The error with which this call is to fail; 0: it is not. */
static int error_of(enum fault f)
{
	const char *at = plat_env("MTRACE_FAULT");
	if (!at)
		return 0;
	uint32_t call = atomic_fetch_add_explicit(&calls[f], 1, memory_order_relaxed) + 1;
	size_t length = strlen(names[f]);
	while (*at) {
		const char *name = at;
		at += strcspn(at, ":");
		bool is_it = (size_t)(at - name) == length && !memcmp(name, names[f], length);
		at += *at == ':';
		uint32_t from = take_number(&at);
		bool for_good = *at == '+';
		at += for_good;
		at += *at == ':';
		uint32_t error = take_number(&at);
		at += *at == ',';
		if (!is_it || !(call == from || (for_good && call > from)))
			continue;
		say(f);
		return error ? (int)error : EIO;
	}
	return 0;
}

/* Is the call made although it fails? */
static bool is_made(enum fault f, int error)
{
	return f == FAULT_plat_close || (f == FAULT_plat_commit && error == EINVAL);
}

/* What is left where a result was to be. */
static void leave_nothing(enum fault f, char *text)
{
	if (f == FAULT_plat_readlink || f == FAULT_plat_read_file)
		text[0] = '\0';
}
#define TEXT_OF(f, ...) leave_nothing(f, PICK_SECOND(__VA_ARGS__, NULL, NULL))
#define PICK_SECOND(first, second, ...) (char *)(uintptr_t)(second)

#define STRIP(...) __VA_ARGS__
#define ERRNO(ret, name, params, args, ...)                                \
	ret __wrap_##name params                                           \
	{                                                                  \
		int error = error_of(FAULT_##name);                        \
		if (!error)                                                \
			return __real_##name args;                         \
		if (is_made(FAULT_##name, error))                          \
			(void)__real_##name args;                          \
		else                                                       \
			TEXT_OF(FAULT_##name, STRIP args);                 \
		return -error;                                             \
	}
#define VALUE(ret, name, params, args, value)                              \
	ret __wrap_##name params                                           \
	{                                                                  \
		return error_of(FAULT_##name) ? (value) : __real_##name args; \
	}
#define NOTHING(name, params, args)                                        \
	void __wrap_##name params                                          \
	{                                                                  \
		if (!error_of(FAULT_##name))                               \
			__real_##name args;                                \
	}
#include "faults.def"
