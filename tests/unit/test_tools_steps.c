/*
 * test_tools_steps: a process that could be killed at any instruction of ours: victim_step under the shim, stepped through
 * malloc, free, realloc, mmap, munmap and marks, in a known stack and in new ones, with tables that grow. After every
 * instruction that changed the segment it is read as if its process were dead: nothing is damaged, every figure lies
 * between what it was before the call and what it will be after it, stacks are whole and add up, the ring is in order, and
 * what was counted at the marks before stays what it was.
 */
#include <check.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../programs/victims/victim_step.h"
#include "model/history.h"
#include "model/profile.h"
#include "read/read.h"
#include "run.h"

#ifdef __SANITIZE_ADDRESS__
enum { EVERY = 16 }; /* for what sanitizers find in the reader; all of them are the other build's */
#else
enum { EVERY = 1 };
#endif

enum { PAGE = 4096, MARKS_MOST = 64, GROWTHS = 3 };

/* ---- the victim ---- */

static struct {
	char dir[64];
	pid_t pid;
	struct step_scene *scene;
	const char *segment; /* its file, mapped */
	char *copy;          /* a file of the same size, mapped: what it was after the last instruction */
	size_t bytes;
	int copy_fd;
} v;

static void begin_victim(void)
{
	const char *build = getenv("BUILD");
	char path[128], program[256], preload[256], options[128];
	build = build ? build : "build";
	strcpy(v.dir, "/dev/shm/mtrace-steps.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(v.dir));
	snprintf(path, sizeof path, "%s/scene", v.dir);
	snprintf(program, sizeof program, "%s/tests/victims/victim_step", build);
	snprintf(preload, sizeof preload, "LD_PRELOAD=%s/libmtrace.so", build);
	snprintf(options, sizeof options, "MTRACE_OPTIONS=dir=%s:memory=64m", v.dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, PAGE), 0);
	v.scene = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(v.scene, MAP_FAILED);
	close(fd);
	v.pid = fork();
	if (v.pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execle(program, program, path, NULL, (char *[]){preload, options, NULL});
		_exit(127);
	}
}

/* Until the next scene; false: it has ended. */
static bool run_on(void)
{
	int status, signal = 0;
	do {
		ck_assert_int_eq(ptrace(PTRACE_CONT, v.pid, NULL, signal), 0);
		ck_assert_int_eq(waitpid(v.pid, &status, 0), v.pid);
		signal = WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
	} while (WIFSTOPPED(status) && signal != SIGSTOP);
	return WIFSTOPPED(status);
}

/* One instruction; true: it has come to the next scene. */
static bool step_on(void)
{
	int status;
	ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, v.pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(v.pid, &status, 0), v.pid);
	ck_assert(WIFSTOPPED(status));
	return WSTOPSIG(status) == SIGSTOP;
}

static void find_segment(void)
{
	struct stat st;
	glob_t found;
	char pattern[128];
	snprintf(pattern, sizeof pattern, "%s/mtrace.%d.*", v.dir, v.pid);
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	int fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fstat(fd, &st), 0);
	globfree(&found);
	v.bytes = (size_t)st.st_size;
	v.segment = mmap(NULL, v.bytes, PROT_READ, MAP_SHARED, fd, 0);
	v.copy_fd = memfd_create("steps", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(v.copy_fd, (off_t)v.bytes), 0);
	v.copy = mmap(NULL, v.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v.copy_fd, 0);
	ck_assert(v.segment != MAP_FAILED && v.copy != MAP_FAILED);
	close(fd);
	snprintf(pattern, sizeof pattern, "rm -r %s", v.dir); /* nothing is left behind, whatever happens */
	ck_assert_int_eq(system(pattern), 0);
}

static void end_victim(void)
{
	kill(v.pid, SIGKILL);
	waitpid(v.pid, NULL, 0);
	munmap((void *)(uintptr_t)v.segment, v.bytes);
	munmap(v.copy, v.bytes);
	munmap(v.scene, PAGE);
	close(v.copy_fd);
}

/* ---- the segment as it is ---- */

static const struct mtrace_header *header(void)
{
	return (const struct mtrace_header *)(const void *)v.segment;
}

/* true: these pages are not what they were. */
static bool copy_changed(uint64_t offset, uint64_t bytes)
{
	bool changed = false;
	for (uint64_t at = offset; at < offset + bytes && at < v.bytes; at += PAGE) {
		if (memcmp(v.copy + at, v.segment + at, PAGE) == 0)
			continue;
		memcpy(v.copy + at, v.segment + at, PAGE);
		changed = true;
	}
	return changed;
}

static bool copy_segment(void)
{
	bool changed = copy_changed(0, MTRACE_REGIONS_OFFSET);
	for (int id = 0; id < MTRACE_REGION_COUNT; id++)
		changed |= copy_changed(header()->regions[id].offset, header()->regions[id].committed_bytes);
	return changed;
}

/* A table that one more stack may not fit into. */
static bool is_about_to_grow(void)
{
	enum { STACK = 16 };
	for (int id = 0; id < MTRACE_REGION_COUNT; id++) {
		const struct mtrace_region *r = &header()->regions[id];
		if ((id == MTRACE_REGION_NODES || id == MTRACE_REGION_FRAMES || id == MTRACE_REGION_ROWS) &&
		    (r->used + STACK) * r->element_bytes > r->committed_bytes)
			return true;
	}
	return false;
}

static struct profile *read_copy(void)
{
	struct read_error error = {""};
	struct profile *p = profile_new();
	bool alive;
	ck_assert_msg(read_segment_fd(v.copy_fd, "copy", p, &alive, &error) == 0, "%s: %s", v.scene->name, error.text);
	return p;
}

/* ---- what it must say ---- */

struct figures {
	int64_t alloc_blocks, alloc_bytes, live_blocks, live_bytes, mapped_bytes, live_mapped_bytes, marks;
};

static struct figures before;
static struct { /* malloc and mmap together, at each mark */
	int64_t alloc_blocks, alloc_bytes, live_bytes, live_mapped_bytes;
} at_mark[MARKS_MOST];

static struct figures figures_of(const struct profile_process *process)
{
	const struct profile_counts *heap = &process->totals, *maps = &process->by_kind[MTRACE_KIND_MMAP];
	return (struct figures){(int64_t)heap->alloc_blocks, (int64_t)heap->alloc_bytes, (int64_t)heap->live_blocks,
	                        (int64_t)heap->live_bytes, (int64_t)maps->alloc_bytes, (int64_t)maps->live_bytes,
	                        process->mark_count};
}

static void expect_within(const char *what, int64_t now, int64_t was, int64_t change, int64_t more)
{
	int64_t least = change < 0 ? was + change : was, most = (change > 0 ? was + change : was) + more;
	ck_assert_msg(now >= least && now <= most, "%s: %s: %lld of %lld to %lld", v.scene->name, what, (long long)now,
	              (long long)least, (long long)most);
}

static void expect_figures(const struct profile_process *process, const struct step_scene *s)
{
	struct figures now = figures_of(process);
	expect_within("blocks allocated", now.alloc_blocks, before.alloc_blocks, s->alloc_blocks, 0);
	expect_within("bytes allocated", now.alloc_bytes, before.alloc_bytes, s->alloc_bytes, 0);
	expect_within("blocks live", now.live_blocks, before.live_blocks, s->live_blocks, s->moving_bytes != 0);
	expect_within("bytes live", now.live_bytes, before.live_bytes, s->live_bytes, s->moving_bytes);
	expect_within("bytes mapped", now.mapped_bytes, before.mapped_bytes, s->mapped_bytes, 0);
	expect_within("mapped bytes live", now.live_mapped_bytes, before.live_mapped_bytes, s->live_mapped_bytes, 0);
	expect_within("marks", now.marks, before.marks, s->marks, 0);
}

/* Half a stack is not there, and neither is one that is nobody's. */
static void expect_stacks(const struct profile_process *process)
{
	uint64_t blocks = 0, bytes = 0;
	for (uint32_t i = 0; i < process->stack_count; i++) {
		const struct profile_stack *s = &process->stacks[i];
		ck_assert_uint_gt(s->frame_count, 0);
		ck_assert_uint_eq(s->marker, 0);
		blocks += s->kind == MTRACE_KIND_MALLOC ? s->counts.alloc_blocks : 0;
		bytes += s->kind == MTRACE_KIND_MALLOC ? s->counts.live_bytes : 0;
	}
	ck_assert_uint_eq(blocks, process->totals.alloc_blocks);
	ck_assert_uint_eq(bytes, process->totals.live_bytes);
}

static void expect_ring(const struct profile_process *process)
{
	for (uint32_t i = 1; i < process->event_count; i++)
		ck_assert_uint_gt(process->events[i].sequence, process->events[i - 1].sequence);
	ck_assert_uint_ge(process->events_written, process->event_count);
}

static void expect_marks(const struct profile_process *process)
{
	for (uint32_t i = 0; i < process->mark_count; i++)
		ck_assert_str_eq(process->marks[i].name, "step");
	for (uint32_t b = 0; b < process->boundary_count; b++) {
		uint32_t mark = process->boundaries[b].mark;
		int64_t blocks = 0, bytes = 0, live = 0, mapped = 0;
		if (mark >= (uint32_t)before.marks || mark >= MARKS_MOST)
			continue;
		for (uint32_t i = 0; i < process->stack_count; i++) {
			struct profile_counts c;
			enum mtrace_kind kind = process->stacks[i].kind;
			if (kind != MTRACE_KIND_MALLOC && kind != MTRACE_KIND_MMAP)
				continue;
			ck_assert_msg(history_at(process, i, b, &c), "%s: stack %u at mark %u is not known", v.scene->name, i, mark);
			blocks += kind == MTRACE_KIND_MALLOC ? (int64_t)c.alloc_blocks : 0;
			bytes += kind == MTRACE_KIND_MALLOC ? (int64_t)c.alloc_bytes : 0;
			live += kind == MTRACE_KIND_MALLOC ? (int64_t)c.live_bytes : 0;
			mapped += kind == MTRACE_KIND_MMAP ? (int64_t)c.live_bytes : 0;
		}
		ck_assert_msg(blocks == at_mark[mark].alloc_blocks && bytes == at_mark[mark].alloc_bytes &&
		              live == at_mark[mark].live_bytes && mapped == at_mark[mark].live_mapped_bytes,
		              "%s: at mark %u %lld blocks allocated, %lld bytes live, %lld mapped, not %lld, %lld, %lld", v.scene->name,
		              mark, (long long)blocks, (long long)live, (long long)mapped, (long long)at_mark[mark].alloc_blocks,
		              (long long)at_mark[mark].live_bytes, (long long)at_mark[mark].live_mapped_bytes);
	}
}

static void expect_whole(const struct step_scene *s)
{
	struct profile *p = read_copy();
	const struct profile_process *process = &p->processes[0];
	ck_assert_msg(process->skipped == 0 && !process->note, "%s: %llu damaged, %s", s->name, (unsigned long long)process->skipped,
	              process->note ? process->note : "no note");
	expect_figures(process, s);
	expect_stacks(process);
	expect_ring(process);
	expect_marks(process);
	profile_free(p);
}

/* What the scene before has brought is there to the byte. */
static void begin_scene(const struct step_scene *last)
{
	copy_segment();
	struct profile *p = read_copy();
	struct figures now = figures_of(&p->processes[0]);
	ck_assert_msg(p->processes[0].skipped == 0, "before %s: %llu damaged", v.scene->name,
	              (unsigned long long)p->processes[0].skipped);
	if (last) {
		ck_assert_int_eq(now.alloc_blocks, before.alloc_blocks + last->alloc_blocks);
		ck_assert_int_eq(now.alloc_bytes, before.alloc_bytes + last->alloc_bytes);
		ck_assert_int_eq(now.live_blocks, before.live_blocks + last->live_blocks);
		ck_assert_int_eq(now.live_bytes, before.live_bytes + last->live_bytes);
		ck_assert_int_eq(now.live_mapped_bytes, before.live_mapped_bytes + last->live_mapped_bytes);
		ck_assert_int_eq(now.marks, before.marks + last->marks);
	}
	if (now.marks > before.marks && now.marks <= MARKS_MOST) {
		at_mark[before.marks].alloc_blocks = now.alloc_blocks;
		at_mark[before.marks].alloc_bytes = now.alloc_bytes;
		at_mark[before.marks].live_bytes = now.live_bytes;
		at_mark[before.marks].live_mapped_bytes = now.live_mapped_bytes;
	}
	before = now;
	profile_free(p);
}

/* ---- the test ---- */

struct tally {
	uint64_t scenes, instructions, changes, growths;
};

static void step_through(const struct step_scene *s, struct tally *t)
{
	uint64_t committed = header()->committed_bytes;
	t->scenes++;
	while (!step_on()) {
		t->instructions++;
		if (copy_segment() && ++t->changes % EVERY == 0)
			expect_whole(s);
	}
	t->growths += header()->committed_bytes != committed;
}

START_TEST(killed_at_any_instruction)
{
	struct tally t = {0};
	struct step_scene s;
	begin_victim();
	waitpid(v.pid, NULL, 0); /* at its exec */
	ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, v.pid, NULL, PTRACE_O_EXITKILL), 0);
	ck_assert(run_on());
	find_segment();
	for (bool any = false; v.scene->name[0]; any = true) {
		begin_scene(any ? &s : NULL);
		s = *v.scene;
		if (!s.is_bulk || (t.growths < GROWTHS && is_about_to_grow()))
			step_through(&s, &t);
		else
			ck_assert(run_on());
	}
	begin_scene(&s);
	end_victim();
	printf("%llu scenes, %llu instructions, %llu changes of the segment, %llu scenes with growth\n", (unsigned long long)t.scenes,
	       (unsigned long long)t.instructions, (unsigned long long)t.changes, (unsigned long long)t.growths);
	ck_assert_uint_ge(t.scenes, 25);
	ck_assert_uint_ge(t.changes, 1000);
	ck_assert_uint_ge(t.growths, GROWTHS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tools: steps");
	TCase *steps = tcase_create("steps");
	tcase_set_timeout(steps, 600);
	tcase_add_test(steps, killed_at_any_instruction);
	suite_add_tcase(suite, steps);
	return run_suite(suite);
}
