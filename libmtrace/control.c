#include "control.h"

#include <string.h>

#include "segment.h"
#include "stream.h"

/* The last sequence that somebody began to carry out. */
static _Atomic uint32_t begun;

void control_init(void)
{
	atomic_store_explicit(&begun, 0, memory_order_relaxed);
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
	if (command == MTRACE_COMMAND_EVENTS)
		begin_stream(argument, mark);
}

/* acquire pairs with the writer's release of the sequence, which comes last. It does not write again before this one is
   taken, or it gave up waiting; then the sequence differs, and the next look finds the new command whole. */
void control_look(void (*mark)(const char *name, uint32_t flags))
{
	struct mtrace_control *control = segment.control;
	uint32_t sequence = atomic_load_explicit(&control->sequence, memory_order_acquire);
	uint32_t last = atomic_load_explicit(&begun, memory_order_relaxed);
	if (likely(sequence == last) || !atomic_compare_exchange_strong_explicit(&begun, &last, sequence, memory_order_relaxed,
										  memory_order_relaxed))
		return;
	char argument[sizeof control->argument];
	uint32_t command = atomic_load_explicit(&control->command, memory_order_relaxed);
	memcpy(argument, control->argument, sizeof argument);
	argument[sizeof argument - 1] = '\0';
	atomic_thread_fence(memory_order_acquire); /* the argument before the second look at the sequence */
	if (atomic_load_explicit(&control->sequence, memory_order_relaxed) != sequence)
		return;
	carry_out(command, argument, mark);
	atomic_store_explicit(&segment.hot->command_taken, sequence, memory_order_release); /* pairs: mtrace mark */
}
