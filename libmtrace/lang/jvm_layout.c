/* jvm_layout: see jvm_layout.h. */
#include "lang/jvm_layout.h"

#include <string.h>

#include "plat.h"

#define MISSING INT32_MIN

enum shape { EVERY, OLD, NEW, SEVENTEEN, LATER };
enum table { VALUE_ROW, OFFSET_ROW, SIZE_ROW, NUMBER_ROW };

static const struct row {
	enum table table;
	enum shape shape;
	uint32_t at; /* in struct jvm_layout */
	const char *type, *field;
} rows[] = {
#define VALUE(name, type, field, shape) {VALUE_ROW, shape, offsetof(struct jvm_layout, name), type, field},
#define OFFSET(name, type, field, shape) {OFFSET_ROW, shape, offsetof(struct jvm_layout, name), type, field},
#define SIZE(name, type, shape) {SIZE_ROW, shape, offsetof(struct jvm_layout, name), type, NULL},
#define NUMBER(name, constant, shape) {NUMBER_ROW, shape, offsetof(struct jvm_layout, name), constant, NULL},
#include "lang/jvm_layout.def"
#undef VALUE
#undef OFFSET
#undef SIZE
#undef NUMBER
};
enum { ROWS = sizeof rows / sizeof rows[0], ENTRIES_MOST = 16384 };

/* ---- one of the exported arrays -------------------------------------------------------------------------- */

/* An array of entries that ends with one whose name is NULL. Strides and offsets are variables of libjvm, set by its
   own constructors: 0 before. */
struct array {
	uintptr_t at;
	uint64_t stride, name, field, value, is_static, address;
};

static bool load_variable(const char *name, uintptr_t code, uint64_t *value)
{
	const uint64_t *variable = plat_variable_of(name, code);
	if (variable)
		*value = *variable;
	return variable != NULL;
}

static bool open_structs(uintptr_t code, struct array *a)
{
	return load_variable("gHotSpotVMStructs", code, &a->at) &&
	       load_variable("gHotSpotVMStructEntryArrayStride", code, &a->stride) &&
	       load_variable("gHotSpotVMStructEntryTypeNameOffset", code, &a->name) &&
	       load_variable("gHotSpotVMStructEntryFieldNameOffset", code, &a->field) &&
	       load_variable("gHotSpotVMStructEntryOffsetOffset", code, &a->value) &&
	       load_variable("gHotSpotVMStructEntryIsStaticOffset", code, &a->is_static) &&
	       load_variable("gHotSpotVMStructEntryAddressOffset", code, &a->address) && a->stride;
}

static bool open_types(uintptr_t code, struct array *a)
{
	return load_variable("gHotSpotVMTypes", code, &a->at) &&
	       load_variable("gHotSpotVMTypeEntryArrayStride", code, &a->stride) &&
	       load_variable("gHotSpotVMTypeEntryTypeNameOffset", code, &a->name) &&
	       load_variable("gHotSpotVMTypeEntrySizeOffset", code, &a->value) && a->stride;
}

static bool open_numbers(uintptr_t code, struct array *a)
{
	return load_variable("gHotSpotVMIntConstants", code, &a->at) &&
	       load_variable("gHotSpotVMIntConstantEntryArrayStride", code, &a->stride) &&
	       load_variable("gHotSpotVMIntConstantEntryNameOffset", code, &a->name) &&
	       load_variable("gHotSpotVMIntConstantEntryValueOffset", code, &a->value) && a->stride;
}

static uint64_t word_of(uintptr_t entry, uint64_t offset)
{
	return *(const uint64_t *)(entry + offset);
}

static int32_t int_of(uintptr_t entry, uint64_t offset)
{
	return *(const int32_t *)(entry + offset);
}

/* ---- rows ------------------------------------------------------------------------------------------------ */

static void *place_of(struct jvm_layout *layout, const struct row *row)
{
	return (char *)layout + row->at;
}

static bool is_missing(const struct jvm_layout *layout, const struct row *row)
{
	const void *place = (const char *)layout + row->at;
	return row->table == VALUE_ROW ? *(const uintptr_t *)place == 0 : *(const int32_t *)place == MISSING;
}

static void take_struct(struct jvm_layout *layout, const struct array *a, uintptr_t entry)
{
	const char *type = (const char *)word_of(entry, a->name), *field = (const char *)word_of(entry, a->field);
	bool is_static = int_of(entry, a->is_static) != 0;
	for (const struct row *row = rows; row != rows + ROWS && field; row++) {
		if (row->table != (is_static ? VALUE_ROW : OFFSET_ROW) || strcmp(row->type, type) || strcmp(row->field, field))
			continue;
		if (is_static)
			*(uintptr_t *)place_of(layout, row) = word_of(entry, a->address);
		else
			*(int32_t *)place_of(layout, row) = (int32_t)word_of(entry, a->value);
	}
}

static void take_number(struct jvm_layout *layout, enum table table, const char *name, int32_t value)
{
	for (const struct row *row = rows; row != rows + ROWS; row++)
		if (row->table == table && !strcmp(row->type, name))
			*(int32_t *)place_of(layout, row) = value;
}

static void take_all(struct jvm_layout *layout, const struct array *a, enum table table)
{
	for (uint32_t i = 0; i < ENTRIES_MOST; i++) {
		uintptr_t entry = a->at + i * a->stride;
		const char *name = (const char *)word_of(entry, a->name);
		if (!name)
			return;
		if (table == OFFSET_ROW)
			take_struct(layout, a, entry);
		else
			take_number(layout, table, name, table == SIZE_ROW ? (int32_t)word_of(entry, a->value)
									 : int_of(entry, a->value));
	}
}

/* The first row of `shape` that is missing, NULL none. */
static const char *first_missing(const struct jvm_layout *layout, enum shape shape)
{
	for (const struct row *row = rows; row != rows + ROWS; row++)
		if (row->shape == shape && is_missing(layout, row))
			return row->field ? row->field : row->type;
	return NULL;
}

static void begin(struct jvm_layout *layout)
{
	memset(layout, 0, sizeof *layout);
	for (const struct row *row = rows; row != rows + ROWS; row++)
		if (row->table != VALUE_ROW)
			*(int32_t *)place_of(layout, row) = MISSING;
}

/* Where an interpreted frame keeps its words is not exported but for these two, which the others follow. */
static const char *judge(struct jvm_layout *layout)
{
	const char *missing = first_missing(layout, EVERY);
	layout->is_new = first_missing(layout, NEW) == NULL;
	if (!missing && !layout->is_new)
		missing = first_missing(layout, OLD);
	if (!missing && first_missing(layout, SEVENTEEN))
		missing = first_missing(layout, LATER);
	if (!missing && (layout->sender_sp_slot != -1 || layout->last_sp_slot != -2))
		missing = "the shape of interpreted frames";
	return missing;
}

const char *jvm_layout_read(uintptr_t code, struct jvm_layout *layout)
{
	struct array structs = {0}, types = {0}, numbers = {0};
	if (!open_structs(code, &structs) || !open_types(code, &types) || !open_numbers(code, &numbers))
		return "gHotSpotVMStructs";
	begin(layout);
	take_all(layout, &structs, OFFSET_ROW);
	take_all(layout, &types, SIZE_ROW);
	take_all(layout, &numbers, NUMBER_ROW);
	return judge(layout);
}
