#include "control.h"

#include <string.h>

#include "guard.h"
#include "segment.h"
#include "stream.h"

_Atomic uint32_t control_begun;
static _Atomic uint32_t asleep; /* private, and copied into children, unlike the owner page */

void control_init(void)
{
	atomic_store_explicit(&control_begun, 0, memory_order_relaxed);
}

void control_sleep(void)
{
	atomic_store_explicit(&asleep, 1, memory_order_relaxed);
	if (segment.header->mode == MTRACE_MODE_EXACT)
		atomic_store_explicit(&segment.header->detached_mono_ns, plat_mono_ns(), memory_order_relaxed);
	guard_set_active(GUARD_ASLEEP);
}

void control_wake(void)
{
	atomic_store_explicit(&asleep, 0, memory_order_relaxed);
}

bool control_is_asleep(void)
{
	return atomic_load_explicit(&asleep, memory_order_relaxed);
}

/* 0: it is none, or beyond all bounds. */
static uint64_t number(const char *text)
{
	uint64_t value = 0;
	for (; *text >= '0' && *text <= '9' && value < UINT32_MAX; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return *text ? 0 : value;
}

/* The mark ends the epoch: so every thread looks at the clock at its next event, and is in the stream from there on. */
static void begin_stream(const char *argument, void (*mark)(const char *name, uint32_t flags))
{
	stream_begin(number(argument), atomic_load_explicit(&segment.hot->tick, memory_order_relaxed));
	mark("events", 0);
}

static void carry_out(uint32_t command, const char *argument, void (*mark)(const char *name, uint32_t flags))
{
	if (command == MTRACE_COMMAND_MARK)
		mark(argument, 0);
	else if (command == MTRACE_COMMAND_EVENTS)
		begin_stream(argument, mark);
	else if (command == MTRACE_COMMAND_DETACH)
		control_sleep();
}

struct command {
	uint32_t sequence, command;
	char argument[sizeof(((struct mtrace_control *)0)->argument)];
};

/* acquire pairs with the writer's release of the sequence, which comes last. It does not write again before this one is
   taken, or it gave up waiting; then the sequence differs, and the next look finds the new command whole. */
static bool take(struct command *c)
{
	struct mtrace_control *control = segment.control;
	c->sequence = atomic_load_explicit(&control->sequence, memory_order_acquire);
	uint32_t last = atomic_load_explicit(&control_begun, memory_order_relaxed);
	if (likely(c->sequence == last) ||
	    !atomic_compare_exchange_strong_explicit(&control_begun, &last, c->sequence, memory_order_relaxed, memory_order_relaxed))
		return false;
	c->command = atomic_load_explicit(&control->command, memory_order_relaxed);
	memcpy(c->argument, control->argument, sizeof c->argument);
	c->argument[sizeof c->argument - 1] = '\0';
	atomic_thread_fence(memory_order_acquire); /* the argument before the second look at the sequence */
	return atomic_load_explicit(&control->sequence, memory_order_relaxed) == c->sequence;
}

void control_done(uint32_t sequence)
{
	atomic_store_explicit(&segment.hot->command_taken, sequence, memory_order_release); /* pairs: mtrace mark */
}

void control_look(void (*mark)(const char *name, uint32_t flags))
{
	struct command c;
	if (!take(&c))
		return;
	carry_out(c.command, c.argument, mark);
	control_done(c.sequence);
}

bool control_take_wake(uint32_t *sequence)
{
	struct command c;
	if (!take(&c))
		return false;
	*sequence = c.sequence;
	if (c.command == MTRACE_COMMAND_ATTACH)
		return true;
	control_done(c.sequence);
	return false;
}
