#include "news.h"

#include "marks.h"
#include "stacks.h"

void news_thread(const struct thread_state *self, enum mtrace_ring_kind kind)
{
	struct mtrace_thread *t = self->record;
	struct ring_record news = {.kind = kind, .thread = self->id, .value[0] = plat_tid()};
	if (kind == MTRACE_RING_thread_start) {
		news.subject = atomic_load_explicit(&t->row, memory_order_relaxed);
		news.value[1] = atomic_load_explicit(&t->stack_bytes, memory_order_relaxed);
	}
	news.value[2] = atomic_load_explicit(&t->name[0], memory_order_relaxed);
	news.value[3] = atomic_load_explicit(&t->name[1], memory_order_relaxed);
	ring_put(&news);
}

void news_make_mark(const char *name, uint32_t flags)
{
	struct ring_record news = {.kind = MTRACE_RING_mark, .thread = thread_self.id};
	uint32_t id = marks_add(name, flags);
	if (id == MARKS_BETWEEN)
		return;
	news.value[0] = id;
	news.value[1] = (flags & MTRACE_MARK_SNAPSHOT) != 0;
	ring_text(&news.value[2], name ? name : "");
	ring_put(&news);
}

void news_growth(uint32_t row, uint64_t was, uint64_t now)
{
	if (ring_power_crossed(was, now) && stacks_kind(row) == MTRACE_KIND_MALLOC)
		ring_put_grow(row, was, now);
}

void news_module(uint32_t id, uintptr_t start, uintptr_t end)
{
	ring_put(&(struct ring_record){.kind = MTRACE_RING_module_map, .thread = thread_self.id, .subject = id,
				       .value = {start, end}});
}

void news_mapping(enum mtrace_ring_kind kind, uint32_t row, uintptr_t start, uintptr_t end)
{
	if (end - start >= RING_LARGE_BYTES)
		ring_put(&(struct ring_record){.kind = kind, .thread = thread_self.id, .subject = row, .value = {start, end - start}});
}
