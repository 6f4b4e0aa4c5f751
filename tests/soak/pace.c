/*
 * pace: requests to a server at a fixed pace, whether it keeps up or not: `pace redis|http SOCKET|PORT RATE SECONDS SEED`.
 *
 * Request n is due at start + n / RATE, on connection n % CONNECTIONS, behind those that are not answered yet: a server that
 * stands still is asked on. Its latency is counted from when it was due, so what waited behind a stall is not left out. The
 * pace is kept by spinning: this program takes a whole processor, before others where it may, as a client on another machine
 * would be on time whatever the server does; it says how late it was all the same. RATE 0 is load only: every
 * connection has DEPTH requests under way, nothing is timed, and it sleeps while it waits.
 *
 * SOCKET is a path, PORT one of loopback. The same SEED asks the same. Prints one JSON object; an answer that is an error, or
 * did not come within DRAIN_SECONDS of the end, is counted as wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 16, DEPTH = 8, REQUEST_MOST = 8192, ANSWERS_BYTES = 1 << 18, TEXT_BYTES = 1 << 16, DRAIN_SECONDS = 60 };
#define SECOND 1000000000ULL

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "pace: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- what is asked ---- */

static uint64_t chance_state;
static char text[TEXT_BYTES]; /* letters: values and bodies are pieces of it */

static uint32_t chance(uint32_t below)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (uint32_t)(chance_state >> 32) % below;
}

static void make_text(void)
{
	for (int i = 0; i < TEXT_BYTES; i++)
		text[i] = "etaoin shrdlu cmfwyp"[chance(20)];
}

static const char *piece(uint32_t bytes)
{
	return text + chance(TEXT_BYTES - bytes);
}

/* One command of redis: its words, the last of them a piece of text, if it has one. */
static int put_command(char *to, const char *verb, const char *key, const char *middle, uint32_t text_bytes)
{
	int words = 2 + (middle != NULL) + (text_bytes > 0);
	int n = sprintf(to, "*%d\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", words, strlen(verb), verb, strlen(key), key);
	if (middle)
		n += sprintf(to + n, "$%zu\r\n%s\r\n", strlen(middle), middle);
	if (text_bytes)
		n += sprintf(to + n, "$%u\r\n%.*s\r\n", text_bytes, (int)text_bytes, piece(text_bytes));
	return n;
}

/* What a cache, a queue and a table of sessions do: values of many sizes that come, grow, expire and go. */
static int ask_redis(char *to)
{
	char key[32], field[32];
	uint32_t kind = chance(100), bytes = 16 + chance(1000), which = chance(kind < 60 ? 20000 : 400);
	sprintf(key, "%s:%u", kind < 60 ? "value" : kind < 80 ? "queue" : kind < 95 ? "table" : "brief", which);
	sprintf(field, "field:%u", chance(50));
	if (kind < 30)
		return put_command(to, "SET", key, NULL, bytes);
	if (kind < 55)
		return put_command(to, "GET", key, NULL, 0);
	if (kind < 60)
		return put_command(to, "DEL", key, NULL, 0);
	if (kind < 70)
		return put_command(to, "RPUSH", key, NULL, bytes);
	if (kind < 80)
		return put_command(to, "LPOP", key, NULL, 0);
	if (kind < 90)
		return put_command(to, "HSET", key, field, bytes);
	if (kind < 95)
		return put_command(to, "HDEL", key, field, 0);
	return put_command(to, "SETEX", key, "2", bytes);
}

static int ask_http(char *to)
{
	uint32_t bytes = 200 + chance(4000);
	return sprintf(to, "POST / HTTP/1.1\r\nHost: pace\r\nAccept-Encoding: gzip\r\nContent-Length: %u\r\n\r\n%.*s", bytes, (int)bytes,
		       piece(bytes));
}

/* ---- what is answered: how long the first answer is; 0: it is not all there ---- */

/* An answer of redis: a line, or a text of given length; none of what is asked has a list for an answer. */
static size_t answer_of_redis(const char *bytes, size_t count, bool *is_right)
{
	const char *end = memchr(bytes, '\n', count);
	if (!end)
		return 0;
	size_t line = (size_t)(end - bytes) + 1;
	*is_right = bytes[0] == '+' || bytes[0] == ':' || bytes[0] == '$';
	long length = bytes[0] == '$' ? strtol(bytes + 1, NULL, 10) : -1;
	if (length < 0)
		return line;
	return line + (size_t)length + 2 <= count ? line + (size_t)length + 2 : 0;
}

/* Every answer says its length: a server that sends pieces is not one for this program. */
static size_t answer_of_http(const char *bytes, size_t count, bool *is_right)
{
	char head[1024] = "";
	const char *end = memmem(bytes, count, "\r\n\r\n", 4);
	if (!end)
		return 0;
	size_t head_bytes = (size_t)(end - bytes) + 4;
	memcpy(head, bytes, head_bytes < sizeof head ? head_bytes : sizeof head - 1);
	const char *at = strcasestr(head, "\r\ncontent-length:");
	size_t length = at ? strtoul(at + 17, NULL, 10) : 0;
	*is_right = length > 0 && !strncmp(head, "HTTP/1.1 200 ", 13);
	return head_bytes + length <= count ? head_bytes + length : 0;
}

static const struct protocol {
	const char *name;
	int (*ask)(char *to); /* at most REQUEST_MOST bytes */
	size_t (*answer)(const char *bytes, size_t count, bool *is_right);
} protocols[] = {{"redis", ask_redis, answer_of_redis}, {"http", ask_http, answer_of_http}};

/* ---- connections ---- */

static struct connection {
	int fd;
	char *out; /* not sent yet */
	size_t out_bytes, out_room;
	char *in; /* not whole yet */
	size_t in_bytes;
	uint64_t asked, answered;
} connections[CONNECTIONS];

static struct {
	const struct protocol *protocol;
	uint64_t rate, start_ns, end_ns;
	uint64_t asked, answered, wrong;
	uint64_t *latencies, *lateness; /* of each that was due; NULL: nothing is timed */
	int epoll;
} pace;

static int connect_to(const char *where)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool is_path = strchr(where, '/') != NULL;
	port.sin_port = htons((uint16_t)atoi(where));
	snprintf(path.sun_path, sizeof path.sun_path, "%s", where);
	int one = 1, fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, is_path ? (struct sockaddr *)&path : (struct sockaddr *)&port, is_path ? sizeof path : sizeof port))
		die(where);
	if (!is_path)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void open_all(const char *where)
{
	pace.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
		c->fd = connect_to(where);
		c->in = malloc(ANSWERS_BYTES);
		epoll_ctl(pace.epoll, EPOLL_CTL_ADD, c->fd, &event);
	}
}

/* What the server does not take now is sent in a later turn. */
static void flush(struct connection *c)
{
	size_t sent = 0;
	while (sent < c->out_bytes) {
		ssize_t n = send(c->fd, c->out + sent, c->out_bytes - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			die("the server is gone");
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	c->out_bytes -= sent;
	memmove(c->out, c->out + sent, c->out_bytes);
}

static void ask(struct connection *c)
{
	if (c->out_room - c->out_bytes < REQUEST_MOST)
		c->out = realloc(c->out, c->out_room = c->out_room * 2 + REQUEST_MOST);
	if (!c->out)
		die("what waits for the server");
	c->out_bytes += (size_t)pace.protocol->ask(c->out + c->out_bytes);
	c->asked++;
	pace.asked++;
}

static uint64_t due_ns(uint64_t number)
{
	return pace.start_ns + number * SECOND / pace.rate;
}

/* Answers come in the order of the requests: the one that is due on this connection is known by their number. */
static void note_answer(struct connection *c, uint64_t now, bool is_right)
{
	uint64_t number = c->answered * CONNECTIONS + (uint64_t)(c - connections);
	if (pace.latencies)
		pace.latencies[pace.answered] = now - due_ns(number);
	pace.wrong += !is_right;
	pace.answered++;
	c->answered++;
}

static void read_answers(struct connection *c)
{
	ssize_t n = read(c->fd, c->in + c->in_bytes, ANSWERS_BYTES - c->in_bytes);
	uint64_t now = now_ns();
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		die("the server is gone");
	c->in_bytes += n > 0 ? (size_t)n : 0;
	size_t used = 0, bytes;
	bool is_right = false;
	while (c->answered < c->asked && (bytes = pace.protocol->answer(c->in + used, c->in_bytes - used, &is_right)) > 0) {
		note_answer(c, now, is_right);
		used += bytes;
	}
	c->in_bytes -= used;
	memmove(c->in, c->in + used, c->in_bytes);
}

/* ---- turns ---- */

static void ask_what_is_due(uint64_t now)
{
	uint64_t due;
	while ((due = due_ns(pace.asked)) < pace.end_ns && due <= now) {
		pace.lateness[pace.asked] = now - due;
		ask(&connections[pace.asked % CONNECTIONS]);
	}
}

static void keep_busy(uint64_t now)
{
	for (int i = 0; i < CONNECTIONS && now < pace.end_ns; i++)
		while (connections[i].asked - connections[i].answered < DEPTH)
			ask(&connections[i]);
}

static void turn(uint64_t now)
{
	struct epoll_event events[CONNECTIONS];
	bool is_open = pace.rate > 0;
	if (is_open)
		ask_what_is_due(now);
	else
		keep_busy(now);
	for (int i = 0; i < CONNECTIONS; i++)
		if (connections[i].out_bytes)
			flush(&connections[i]);
	int count = epoll_wait(pace.epoll, events, CONNECTIONS, is_open ? 0 : 1);
	for (int i = 0; i < count; i++)
		read_answers(&connections[events[i].data.u32]);
}

static void run(uint64_t seconds)
{
	uint64_t now = now_ns(), requests = pace.rate * seconds + 1;
	if (pace.rate) {
		setpriority(PRIO_PROCESS, 0, -15); /* or not: lateness tells */
		pace.latencies = calloc(requests, sizeof *pace.latencies);
		pace.lateness = calloc(requests, sizeof *pace.lateness);
	}
	pace.start_ns = now;
	pace.end_ns = now + seconds * SECOND;
	while (now < pace.end_ns || (pace.answered < pace.asked && now < pace.end_ns + DRAIN_SECONDS * SECOND)) {
		turn(now);
		now = now_ns();
	}
	pace.wrong += pace.asked - pace.answered;
}

/* ---- what it says ---- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* The least that no more than one in `of` exceeds. */
static uint64_t all_but_one_in(uint64_t of, const uint64_t *sorted, uint64_t count)
{
	return count ? sorted[count - 1 - count / of] : 0;
}

static void say(void)
{
	printf("{\"requests\": %" PRIu64 ", \"wrong\": %" PRIu64, pace.asked, pace.wrong);
	if (pace.latencies) {
		uint64_t n = pace.answered;
		qsort(pace.latencies, n, sizeof *pace.latencies, by_size);
		qsort(pace.lateness, pace.asked, sizeof *pace.lateness, by_size);
		printf(", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64 ", \"most_ns\": %" PRIu64
		       ", \"late_p999_ns\": %" PRIu64,
		       all_but_one_in(2, pace.latencies, n), all_but_one_in(100, pace.latencies, n),
		       all_but_one_in(1000, pace.latencies, n), n ? pace.latencies[n - 1] : 0,
		       all_but_one_in(1000, pace.lateness, pace.asked));
	}
	printf("}\n");
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 6 && i < sizeof protocols / sizeof protocols[0]; i++)
		if (!strcmp(argv[1], protocols[i].name))
			pace.protocol = &protocols[i];
	if (!pace.protocol) {
		fputs("usage: pace redis|http SOCKET|PORT RATE SECONDS SEED\n", stderr);
		return 2;
	}
	pace.rate = strtoull(argv[3], NULL, 10);
	chance_state = strtoull(argv[5], NULL, 10) * 0x9e3779b97f4a7c15 + 1;
	make_text();
	open_all(argv[2]);
	run(strtoull(argv[4], NULL, 10));
	say();
	return 0;
}
