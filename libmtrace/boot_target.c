/*
 * boot_target: is this process image to be recorded?
 *
 * One that was started by nobody we record is, and what it execs in its place. Children that exec are only by follow=.
 * A recorded process says in the environment that it is the one (pid=, as mtrace run does): that reaches its descendants
 * as LD_PRELOAD does, also those of a daemon whose parents are gone, and those of another user. Where the environment
 * was made anew, with our preload but without that, the ancestors are looked at. What enters a container from outside
 * (docker exec) has neither: it is a start of its own.
 */
#include "boot.h"

#include <string.h>

#include "format.h"
#include "options.h"
#include "segment.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* ---- kin ---- */

enum { ANCESTORS_MOST = 64 };

struct kin {
	uint32_t own;
	uint64_t own_start;
	uint32_t ancestor[ANCESTORS_MOST]; /* the parent first; 0 ends them */
	uint64_t named;                    /* bit i: some segment bears the name of ancestor[i] */
	uint64_t own_images;               /* of this process, recorded before exec: 0 none, 1 the first only, else more */
};

static void find_ancestors(struct kin *k)
{
	uint32_t pid = plat_parent_pid(), i = 0;
	for (; pid && i < ANCESTORS_MOST - 1; i++, pid = plat_parent_of(pid))
		k->ancestor[i] = pid;
	k->ancestor[i] = 0;
}

static uint64_t parse_number(const char **at)
{
	uint64_t value = 0;
	for (; **at >= '0' && **at <= '9'; ++*at)
		value = value * 10 + (uint64_t)(**at - '0');
	*at += **at == '.';
	return value;
}

/* "mtrace.<pid>.<start>.<image>" */
static bool note_segment(const char *name, void *context)
{
	struct kin *k = context;
	const size_t prefix = sizeof MTRACE_SEGMENT_PREFIX - 1;
	if (strncmp(name, MTRACE_SEGMENT_PREFIX, prefix))
		return true;
	const char *at = name + prefix;
	uint64_t pid = parse_number(&at), start = parse_number(&at), images = parse_number(&at) + 1;
	if (pid == k->own && start == k->own_start && images > k->own_images)
		k->own_images = images;
	for (uint32_t i = 0; k->ancestor[i]; i++)
		k->named |= (uint64_t)(k->ancestor[i] == pid) << i;
	return true;
}

/* One look into each directory of segments. */
static void find_kin(struct kin *k)
{
	*k = (struct kin){.own = plat_pid(), .own_start = plat_start_time(plat_pid())};
	if (!options.pid)
		find_ancestors(k);
	plat_list_dir(options.dir[0] ? options.dir : "/dev/shm", note_segment, k);
	if (!options.dir[0])
		plat_list_dir("/tmp", note_segment, k);
}

static bool has_recorded_ancestor(const struct kin *k)
{
	for (uint32_t i = 0; k->ancestor[i]; i++) {
		if (k->named >> i & 1 && segment_is_alive(options.dir, k->ancestor[i]))
			return true;
	}
	return false;
}

/* exec in a recorded process is followed, also in a child that is recorded by follow=; not in one that only forked, whose
   image is its first. */
static bool is_child_image(void)
{
	struct kin kin;
	if (options.pid == plat_pid())
		return false;
	find_kin(&kin);
	if (kin.own_images)
		return kin.own_images == 1 && segment_was_forked(options.dir, kin.own);
	return options.pid || has_recorded_ancestor(&kin);
}

/* ---- the answer ---- */

bool boot_is_target(void)
{
	char exe[512];
	plat_executable(exe, sizeof exe);
	const char *name = base_name(exe);
	if (options.exe[0] && !options_match(options.exe, name))
		return false;
	return !is_child_image() || options_match(options.follow, name);
}

void boot_mark_descendants(void)
{
	char text[32] = "pid=", digits[24];
	strcpy(text + 4, plat_digits(plat_pid(), digits));
	if (!options.pid)
		plat_extend_env("MTRACE_OPTIONS", ":", text);
}
