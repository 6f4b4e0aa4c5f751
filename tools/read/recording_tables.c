/*
 * recording_tables: which field of the profile is which column of a recording. One row is the whole truth about a
 * column: writer and reader both go by it. Append only: an id, once used, keeps its meaning in its table for ever.
 *
 * Called by recording.c and recording_write.c. Lists (arguments, build-ids, names, frames of stacks) are not
 * here: they take a step of their own in the writer and the reader.
 */
#include <string.h>

#include "recording.h"

#define FIELD(column, type, member, form_, encoding_)                                                          \
	{                                                                                                      \
		.id = column, .form = form_, .encoding = encoding_, .width = sizeof(((struct type *)0)->member), \
		.offset = offsetof(struct type, member)                                                        \
	}
#define NUMBER(column, type, member) FIELD(column, type, member, FORM_NUMBER, CODEC_VARINT)
#define DELTA(column, type, member) FIELD(column, type, member, FORM_NUMBER, CODEC_DELTA)
#define FLAG(column, type, member) FIELD(column, type, member, FORM_FLAG, CODEC_BYTES)
#define STRING(column, type, member) FIELD(column, type, member, FORM_STRING, CODEC_DELTA)
#define INDEX(column, type, member) FIELD(column, type, member, FORM_INDEX, CODEC_DELTA)
#define COUNTS(column, type, prefix)                                                                            \
	NUMBER(column, type, prefix alloc_blocks), NUMBER(column + 1, type, prefix alloc_bytes),                \
		NUMBER(column + 2, type, prefix freed_blocks), NUMBER(column + 3, type, prefix freed_bytes),    \
		NUMBER(column + 4, type, prefix live_blocks), NUMBER(column + 5, type, prefix live_bytes)

static const struct recording_field process_fields[] = {
	NUMBER(1, profile_process, pid),
	NUMBER(2, profile_process, image),
	NUMBER(3, profile_process, parent_pid),
	NUMBER(4, profile_process, start_time),
	FLAG(5, profile_process, forked),
	STRING(6, profile_process, exe),
	STRING(7, profile_process, cwd),
	STRING(8, profile_process, run_id),
	STRING(9, profile_process, shim_version),
	NUMBER(10, profile_process, mode),
	NUMBER(11, profile_process, sample_bytes),
	NUMBER(12, profile_process, wall_start_ns),
	NUMBER(13, profile_process, lived_ns),
	NUMBER(14, profile_process, end),
	FIELD(15, profile_process, end_status, FORM_SIGNED, CODEC_VARINT),
	FLAG(16, profile_process, in_tracker),
	FLAG(17, profile_process, poisoned),
	COUNTS(18, profile_process, totals.),
	NUMBER(24, profile_process, peak_live_bytes),
	NUMBER(25, profile_process, tracker_bytes),
	NUMBER(26, profile_process, rss_bytes),
	NUMBER(27, profile_process, skipped),
	STRING(28, profile_process, note),
	NUMBER(29, profile_process, counter_count), /* the lengths of the tables: what a damaged file has lost */
	NUMBER(30, profile_process, module_count),
	NUMBER(31, profile_process, frame_count),
	NUMBER(32, profile_process, stack_count),
	NUMBER(33, profile_process, live_count),
	NUMBER(34, profile_process, thread_count),
	NUMBER(35, profile_process, mark_count),
	NUMBER(36, profile_process, ledger_count),
	NUMBER(37, profile_process, unsettled_stacks),
	NUMBER(38, profile_process, tracker_private_bytes),
	NUMBER(39, profile_process, window_ns),
	NUMBER(40, profile_process, boundary_count),
	NUMBER(41, profile_process, change_count),
	NUMBER(42, profile_process, active_ns),
	NUMBER(43, profile_process, event_count),
	NUMBER(44, profile_process, events_written),
	NUMBER(45, profile_process, events_overwritten),
	NUMBER(46, profile_process, stream.asked_ms),
	NUMBER(47, profile_process, stream.begin_ns),
	NUMBER(48, profile_process, stream.end_ns),
	NUMBER(49, profile_process, stream.events),
	NUMBER(50, profile_process, stream.dropped),
	NUMBER(51, profile_process, stream.most_bytes),
	NUMBER(52, profile_process, stream.part_count),
	FLAG(53, profile_process, jni),
	NUMBER(54, profile_process, exhaustion_count),
	NUMBER(55, profile_process, class_count),
	FLAG(56, profile_process, attached),
	NUMBER(57, profile_process, attached_ns),
	FLAG(58, profile_process, detached),
	NUMBER(59, profile_process, detached_ns),
	FLAG(60, profile_process, has_aged),
};

static const struct recording_field kind_fields[] = {COUNTS(1, profile_counts, )};

static const struct recording_field counter_fields[] = {
	STRING(1, profile_counter, name),
	NUMBER(2, profile_counter, value),
};

static const struct recording_field ledger_fields[] = {
	STRING(1, profile_ledger_row, owner),
	STRING(2, profile_ledger_row, label),
	STRING(3, profile_ledger_row, measured_by),
	NUMBER(4, profile_ledger_row, bytes),
};

static const struct recording_field mark_fields[] = {
	STRING(1, profile_mark, name),
	DELTA(2, profile_mark, time_ns),
	NUMBER(3, profile_mark, flags),
};

static const struct recording_field module_fields[] = {
	STRING(1, profile_module, path),
	NUMBER(2, profile_module, build_id_bytes),
	NUMBER(3, profile_module, start),
	NUMBER(4, profile_module, end),
	NUMBER(5, profile_module, bias),
};

static const struct recording_field frame_fields[] = {
	DELTA(1, profile_frame, value),
	INDEX(2, profile_frame, module),
	NUMBER(3, profile_frame, kind),
	NUMBER(4, profile_frame, flags),
};

static const struct recording_field stack_fields[] = {
	NUMBER(1, profile_stack, id),
	NUMBER(2, profile_stack, kind),
	NUMBER(3, profile_stack, marker),
	COUNTS(4, profile_stack, counts.),
	INDEX(10, profile_stack, history_from),
	NUMBER(11, profile_stack, aged_blocks),
};

static const struct recording_field thread_fields[] = {
	DELTA(1, profile_thread, tid),
	STRING(2, profile_thread, name),
	FLAG(3, profile_thread, ended),
	FLAG(4, profile_thread, inside),
	DELTA(5, profile_thread, start_tick),
	DELTA(6, profile_thread, end_tick),
	NUMBER(7, profile_thread, stack_bytes),
	INDEX(8, profile_thread, stack),
	DELTA(9, profile_thread, id),
};

static const struct recording_field live_fields[] = {
	DELTA(1, profile_live, stack),
	INDEX(2, profile_live, thread),
	DELTA(3, profile_live, birth_tick),
	NUMBER(4, profile_live, blocks),
	NUMBER(5, profile_live, bytes),
};

static const struct recording_field boundary_fields[] = {
	DELTA(1, profile_boundary, time_ns),
	DELTA(2, profile_boundary, active_ns),
	DELTA(3, profile_boundary, live_bytes),
	DELTA(4, profile_boundary, peak_live_bytes),
	DELTA(5, profile_boundary, unit),
	INDEX(6, profile_boundary, mark),
	DELTA(7, profile_boundary, rss_bytes),
	DELTA(8, profile_boundary, tracker_bytes),
};

static const struct recording_field change_fields[] = {
	DELTA(1, profile_change, stack),
	DELTA(2, profile_change, boundary),
	NUMBER(3, profile_change, alloc_blocks),
	NUMBER(4, profile_change, alloc_bytes),
	NUMBER(5, profile_change, freed_blocks),
	NUMBER(6, profile_change, freed_bytes),
};

static const struct recording_field event_fields[] = {
	DELTA(1, profile_event, sequence),
	DELTA(2, profile_event, time_ns),
	NUMBER(3, profile_event, kind),
	INDEX(4, profile_event, thread),
	INDEX(5, profile_event, stack),
	INDEX(6, profile_event, module),
	NUMBER(7, profile_event, value[0]),
	NUMBER(8, profile_event, value[1]),
	NUMBER(9, profile_event, value[2]),
	NUMBER(10, profile_event, value[3]),
	STRING(11, profile_event, text),
};

static const struct recording_field row_fields[] = {
	{.id = 1, .form = FORM_INDEX, .encoding = CODEC_DELTA, .width = sizeof(uint32_t), .offset = 0},
};

static const struct recording_field exhaustion_fields[] = {
	DELTA(1, profile_exhaustion, time_ns),
	NUMBER(2, profile_exhaustion, what),
	INDEX(3, profile_exhaustion, thread),
	STRING(4, profile_exhaustion, text),
	NUMBER(5, profile_exhaustion, histogram),
	NUMBER(6, profile_exhaustion, objects),
	NUMBER(7, profile_exhaustion, bytes),
	NUMBER(8, profile_exhaustion, pause_ns),
};

static const struct recording_field class_fields[] = {
	DELTA(1, profile_class, exhaustion),
	STRING(2, profile_class, name),
	NUMBER(3, profile_class, objects),
	NUMBER(4, profile_class, bytes),
};

#define COUNT(fields) (uint16_t)(sizeof(fields) / sizeof((fields)[0]))
#define TABLE(fields_, type, positional_)                                                                    \
	.fields = fields_, .field_count = COUNT(fields_), .row_bytes = sizeof(struct type), .positional = positional_
#define ARRAY(member, length)                                                                                \
	.array = offsetof(struct profile_process, member), .count = offsetof(struct profile_process, length)

const struct recording_table recording_tables[RECORDING_TYPES] = {
	[RECORDING_PROCESS] = {"process", TABLE(process_fields, profile_process, false)},
	[RECORDING_KINDS] = {"kinds", TABLE(kind_fields, profile_counts, true)},
	[RECORDING_COUNTERS] = {"counters", TABLE(counter_fields, profile_counter, false), ARRAY(counters, counter_count)},
	[RECORDING_LEDGER] = {"ledger", TABLE(ledger_fields, profile_ledger_row, false), ARRAY(ledger, ledger_count)},
	[RECORDING_MARKS] = {"marks", TABLE(mark_fields, profile_mark, false), ARRAY(marks, mark_count)},
	[RECORDING_MODULES] = {"modules", TABLE(module_fields, profile_module, true), ARRAY(modules, module_count)},
	[RECORDING_FRAMES] = {"frames", TABLE(frame_fields, profile_frame, true), ARRAY(frames, frame_count)},
	[RECORDING_NAMES] = {.name = "names"},
	[RECORDING_STACKS] = {"stacks", TABLE(stack_fields, profile_stack, false), ARRAY(stacks, stack_count)},
	[RECORDING_THREADS] = {"threads", TABLE(thread_fields, profile_thread, true), ARRAY(threads, thread_count)},
	[RECORDING_LIVE] = {"live", TABLE(live_fields, profile_live, false), ARRAY(live, live_count)},
	[RECORDING_BOUNDARIES] = {"boundaries", TABLE(boundary_fields, profile_boundary, true),
				  ARRAY(boundaries, boundary_count)},
	[RECORDING_CHANGES] = {"changes", TABLE(change_fields, profile_change, false), ARRAY(changes, change_count)},
	[RECORDING_EVENTS] = {"events", TABLE(event_fields, profile_event, false), ARRAY(events, event_count)},
	[RECORDING_ROWS] = {.name = "rows", .fields = row_fields, .field_count = COUNT(row_fields),
			    .row_bytes = sizeof(uint32_t), .positional = true, ARRAY(stack_of_row, row_count)},
	[RECORDING_STREAM] = {.name = "stream"},
	[RECORDING_EXHAUSTIONS] = {"exhaustions", TABLE(exhaustion_fields, profile_exhaustion, true),
				   ARRAY(exhaustions, exhaustion_count)},
	[RECORDING_CLASSES] = {"classes", TABLE(class_fields, profile_class, false), ARRAY(classes, class_count)},
};

/* ---- fields of a row in memory ---- */

static uint64_t load_number(const void *at, uint8_t width)
{
	uint64_t value = 0;

	memcpy(&value, at, width); /* little-endian hosts; x86-64 and arm64 are */
	return value;
}

uint64_t recording_load(const struct recording_field *f, const void *row)
{
	uint64_t value = load_number((const char *)row + f->offset, f->width);

	if (f->form == FORM_SIGNED)
		return codec_zigzag((int32_t)value);
	return f->form == FORM_INDEX ? (uint32_t)(value + 1) : value;
}

bool recording_store(const struct recording_field *f, void *row, uint64_t value)
{
	if (f->form == FORM_SIGNED) {
		int64_t number = codec_unzigzag(value);

		if (number != (int32_t)number)
			return false;
		value = (uint32_t)number;
	}
	if (f->form == FORM_INDEX)
		value = (uint32_t)value == value ? (uint32_t)(value - 1) : UINT64_MAX;
	if (f->form == FORM_FLAG && value > 1)
		return false;
	if (f->width < 8 && value >> (8 * f->width))
		return false;
	memcpy((char *)row + f->offset, &value, f->width);
	return true;
}

void *recording_array(const struct recording_table *t, const struct profile_process *process, uint32_t *count)
{
	void *rows;

	memcpy(&rows, (const char *)process + t->array, sizeof(rows));
	memcpy(count, (const char *)process + t->count, sizeof(*count));
	return rows;
}

void recording_set_array(const struct recording_table *t, struct profile_process *process, void *rows, uint32_t count)
{
	memcpy((char *)process + t->array, &rows, sizeof(rows));
	memcpy((char *)process + t->count, &count, sizeof(count));
}
