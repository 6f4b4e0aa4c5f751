/*
 * ask: see ask.h. As root, all that touches the JVM's files and socket is done as its user: it checks who owns the file and
 * who connects, and in a user namespace only its own users may own files in its /tmp.
 */
#include "attach/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "attach/hotspot.h"
#include "read/read.h"

enum { COMMAND_MOST = 16, ARGUMENT_MOST = 1024, LOOK_MS = 10, AGAIN_MS = 2000, SEND_S = 10 };

static int refuse(struct read_error *error, int code, const struct hotspot *jvm, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static int refuse(struct read_error *error, int code, const struct hotspot *jvm, const char *format, ...)
{
	int n = snprintf(error->text, sizeof error->text, "%d ", (int)jvm->pid);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(error->text + n, sizeof error->text - (size_t)n, format, arguments);
	va_end(arguments);
	return code;
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* ---- the socket ---- */

static void socket_name(const struct hotspot *jvm, char name[32])
{
	snprintf(name, 32, ".java_pid%d", (int)jvm->inner_pid);
}

/* Of a JVM that had its pid before, and was root's: this one can neither use it nor remove it. */
static bool is_in_its_way(const struct hotspot *jvm)
{
	struct stat st;
	char name[32];
	socket_name(jvm, name);
	return fstatat(jvm->temporary, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid != jvm->uid;
}

/* A socket that another user left there is not the JVM's. */
static bool is_its_socket(const struct hotspot *jvm, const char *name)
{
	struct stat st;
	return fstatat(jvm->temporary, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode) &&
	       (st.st_uid == jvm->uid || st.st_uid == 0);
}

/* Where a JVM hangs, connections pile up, and one more would wait for ever. */
static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = SEND_S}, sizeof(struct timeval));
	return fd;
}

/* A descriptor, or -errno: -ENOENT, -ECONNREFUSED: nobody listens there. By the directory's descriptor: the whole path may
   be longer than an address holds, and closed to the user that we have become. */
static int connect_to(const struct hotspot *jvm)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[32];
	socket_name(jvm, name);
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", jvm->temporary, name);
	if (!is_its_socket(jvm, name))
		return -ENOENT;
	int fd = new_socket();
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	int why = errno;
	close(fd);
	return -why;
}

/* ---- to make it listen ---- */

struct request_file {
	int directory; /* -1: there is none */
	char name[32];
};

/* One that is there already is another attach's, and does as well, if its owner is one that the JVM listens to. */
static bool is_there_already(const struct hotspot *jvm, const struct request_file *file, int directory)
{
	struct stat st;
	return errno == EEXIST && fstatat(directory, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_uid == jvm->uid || st.st_uid == 0);
}

static bool put_file(const struct hotspot *jvm, struct request_file *file, int directory)
{
	if (directory < 0)
		return false;
	int fd = openat(directory, file->name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return is_there_already(jvm, file, directory);
	close(fd);
	file->directory = directory;
	return true;
}

static void remove_file(const struct request_file *file)
{
	if (file->directory >= 0)
		unlinkat(file->directory, file->name, 0);
}

static int give_up(const struct hotspot *jvm, const struct question *q, struct read_error *error)
{
	if (!hotspot_is_there(jvm))
		return refuse(error, -ESRCH, jvm, "has ended");
	if (jvm->is_silent)
		return refuse(error, -ETIMEDOUT, jvm,
		              "was started with -Xrs and does not listen, and SIGQUIT, which asks other JVMs "
		              "to, would end it: restart it without -Xrs");
	if (!hotspot_catches_quit(jvm))
		return refuse(error, -ETIMEDOUT, jvm,
		              "has no handler for SIGQUIT after %u s, so the signal that asks a JVM to listen "
		              "would end it: it is not sent; try again when it has started",
		              q->listen_ms / 1000);
	return refuse(error, -ETIMEDOUT, jvm, "did not begin to listen within %u s: it hangs, or is stopped",
	              q->listen_ms / 1000);
}

/* Waits for its handler, then for its socket; a JVM that was busy starting may have missed the first signal. */
static int wait_for_socket(const struct hotspot *jvm, const struct question *q, struct read_error *error)
{
	uint64_t begin = now_ms(), asked = 0;
	for (;;) {
		int fd = connect_to(jvm);
		if (fd >= 0)
			return fd;
		uint64_t now = now_ms();
		if (now - begin >= q->listen_ms || !hotspot_is_there(jvm))
			return give_up(jvm, q, error);
		if ((!asked || now - asked >= AGAIN_MS) && !jvm->is_silent && hotspot_catches_quit(jvm)) {
			hotspot_become_self(); /* its own user may not be allowed to signal it: it may have changed its real one */
			int failed = hotspot_send_quit(jvm);
			hotspot_become(jvm);
			if (failed)
				return refuse(error, failed, jvm, "cannot be signalled: %s", strerror(-failed));
			asked = now;
		}
		pause_ms(LOOK_MS);
	}
}

static int make_it_listen(const struct hotspot *jvm, const struct question *q, struct read_error *error)
{
	struct request_file file = {.directory = -1};
	if (jvm->is_disabled)
		return refuse(error, -EPERM, jvm, "was started with -XX:+DisableAttachMechanism: restart it without");
	if (jvm->is_silent)
		return wait_for_socket(jvm, q, error);
	snprintf(file.name, sizeof file.name, ".attach_pid%d", (int)jvm->inner_pid);
	if (!put_file(jvm, &file, jvm->temporary) && !put_file(jvm, &file, jvm->working))
		return refuse(error, -EACCES, jvm,
		              "is asked to listen by a file in its /tmp or its working directory, and neither "
		              "can be written: %s",
		              strerror(errno));
	int fd = wait_for_socket(jvm, q, error);
	remove_file(&file);
	return fd;
}

/* ---- question and answer ---- */

/* A connection that the JVM closes on us must not end us. */
static int send_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -errno;
		bytes += n;
		count -= (size_t)n;
	}
	return 0;
}

/* Protocol 1, which every HotSpot from 6 to 25 understands. */
static int send_question(int fd, const struct question *q)
{
	char bytes[2 + COMMAND_MOST + 1 + 3 * (ARGUMENT_MOST + 1)] = "1";
	size_t at = 2;
	for (int i = -1; i < 3; i++) {
		const char *word = i < 0 ? q->command : q->argument[i] ? q->argument[i] : "";
		size_t length = strlen(word);
		if (length > (size_t)(i < 0 ? COMMAND_MOST : ARGUMENT_MOST))
			return -ENAMETOOLONG;
		memcpy(bytes + at, word, length + 1);
		at += length + 1;
	}
	return send_all(fd, bytes, at);
}

/* What there is until the end. The buffer has room for a NUL behind it. */
static int read_all(int fd, unsigned wait_ms, char **bytes, size_t *length)
{
	size_t room = 64 << 10, used = 0;
	char *buffer = malloc(room + 1);
	int code = buffer ? 0 : -ENOMEM;
	while (code == 0) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		int n = poll(&ready, 1, (int)wait_ms);
		ssize_t got = n > 0 ? recv(fd, buffer + used, room - used, 0) : 0;
		if (n == 0)
			code = -ETIMEDOUT;
		else if ((n < 0 || got < 0) && errno != EINTR)
			code = -errno;
		else if (n > 0 && got == 0)
			break;
		used += got > 0 ? (size_t)got : 0;
		if (code == 0 && used == room) {
			char *more = room < ANSWER_BYTES_MOST ? realloc(buffer, 2 * room + 1) : NULL;
			code = more ? 0 : -EFBIG;
			buffer = more ? more : buffer;
			room *= 2;
		}
	}
	if (code) {
		free(buffer);
		return code;
	}
	buffer[used] = '\0';
	*bytes = buffer;
	*length = used;
	return 0;
}

static int read_answer(int fd, const struct hotspot *jvm, const struct question *q, struct answer *answer,
                       struct read_error *error)
{
	char *bytes = NULL;
	size_t length = 0;
	int code = read_all(fd, q->answer_ms, &bytes, &length);
	if (code == -ETIMEDOUT)
		return refuse(error, code, jvm, "gave no answer to %s within %u s", q->command, q->answer_ms / 1000);
	if (code && hotspot_is_there(jvm))
		return refuse(error, code, jvm, "its answer to %s could not be read: %s", q->command, strerror(-code));
	if (code == 0 && length > 0)
		code = answer_parse(bytes, length, answer);
	else
		code = -ESRCH;
	if (code == 0)
		return 0;
	free(bytes);
	if (!hotspot_is_there(jvm))
		return refuse(error, -ESRCH, jvm, "ended before it answered %s", q->command);
	if (length == 0)
		return refuse(error, -EPERM, jvm,
		              "closed the connection: it answers only its own user and group (uid %u, gid %u)",
		              jvm->uid, jvm->gid);
	return refuse(error, -EPROTO, jvm, "answered %s with what is no answer", q->command);
}

static int converse(const struct hotspot *jvm, const struct question *q, struct answer *answer,
                    struct read_error *error)
{
	int fd = connect_to(jvm);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		fd = make_it_listen(jvm, q, error);
	else if (fd == -EACCES && is_in_its_way(jvm))
		refuse(error, fd, jvm, "cannot listen: /tmp/.java_pid%d is there already, another user's; remove it",
		       (int)jvm->inner_pid);
	else if (fd < 0)
		refuse(error, fd, jvm, "listens, but cannot be reached: %s", strerror(-fd));
	if (fd < 0)
		return fd;
	int code = send_question(fd, q);
	if (code == -ENAMETOOLONG)
		refuse(error, code, jvm, "cannot be asked that: it takes at most %d bytes", ARGUMENT_MOST);
	else
		code = read_answer(fd, jvm, q, answer, error); /* one that was closed at once says more when read */
	close(fd);
	return code;
}

int ask(const struct hotspot *jvm, const struct question *question, struct answer *answer, struct read_error *error)
{
	*answer = (struct answer){NULL, "", 0};
	int code = hotspot_become(jvm);
	if (code)
		refuse(error, code, jvm, "is another user's, and that user we cannot become: %s", strerror(-code));
	else
		code = converse(jvm, question, answer, error);
	hotspot_become_self();
	return code;
}

int ask_command(const struct hotspot *jvm, const char *text, struct answer *answer, struct read_error *error)
{
	struct question q = {
		.command = "jcmd", .argument = {text}, .listen_ms = ASK_LISTEN_MS, .answer_ms = ASK_ANSWER_MS};
	return ask(jvm, &q, answer, error);
}
