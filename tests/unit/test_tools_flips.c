/*
 * test_tools_flips: every byte of a small recording and of a small segment is changed in its turn, several bits of it, and
 * read again. A recording is checksummed: it is refused with a line, or read in part and says so, or what was changed is
 * nothing that is shown. A segment is not, a count is as good as another: it is refused with a line, or whatever was read
 * can be shown. Run under sanitizers too. FLIPS_STRIDE=1: every change of every byte of the segment; else one of so many (3)
 * changes, and of each byte one at least.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emit/emit.h"
#include "emit/events.h"
#include "fake_segment.h"
#include "model/profile.h"
#include "read/read.h"
#include "run.h"

static const unsigned char masks[] = {0x01, 0x10, 0x80, 0xff};
enum { MASKS = sizeof masks / sizeof masks[0] };

/* ---- what is shown of a profile ---- */

static char *show(const struct profile *p)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	struct emit_options options = {.limit = 50, .target = "flips", .full = true};
	emit_text(p, &options, out);
	emit_json(p, &options, out);
	for (uint32_t i = 0; i < p->process_count; i++)
		for (uint32_t k = 0; k < p->processes[i].event_count; k++)
			emit_event_text(&p->processes[i], &p->processes[i].events[k], out);
	fclose(out);
	return text;
}

static bool says_so(const struct profile *p)
{
	for (uint32_t i = 0; i < p->process_count; i++)
		if (p->processes[i].skipped || p->processes[i].note || p->processes[i].poisoned)
			return true;
	return false;
}

/* ---- a recording ---- */

static size_t load(const char *path, unsigned char *bytes, size_t most)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, most);
	close(fd);
	ck_assert_msg(n > 100 && (size_t)n < most, "%s", path);
	return (size_t)n;
}

static int recording_fd;
static char recording_path[64];

/* What it says now, or NULL: it was refused. */
static char *read_changed(bool *said)
{
	struct profile *p = profile_new();
	struct read_error error = {""};
	char *text = NULL;
	if (read_recording(recording_path, p, &error) == 0)
		text = show(p);
	else
		ck_assert_msg(error.text[0] != '\0', "a refusal says why");
	*said = says_so(p);
	profile_free(p);
	return text;
}

static void flip_recording(const char *path)
{
	static unsigned char bytes[16384];
	size_t count = load(path, bytes, sizeof bytes);
	bool said;
	recording_fd = memfd_create("flips", MFD_CLOEXEC);
	snprintf(recording_path, sizeof recording_path, "/proc/self/fd/%d", recording_fd);
	ck_assert_int_eq(write(recording_fd, bytes, count), count);
	char *whole = read_changed(&said);
	ck_assert_ptr_nonnull(whole);
	for (size_t at = 0; at < count; at++)
		for (int m = 0; m < MASKS; m++) {
			unsigned char changed = bytes[at] ^ masks[m];
			ck_assert_int_eq(pwrite(recording_fd, &changed, 1, (off_t)at), 1);
			char *text = read_changed(&said);
			ck_assert_msg(!text || said || !strcmp(text, whole), "%s: byte %zu ^ %#x: another report, and nothing said", path,
				      at, masks[m]);
			free(text);
			ck_assert_int_eq(pwrite(recording_fd, &bytes[at], 1, (off_t)at), 1);
		}
	free(whole);
	close(recording_fd);
}

START_TEST(every_byte_of_a_recording)
{
	flip_recording("tests/compat/v1-plain.mtr");
	flip_recording("tests/compat/v1-unnamed.mtr");
}
END_TEST

/* ---- a segment ---- */

static uint32_t stack(struct fake_segment *f, enum mtrace_kind kind, uint32_t module, uint64_t from)
{
	return fake_stack(f, kind, module, (const uint64_t[]){from, from + 64, from + 128, 0});
}

/* Something in every table that a reader looks at. */
static struct fake_segment *make_segment(void)
{
	struct fake_segment *f = fake_segment_new();
	fake_args(f, (const char *const[]){"flips", "--at", "once", NULL});
	uint32_t one = fake_module(f, "/usr/lib/one.so", 7), other = fake_module(f, "/usr/bin/other", 0);
	uint32_t kept = stack(f, MTRACE_KIND_MALLOC, one, 0x1000), cache = stack(f, MTRACE_KIND_MALLOC, other, 0x2000);
	uint32_t mapped = stack(f, MTRACE_KIND_MMAP, other, 0x3000), born = stack(f, MTRACE_KIND_THREAD, one, 0x4000);
	uint32_t thread = fake_thread(f, 77, "worker", born);
	for (uint64_t i = 0; i < 20; i++)
		fake_malloc(f, i % 2 ? kept : cache, 0x700000 + 64 * i, 40 + i, thread);
	fake_free(f, kept, 0x700000 + 64, 41);
	fake_range(f, 0x10000000, 0x10100000, mapped);
	fake_range_op(f, MTRACE_RANGE_MAP, 0x20000000, 0x20010000, mapped, 0);
	fake_mark(f, "first", 1000000);
	fake_mark(f, "second", 2000000);
	fake_news(f, MTRACE_RING_start, thread, 0, (const uint64_t[4]){4127});
	fake_news(f, MTRACE_RING_mark, thread, 0, (const uint64_t[4]){1});
	fake_news(f, MTRACE_RING_grow, thread, kept, (const uint64_t[4]){3 << 20, 2 << 20});
	uint64_t method = fake_method(f, "org.Example", "main", "Example.java");
	uint32_t java = fake_node(f, MTRACE_KIND_MALLOC, fake_frame(f, MTRACE_FRAME_JAVA, 0, method << 32 | 7));
	fake_malloc(f, fake_row(f, java), 0x800000, 30, thread);
	return f;
}

static void read_changed_segment(int fd)
{
	struct profile *p = profile_new();
	struct read_error error = {""};
	if (read_segment_fd(fd, "flips", p, NULL, &error) == 0)
		free(show(p));
	else
		ck_assert_msg(error.text[0] != '\0', "a refusal says why");
	profile_free(p);
	struct read_news news = {.fd = fd};
	p = profile_new();
	(void)read_segment_news(&news, p);
	profile_free(p);
}

static size_t stride(void)
{
	const char *text = getenv("FLIPS_STRIDE");
	return text && atoi(text) > 0 ? (size_t)atoi(text) : 3;
}

/* Bytes that are not zero, and the eight behind each run of them: what is in use, and what follows it. */
static bool is_in_use(const struct fake_segment *f, size_t at)
{
	for (size_t back = 0; back <= 8 && back <= at; back++)
		if (f->image[at - back])
			return true;
	return false;
}

START_TEST(every_byte_of_a_segment)
{
	struct fake_segment *f = make_segment();
	int fd = memfd_create("flips", MFD_CLOEXEC);
	size_t flipped = 0, step = stride(), seen = 0;
	fake_segment_write(f, fd);
	read_changed_segment(fd);
	for (size_t at = 0; at < f->bytes; at++) {
		if (!is_in_use(f, at))
			continue;
		seen++;
		for (size_t m = 0; m < MASKS; m++) {
			if ((seen + m) % step)
				continue;
			unsigned char changed = f->image[at] ^ masks[m];
			ck_assert_int_eq(pwrite(fd, &changed, 1, (off_t)at), 1);
			read_changed_segment(fd);
			flipped++;
		}
		ck_assert_int_eq(pwrite(fd, &f->image[at], 1, (off_t)at), 1);
	}
	ck_assert_uint_gt(flipped, 500);
	printf("%zu changes of %zu bytes in use\n", flipped, seen);
	fake_segment_free(f);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flips");
	TCase *bytes = tcase_create("bytes");
	tcase_add_test(bytes, every_byte_of_a_recording);
	tcase_add_test(bytes, every_byte_of_a_segment);
	suite_add_tcase(suite, bytes);
	return run_suite(suite);
}
