/*
 * segment_frames: only the frames and modules of a segment, for symbolising beside a running program. Costs what the
 * new frames cost, however many blocks are live: the tables of blocks and stacks are not touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "read/read.h"
#include "read/segment.h"

bool segment_is_readable(const struct segment *s)
{
	const struct mtrace_header *h = segment_header(s);
	return memcmp(h->magic, MTRACE_SEGMENT_MAGIC, sizeof h->magic) == 0 && h->little_endian == 1 &&
	       h->word_bits == 64 && h->min_version <= MTRACE_SEGMENT_VERSION && h->features_required == 0 &&
	       h->state != MTRACE_STATE_CREATING;
}

static void keep_frame(struct segment *s, const struct mtrace_frame *f)
{
	struct profile_process *process = s->process;
	if (f->kind != MTRACE_FRAME_NATIVE || f->module == 0 || f->module > process->module_count)
		return;
	process->frames[process->frame_count++] =
		(struct profile_frame){.value = f->value, .module = f->module - 1, .kind = f->kind, .flags = f->flags};
}

static uint64_t read_new_frames(struct segment *s, uint64_t first)
{
	segment_copy_region(s, MTRACE_REGION_FRAMES);
	segment_copy_region(s, MTRACE_REGION_MODULES);
	segment_copy_region(s, MTRACE_REGION_STRINGS);
	uint64_t count = s->regions[MTRACE_REGION_FRAMES].count;
	if (count <= first)
		return count;
	s->process = profile_add_process(s->profile);
	segment_read_modules(s);
	s->process->frames = profile_alloc(s->profile, count - first, sizeof *s->process->frames);
	for (uint64_t id = first; id < count; id++)
		keep_frame(s, segment_element(s, MTRACE_REGION_FRAMES, id));
	return count;
}

int segment_open_part(struct segment *s)
{
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* what is held is a link of /proc */
	if (s->fd < 0)
		return -errno;
	int code = segment_copy_head(s);
	if (code == 0 && !segment_is_readable(s))
		code = -EINVAL;
	if (code != 0)
		close(s->fd);
	return code;
}

int read_segment_frames(const char *path, uint64_t first, struct profile *profile, uint64_t *next)
{
	struct segment s = {.path = path, .profile = profile};
	int code = segment_open_part(&s);
	if (code != 0)
		return code;
	*next = read_new_frames(&s, first ? first : 1);
	segment_copy_free(&s);
	close(s.fd);
	return 0;
}
