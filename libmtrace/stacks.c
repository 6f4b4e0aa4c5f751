#include "stacks.h"

#include "splitlist.h"

/* Live entries keep a row in 26 bits. */
#define ROW_MOST ((1u << MTRACE_SLOT_ROW_BITS) - 1)
#define FALLBACK_KINDS (MTRACE_KIND_ATTACHED_THREAD + 1)

static uint32_t marker_frames[MTRACE_MARKER_COUNT];
static uint32_t fallback_rows[FALLBACK_KINDS][2]; /* TABLE_FULL, NO_STACK */

static struct mtrace_frame *frame_at(uint32_t id)
{
	return (struct mtrace_frame *)(void *)segment.base[MTRACE_REGION_FRAMES] + id;
}

static struct mtrace_node *node_at(uint32_t id)
{
	return (struct mtrace_node *)(void *)segment.base[MTRACE_REGION_NODES] + id;
}

static struct mtrace_row *row_at(uint32_t id)
{
	return (struct mtrace_row *)(void *)segment.base[MTRACE_REGION_ROWS] + id;
}

/* ---- frames: a sentinel has kind NONE and its bucket as value ------------------------------------------ */

static uint32_t frame_hash(uint32_t kind, uint32_t module, uint64_t value, uint32_t flags)
{
	return (uint32_t)hash_mix(value ^ (uint64_t)module << 40 ^ (uint64_t)kind << 60 ^ (uint64_t)flags << 56);
}

static _Atomic uint32_t *frame_link(uint32_t id)
{
	return &frame_at(id)->next;
}

static uint32_t frame_order(uint32_t id)
{
	const struct mtrace_frame *f = frame_at(id);
	if (f->kind == MTRACE_FRAME_NONE)
		return splitlist_sentinel_order((uint32_t)f->value);
	return splitlist_order(frame_hash(f->kind, f->module, f->value, f->flags));
}

static void frame_make_sentinel(uint32_t id, uint32_t bucket)
{
	frame_at(id)->value = bucket;
}

static struct splitlist frames = {
	.elements = MTRACE_REGION_FRAMES,
	.buckets = MTRACE_REGION_FRAME_BUCKETS,
	.element_bytes = sizeof(struct mtrace_frame),
	.link = frame_link,
	.order = frame_order,
	.make_sentinel = frame_make_sentinel,
};

static bool frame_equals(const struct mtrace_frame *a, const struct mtrace_frame *b)
{
	return a->value == b->value && a->module == b->module && a->kind == b->kind && a->flags == b->flags;
}

static uint32_t new_frame(const struct mtrace_frame *want)
{
	uint64_t id = segment_reserve(MTRACE_REGION_FRAMES, 1);
	if (id > UINT32_MAX)
		return 0;
	struct mtrace_frame *f = frame_at((uint32_t)id);
	f->value = want->value;
	f->module = want->module;
	f->kind = want->kind;
	f->flags = want->flags;
	return (uint32_t)id;
}

uint32_t stacks_frame(enum mtrace_frame_kind kind, uint32_t module, uint64_t value, uint32_t flags)
{
	struct mtrace_frame want = {.value = value, .module = module, .kind = (uint16_t)kind, .flags = (uint16_t)flags};
	uint32_t hash = frame_hash(kind, module, value, flags), order = splitlist_order(hash);
	uint32_t from = splitlist_start(&frames, hash), made = 0;
	for (uint32_t steps = 0;; steps++) {
		_Atomic uint32_t *link = frame_link(from);
		uint32_t next = atomic_load_explicit(link, memory_order_acquire); /* pairs: S2 */
		if (next && !segment_id_ok(MTRACE_REGION_FRAMES, next, sizeof(struct mtrace_frame)))
			return 0;
		if (unlikely(steps == SPLITLIST_STEPS))
			return segment_damaged();
		if (next && frame_equals(frame_at(next), &want))
			return next;
		if (next && frame_order(next) <= order) {
			from = next;
			continue;
		}
		if (!made && !(made = new_frame(&want)))
			return 0;
		atomic_store_explicit(frame_link(made), next, memory_order_relaxed);
		if (atomic_compare_exchange_strong_explicit(link, &next, made, memory_order_release, memory_order_relaxed))
			break;
	}
	splitlist_grow(&frames);
	return made;
}

/* ---- nodes: a sentinel has frame 0 and its bucket in the parent's place ---------------------------------- */

static uint32_t node_hash(uint64_t key)
{
	return (uint32_t)hash_mix(key);
}

static _Atomic uint32_t *node_link(uint32_t id)
{
	return &node_at(id)->next;
}

static uint32_t node_order(uint32_t id)
{
	uint64_t key = node_at(id)->key;
	return (uint32_t)key ? splitlist_order(node_hash(key)) : splitlist_sentinel_order((uint32_t)(key >> 32));
}

/* Others may look at it before it is linked (is_next_node): relaxed, it is one word and orders nothing. */
static void fill_node(uint32_t id, uint64_t key)
{
	__atomic_store_n(&node_at(id)->key, key, __ATOMIC_RELAXED);
}

static void node_make_sentinel(uint32_t id, uint32_t bucket)
{
	fill_node(id, (uint64_t)bucket << 32);
}

static struct splitlist nodes = {
	.elements = MTRACE_REGION_NODES,
	.buckets = MTRACE_REGION_NODE_BUCKETS,
	.element_bytes = sizeof(struct mtrace_node),
	.link = node_link,
	.order = node_order,
	.make_sentinel = node_make_sentinel,
};

/* `spare`: reserved for it, 0 none. */
static uint32_t new_node(uint64_t key, uint32_t spare)
{
	uint64_t id = spare ? spare : segment_reserve(MTRACE_REGION_NODES, 1);
	if (id > UINT32_MAX)
		return 0;
	fill_node((uint32_t)id, key);
	return (uint32_t)id;
}

/* Where nodes were found last, by their hash, and by that of their whole path: one line to look at and the node's own instead
   of a bucket's, its sentinel's and those of the list. Private to the process, shared by its threads, and only believed when
   the node itself agrees; mapped when there are more nodes than a processor's caches keep anyway. */
enum { HINTS_BITS = 18, HINTS_BYTES = sizeof(uint32_t) << HINTS_BITS, HINTS_FROM = 32768 };
static _Atomic uint32_t *_Atomic hints;

static __attribute__((cold, noinline)) void map_hints(void)
{
	static _Atomic uint32_t tried;
	if (atomic_exchange_explicit(&tried, 1, memory_order_relaxed))
		return;
	void *map = plat_map_private(HINTS_BYTES);
	if (!map)
		return;
	if (plat_wipe_on_fork(map, HINTS_BYTES) < 0) {
		plat_unmap(map, HINTS_BYTES);
		return;
	}
	segment_add_private(HINTS_BYTES);
	atomic_store_explicit(&hints, map, memory_order_release); /* pairs: hinted, note_hint */
}

/* The node of this key, 0: not known here. */
static inline uint32_t hinted(uint64_t key, uint32_t hash)
{
	_Atomic uint32_t *map = atomic_load_explicit(&hints, memory_order_acquire);
	uint32_t id = map ? atomic_load_explicit(&map[hash >> (32 - HINTS_BITS)], memory_order_acquire) : 0; /* pairs: note_hint */
	return id && segment_has(MTRACE_REGION_NODES, (id + 1ull) * sizeof(struct mtrace_node)) && node_at(id)->key == key ? id : 0;
}

static inline uint32_t note_hint(uint32_t hash, uint32_t id)
{
	_Atomic uint32_t *map = atomic_load_explicit(&hints, memory_order_acquire);
	if (map)
		atomic_store_explicit(&map[hash >> (32 - HINTS_BITS)], id, memory_order_release);
	return id;
}

/* A stack that is new adds its nodes one after the other, so what is found below one again is most often the next: it lies
   beside its parent, which was read just now. That it bears the key does not make it the node: it may be filled and not yet
   linked, or have been left so by the loser of a race (splitlist.h), and then another is, or will be, the path's.
   relaxed: each word says what it says without another. */
static inline bool is_next_node(uint32_t id, uint64_t key)
{
	return segment_has(MTRACE_REGION_NODES, (id + 1ull) * sizeof(struct mtrace_node)) &&
	       __atomic_load_n(&node_at(id)->key, __ATOMIC_RELAXED) == key &&
	       atomic_load_explicit(&node_at(id)->row, memory_order_relaxed) != 0;
}

/* By who linked it. Somebody may have found it and given it a row before. */
static inline void note_linked(uint32_t id)
{
	uint32_t none = 0;
	atomic_compare_exchange_strong_explicit(&node_at(id)->row, &none, MTRACE_NODE_LINKED, memory_order_relaxed,
	                                        memory_order_relaxed);
}

/* The node of this key in the list; linked now if there was none, which *made then says. 0: the table is full. */
static uint32_t find_or_link(uint64_t key, uint32_t hash, uint32_t spare, bool *made)
{
	uint32_t order = splitlist_order(hash), from = splitlist_start(&nodes, hash), id = 0;
	for (uint32_t steps = 0;; steps++) {
		_Atomic uint32_t *link = node_link(from);
		uint32_t next = atomic_load_explicit(link, memory_order_acquire); /* pairs: S2 */
		if (next && !segment_id_ok(MTRACE_REGION_NODES, next, sizeof(struct mtrace_node)))
			return 0;
		if (unlikely(steps == SPLITLIST_STEPS))
			return segment_damaged();
		if (next && node_at(next)->key == key)
			return note_hint(hash, next);
		if (next && node_order(next) <= order) {
			from = next;
			continue;
		}
		if (!id && !(id = new_node(key, spare)))
			return 0;
		atomic_store_explicit(node_link(id), next, memory_order_relaxed);
		if (atomic_compare_exchange_strong_explicit(link, &next, id, memory_order_release, memory_order_relaxed))
			break;
	}
	note_linked(id);
	if (unlikely(splitlist_grow(&nodes) == HINTS_FROM))
		map_hints();
	*made = true;
	return note_hint(hash, id);
}

static uint32_t find_or_make(uint64_t key, bool *made)
{
	uint32_t next = (uint32_t)(key >> 32) + 1, hash, known;
	if (is_next_node(next, key))
		return next;
	hash = node_hash(key);
	known = hinted(key, hash);
	return known ? known : find_or_link(key, hash, 0, made);
}

static inline uint64_t node_key(uint32_t parent, uint32_t frame)
{
	return (uint64_t)parent << 32 | frame;
}

uint32_t stacks_node(uint32_t parent, uint32_t frame)
{
	bool made = false;
	return find_or_make(node_key(parent, frame), &made);
}

/* A thread that is cancelled half way leaves an entry without a key. */
static inline uint32_t remember_child(struct stacks_children *children, uint64_t key, uint32_t node)
{
	uint32_t place = stacks_child_place(key);
	children->entry[place].key = 0;
	atomic_signal_fence(memory_order_seq_cst);
	children->entry[place].node = node;
	atomic_signal_fence(memory_order_seq_cst);
	children->entry[place].key = node ? key : 0;
	return node;
}

__attribute__((noinline)) uint32_t stacks_find_child(struct stacks_children *children, uint32_t parent, uint32_t frame)
{
	bool made = false;
	uint64_t key = node_key(parent, frame);
	uint32_t node = find_or_make(key, &made);
	children->made = made ? node : children->made;
	return remember_child(children, key, node);
}

/* ---- whole paths ---- */

uint32_t stacks_known_path(uint64_t path)
{
	_Atomic uint32_t *map = atomic_load_explicit(&hints, memory_order_acquire);
	return map ? atomic_load_explicit(&map[path >> (64 - HINTS_BITS)], memory_order_acquire) : 0; /* pairs: note_hint */
}

void stacks_note_path(uint64_t path, uint32_t node)
{
	(void)note_hint((uint32_t)(path >> 32), node);
}

/* Linked nodes have linked parents; one that is not is no path's, and no hint names it. */
uint32_t stacks_parent(uint32_t node, uint32_t frame)
{
	if (node < MTRACE_FIRST_NODE || !segment_has(MTRACE_REGION_NODES, (node + 1ull) * sizeof(struct mtrace_node)))
		return 0;
	uint64_t key = __atomic_load_n(&node_at(node)->key, __ATOMIC_RELAXED);
	return (uint32_t)key == frame ? (uint32_t)(key >> 32) : 0;
}

/* ---- new ones in a row ---- */

struct ahead {
	uint64_t key;
	uint32_t hash, near; /* an element of the list that is before it; 0: not known */
};

/* Only asks for lines: whatever is read is read again. */
static inline void look_ahead_to_bucket(const struct ahead *a)
{
	uint32_t buckets = atomic_load_explicit(&nodes.bucket_count, memory_order_relaxed);
	__builtin_prefetch(splitlist_bucket(&nodes, a->hash & (buckets - 1)));
}

static inline uint32_t look_ahead_to_node(uint32_t id)
{
	if (!id || !segment_has(MTRACE_REGION_NODES, (id + 1ull) * sizeof(struct mtrace_node)))
		return 0;
	__builtin_prefetch(node_at(id), 1);
	return id;
}

/* A bucket that is not open yet will be by way of the one that it was part of (splitlist_open_bucket). */
static inline void look_ahead_to_start(struct ahead *a)
{
	uint32_t buckets = atomic_load_explicit(&nodes.bucket_count, memory_order_acquire); /* pairs: splitlist_grow */
	uint32_t id = atomic_load_explicit(splitlist_bucket(&nodes, a->hash & (buckets - 1)), memory_order_relaxed);
	if (!id)
		id = atomic_load_explicit(splitlist_bucket(&nodes, a->hash & (buckets / 2 - 1)), memory_order_relaxed);
	a->near = look_ahead_to_node(id);
}

static inline void look_ahead_to_next(const struct ahead *a)
{
	if (a->near)
		(void)look_ahead_to_node(atomic_load_explicit(node_link(a->near), memory_order_relaxed));
}

uint32_t stacks_chain(struct stacks_children *children, uint32_t parent, const uint32_t *frames_of, uint32_t count,
                      uint32_t *into)
{
	struct ahead ahead[STACKS_CHAIN];
	uint64_t first = segment_reserve(MTRACE_REGION_NODES, count);
	if (first > UINT32_MAX - STACKS_CHAIN)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		ahead[i].key = node_key(i ? (uint32_t)first + i - 1 : parent, frames_of[i]);
		ahead[i].hash = node_hash(ahead[i].key);
		look_ahead_to_bucket(&ahead[i]);
	}
	for (uint32_t i = 0; i < count; i++)
		look_ahead_to_start(&ahead[i]);
	for (uint32_t i = 0; i < count; i++)
		look_ahead_to_next(&ahead[i]);
	for (uint32_t i = 0; i < count; i++) {
		bool made = false;
		into[i] = remember_child(children, ahead[i].key,
		                         find_or_link(ahead[i].key, ahead[i].hash, (uint32_t)first + i, &made));
		if (unlikely(!made)) /* another thread's: what is below it has other keys */
			return i + (into[i] != 0);
		children->made = into[i];
	}
	return count;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

static inline bool is_row(uint32_t row)
{
	return (row & ~MTRACE_NODE_LINKED) != 0;
}

static inline uint32_t known_row(uint32_t row)
{
	return segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row)) ? row : 0;
}

uint32_t stacks_row(uint32_t node, bool *made)
{
	enum { CHANGES = 2 }; /* 0, MTRACE_NODE_LINKED, a row: no more */
	struct mtrace_node *n = node_at(node);
	uint32_t row = atomic_load_explicit(&n->row, memory_order_acquire);
	if (likely(is_row(row)))
		return known_row(row);
	uint64_t id = segment_reserve(MTRACE_REGION_ROWS, 1);
	if (id > ROW_MOST)
		return 0;
	row_at((uint32_t)id)->node = node;
	/* release: the row knows its node before anybody finds it (pairs: the load above, and readers') */
	for (int i = 0; i < CHANGES && !is_row(row); i++)
		if (atomic_compare_exchange_strong_explicit(&n->row, &row, (uint32_t)id, memory_order_release,
		                                            memory_order_acquire)) {
			*made = true;
			return (uint32_t)id;
		}
	return is_row(row) ? known_row(row) : 0;
}

/* From the row's node to its root: at most a whole stack and its marker. */
enum mtrace_kind stacks_kind(uint32_t row)
{
	uint32_t node = segment_id_ok(MTRACE_REGION_ROWS, row, sizeof(struct mtrace_row))
				? __atomic_load_n(&row_at(row)->node, __ATOMIC_RELAXED) : 0;
	for (uint32_t steps = 0; node >= MTRACE_FIRST_NODE && steps < MTRACE_MAX_DEPTH + 2; steps++) {
		if (!segment_id_ok(MTRACE_REGION_NODES, node, sizeof(struct mtrace_node)))
			return MTRACE_KIND_NONE;
		node = (uint32_t)(__atomic_load_n(&node_at(node)->key, __ATOMIC_RELAXED) >> 32);
	}
	return node < MTRACE_KIND_COUNT ? (enum mtrace_kind)node : MTRACE_KIND_NONE;
}

static uint32_t make_fallback(uint32_t kind, enum mtrace_marker marker)
{
	bool made;
	uint32_t node = stacks_node(kind, marker_frames[marker]);
	return node ? stacks_row(node, &made) : 0;
}

bool stacks_init(void)
{
	if (!splitlist_init(&frames) || !splitlist_init(&nodes))
		return false;
	if (atomic_load_explicit(&hints, memory_order_relaxed)) /* a forked child's, of its parent */
		segment_add_private(HINTS_BYTES);
	for (uint32_t m = 1; m < MTRACE_MARKER_COUNT; m++)
		if (!(marker_frames[m] = stacks_frame(MTRACE_FRAME_MARKER, 0, m, 0)))
			return false;
	for (uint32_t kind = 1; kind < FALLBACK_KINDS; kind++) {
		fallback_rows[kind][0] = make_fallback(kind, MTRACE_MARKER_TABLE_FULL);
		fallback_rows[kind][1] = make_fallback(kind, MTRACE_MARKER_NO_STACK);
		if (!fallback_rows[kind][0] || !fallback_rows[kind][1])
			return false;
	}
	return true;
}

uint32_t stacks_fallback_row(enum mtrace_kind kind, enum mtrace_marker marker)
{
	return fallback_rows[kind][marker == MTRACE_MARKER_NO_STACK];
}

uint32_t stacks_marker_frame(enum mtrace_marker marker)
{
	return marker_frames[marker];
}
