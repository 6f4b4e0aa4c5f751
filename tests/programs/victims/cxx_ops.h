/*
 * cxx_ops: the innermost functions that only C++ has. Included by victim_truth.c when built as C++.
 *
 * What new made goes back by delete, never to realloc; the upper half of truth_block.owner says which.
 */
#include <new>

struct alignas(256) truth_wide {
	char room[256];
};

enum { FROM_MALLOC = 0, FROM_NEW = 1, FROM_NEW_ALIGNED = 2 };

static void mark_origin(struct truth_block *b, uint32_t origin)
{
	b->owner |= origin << 16;
}

extern "C" {

TRUTH_FUNCTION void truth_op_new(struct step *s)
{
	uint64_t n = some_bytes(s->random);
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, ::operator new(n), n);
	mark_origin(&s->kept, FROM_NEW);
}

TRUTH_FUNCTION void truth_op_new_array(struct step *s)
{
	uint64_t n = some_bytes(s->random);
	truth_begin(s->path, n);
	s->kept = truth_got(s->path, ::operator new[](n, std::nothrow), n);
	mark_origin(&s->kept, FROM_NEW);
}

TRUTH_FUNCTION void truth_op_new_aligned(struct step *s)
{
	truth_begin(s->path, sizeof(truth_wide));
	s->kept = truth_got(s->path, new truth_wide, sizeof(truth_wide));
	mark_origin(&s->kept, FROM_NEW_ALIGNED);
}
}

static void release_aligned(void *p)
{
	::operator delete(p, std::align_val_t(alignof(truth_wide)));
}

static void release_new(void *p)
{
	::operator delete(p);
}

static void free_block(struct truth_block b)
{
	uint32_t origin = b.owner >> 16;
	b.owner &= 0xffff;
	if (origin == FROM_NEW)
		truth_free_with(b, release_new);
	else if (origin == FROM_NEW_ALIGNED)
		truth_free_with(b, release_aligned);
	else
		truth_free(b);
}

#define FREE_BLOCK free_block
#define CAN_REALLOC(block) ((block)->owner >> 16 == FROM_MALLOC)
