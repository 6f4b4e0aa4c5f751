/*
 * fuzz_segment: the segment reader on a real segment with damage: the input is a list of patches, each
 * (region, offset, length, bytes), applied to a copy in memory and taken back afterwards.
 *
 * The segment is the file `segment` beside this program, made by fuzz.sh from a short run. Region 0 is the head (header,
 * hot words, control, info); 255 cuts the file short.
 */
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>

#include "format.h"
#include "fuzz_profile.h"

static int segment_fd = -1;
static off_t segment_bytes;
static struct mtrace_header pristine;

static void copy_data(int from, int to)
{
	static char block[65536];
	for (off_t at = lseek(from, 0, SEEK_DATA); at >= 0; at = lseek(from, at, SEEK_DATA)) {
		off_t end = lseek(from, at, SEEK_HOLE);
		while (at < end) {
			ssize_t n = pread(from, block, (size_t)(end - at) < sizeof block ? (size_t)(end - at) : sizeof block, at);
			if (n <= 0 || pwrite(to, block, (size_t)n, at) != n)
				exit(2);
			at += n;
		}
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	char program[PATH_MAX], path[PATH_MAX + 16];
	snprintf(program, sizeof program, "%s", (*argv)[0]);
	snprintf(path, sizeof path, "%s/segment", dirname(program));
	int from = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	segment_fd = memfd_create("segment", MFD_CLOEXEC);
	if (from < 0 || fstat(from, &status) || ftruncate(segment_fd, segment_bytes = status.st_size)) {
		fprintf(stderr, "fuzz_segment: there is no segment %s; run tests/fuzz/fuzz.sh\n", path);
		exit(2);
	}
	copy_data(from, segment_fd);
	close(from);
	return pread(segment_fd, &pristine, sizeof pristine, 0) == sizeof pristine ? 0 : exit(2), 0;
}

enum { PATCHES = 24, PATCH_BYTES = 64 };
static struct undo {
	off_t at;
	size_t bytes;
	uint8_t old[PATCH_BYTES];
} undos[PATCHES];
static int undo_count;

static void patch(struct fuzz_input *in)
{
	uint64_t region = fuzz_number(in, 1), offset = fuzz_number(in, 4), bytes = 1 + fuzz_number(in, 1) % PATCH_BYTES;
	uint64_t low = 0, length = MTRACE_REGIONS_OFFSET;
	if (region == 255) {
		(void)!ftruncate(segment_fd, (off_t)(offset % (uint64_t)segment_bytes));
		return;
	}
	if (region % (MTRACE_REGION_COUNT + 1)) {
		const struct mtrace_region *r = &pristine.regions[region % (MTRACE_REGION_COUNT + 1) - 1];
		low = r->offset;
		length = r->used * r->element_bytes; /* what matters is where something is */
		if (length < 4096 || length > r->committed_bytes)
			length = r->committed_bytes;
	}
	if (bytes > in->left)
		bytes = in->left;
	if (!bytes || !length)
		return;
	struct undo *u = &undos[undo_count++];
	u->at = (off_t)(low + offset % length);
	u->bytes = bytes;
	if (pread(segment_fd, u->old, bytes, u->at) != (ssize_t)bytes)
		memset(u->old, 0, bytes);
	(void)!pwrite(segment_fd, fuzz_bytes(in, bytes), bytes, u->at);
}

static void restore(void)
{
	(void)!ftruncate(segment_fd, segment_bytes);
	while (undo_count) {
		struct undo *u = &undos[--undo_count];
		(void)!pwrite(segment_fd, u->old, u->bytes, u->at);
	}
}

/* The same segment as `mtrace follow` looks at it, more than once. */
static void follow(void)
{
	struct read_news news = {.fd = segment_fd};
	for (int looks = 0; looks < 3; looks++) {
		struct profile *profile = profile_new();
		uint64_t position = news.position;
		if (read_segment_news(&news, profile) == 1)
			fuzz_use_profile(profile);
		fuzz_require(news.position >= position, "a reader goes forward");
		profile_free(profile);
	}
}

/* What a reader that comes again and again sees: nothing it was told before makes the file less hostile. */
static void read_instants(void)
{
	struct read_instant instant = {.walk = true};
	for (uint64_t i = 0; i < 3 && read_instant(segment_fd, &instant) == 0; i++) {
		for (size_t row = 1; row < instant.row_count; row++)
			fuzz_require(instant.rows[row].live_blocks <= instant.rows[row].alloc_blocks + instant.rows[row].tabled_blocks,
			             "live was allocated, or stands in a table");
		instant.born_before_ns = i * 1000000000u;
	}
	read_instant_free(&instant);
}

/* As who takes its events, and writes into its control page, which is put right again. */
static void drain(void)
{
	char page[MTRACE_PAGE_BYTES];
	struct read_error error;
	bool has_page = pread(segment_fd, page, sizeof page, MTRACE_CONTROL_OFFSET) == sizeof page;
	struct drain *d = drain_open(segment_fd, &(struct drain_request){.give_back = true, .most_bytes = 4096}, &error);
	struct profile *profile = profile_new();
	for (int looks = 0; d && looks < 40; looks++)
		drain_take(d);
	if (d) {
		drain_finish(d, profile, profile_add_process(profile));
		fuzz_use_profile(profile);
	}
	drain_close(d);
	profile_free(profile);
	if (has_page)
		(void)!pwrite(segment_fd, page, sizeof page, MTRACE_CONTROL_OFFSET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	int was_cut = 0;
	while (in.left && undo_count < PATCHES) {
		was_cut |= in.at[0] == 255;
		patch(&in);
	}
	struct profile *profile = profile_new();
	struct read_error error = {""};
	bool alive;
	if (read_segment_fd(segment_fd, "segment", profile, &alive, &error) == 0)
		fuzz_use_profile(profile);
	else
		fuzz_require(error.text[0] != 0, "a refusal says why");
	profile_free(profile);
	follow();
	read_instants();
	drain();
	restore();
	if (was_cut) { /* what was behind the cut is gone: begin afresh */
		static char *program[] = {NULL, NULL};
		static char self[PATH_MAX];
		if (!program[0] && readlink("/proc/self/exe", self, sizeof self - 1) > 0)
			program[0] = self;
		char **argv = program;
		int argc = 1;
		close(segment_fd);
		LLVMFuzzerInitialize(&argc, &argv);
	}
	return 0;
}
