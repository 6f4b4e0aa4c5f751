/*
 * async_malloc: an allocator that signal handlers may call: no locks, no state of a thread. Preloaded behind
 * libmtrace.so by the storm of signals, so that a handler may interrupt our hooks at any instruction and allocate there,
 * which over glibc's malloc would be the host's own deadlock.
 *
 * Blocks of 256 bytes come from a lock-free list and go back to it at once (addresses are used again, as fast as can
 * be); larger ones come from the end of the reserve and never go back. Bound: RESERVE_BYTES of address space, then NULL.
 */
#include <errno.h>
#include <stddef.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *malloc(size_t);

#define RESERVE_BYTES (64ull << 30)
enum { SMALL = 256, HEAD = 16 };

static _Atomic(char *) reserve;
static _Atomic uint64_t used;
static _Atomic uint64_t freed; /* tag << 32 | place of the first free small block in units of SMALL, 0 none */

static char *base(void)
{
	char *p = reserve, *none = NULL;
	if (p)
		return p;
	p = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (!__atomic_compare_exchange_n(&reserve, &none, p, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		munmap(p, RESERVE_BYTES);
		return none;
	}
	return p;
}

static uint64_t take_small(void)
{
	uint64_t head = __atomic_load_n(&freed, __ATOMIC_ACQUIRE), next;
	do {
		if (!(uint32_t)head)
			return __atomic_fetch_add(&used, 1, __ATOMIC_RELAXED) + 1;
		next = *(volatile uint32_t *)(base() + (uint32_t)head * (uint64_t)SMALL);
	} while (!__atomic_compare_exchange_n(&freed, &head, (head & ~0xffffffffull) + (1ull << 32) + (uint32_t)next, 0,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	return (uint32_t)head;
}

static void give_small(uint32_t place)
{
	uint64_t head = __atomic_load_n(&freed, __ATOMIC_ACQUIRE);
	do {
		*(volatile uint32_t *)(base() + place * (uint64_t)SMALL) = (uint32_t)head;
	} while (!__atomic_compare_exchange_n(&freed, &head, (head & ~0xffffffffull) + (1ull << 32) + place, 0,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
}

/* A block begins with its usable size; the first word of a free one is the next. */
static void *block_at(uint64_t place, uint64_t offset, size_t usable)
{
	if ((place + 1) * SMALL + usable > RESERVE_BYTES)
		return NULL;
	char *block = base() + place * SMALL + offset;
	memcpy(block - 8, &usable, 8);
	return block;
}

static size_t usable_of(const void *p)
{
	size_t usable;
	memcpy(&usable, (const char *)p - 8, 8);
	return usable;
}

/* The entry points call these and never each other: a call by a public name would go to whoever is in front. */
static void *take(size_t size)
{
	int saved = errno;
	void *p = NULL;
	if (base() && size <= SMALL - HEAD)
		p = block_at(take_small(), HEAD, SMALL - HEAD);
	else if (reserve && size < RESERVE_BYTES / 2)
		p = block_at(__atomic_fetch_add(&used, (size + HEAD) / SMALL + 1, __ATOMIC_RELAXED) + 1, HEAD, size);
	errno = p ? saved : ENOMEM;
	return p;
}

static void give(void *p)
{
	if (p && usable_of(p) == SMALL - HEAD && ((uintptr_t)p & (SMALL - 1)) == HEAD)
		give_small((uint32_t)(((char *)p - reserve) / SMALL));
}

void *malloc(size_t size)
{
	return take(size);
}

void free(void *p)
{
	give(p);
}

void *calloc(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		return errno = ENOMEM, NULL;
	void *p = take(bytes);
	return p ? memset(p, 0, bytes) : NULL;
}

static void *resize(void *old, size_t size)
{
	if (!old)
		return take(size);
	if (size <= usable_of(old))
		return old;
	void *p = take(size);
	if (p)
		memcpy(p, old, usable_of(old)), give(old);
	return p;
}

void *realloc(void *old, size_t size)
{
	return resize(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		return errno = ENOMEM, NULL;
	return resize(old, bytes);
}

static void *take_aligned(size_t alignment, size_t size)
{
	if (!base() || size > RESERVE_BYTES / 2)
		return errno = ENOMEM, NULL;
	uint64_t place = __atomic_fetch_add(&used, (size + alignment + HEAD) / SMALL + 2, __ATOMIC_RELAXED) + 1;
	uintptr_t at = (uintptr_t)reserve + place * SMALL + HEAD;
	return block_at(place, ((at + alignment - 1) & ~(alignment - 1)) - (at - HEAD), size);
}

void *memalign(size_t alignment, size_t size)
{
	return take_aligned(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return take_aligned(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
	if (alignment < sizeof(void *) || alignment & (alignment - 1))
		return EINVAL;
	int saved = errno;
	void *p = take_aligned(alignment, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

void *valloc(size_t size)
{
	return take_aligned(4096, size);
}

void *pvalloc(size_t size)
{
	return take_aligned(4096, (size + 4095) & ~(size_t)4095);
}

size_t malloc_usable_size(void *p)
{
	return p ? usable_of(p) : 0;
}
