/*
 * dwarf: see dwarf.h. Functions, files, lines and inlined functions through libdw; names without debug information
 * through table.c.
 *
 * Called by symbols.c, once per module; asked in ascending order of address. Units are found by the ranges of their
 * own entries (compilers other than gcc write no .debug_aranges), functions by a list made once per unit, since walking a
 * large unit for each address would take milliseconds. Debug information with another build-id is refused, wherever
 * libdwfl found it. Never writes; the network is asked only by libdwfl, only when DEBUGINFOD_URLS is set.
 */
#include "dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "model/profile.h"
#include "read/codec.h"
#include "symbols.h"
#include "table.h"

#define INLINES_MAX 64
#define NESTING_MAX 24 /* of namespaces and classes around a function */

/* Something at [start, end): a unit, or a function of a unit. */
struct range {
	uint64_t start, end;
	uint64_t reach; /* the highest end of this one and of all before it */
	size_t index;
};

struct ranges {
	struct range *at;
	size_t count, capacity;
};

struct unit {
	Dwarf_Die die;   /* has the lines */
	Dwarf_Die split; /* has the functions; the same but with split DWARF */
	struct ranges ranges; /* of functions; index in functions */
	Dwarf_Die *functions;
	size_t function_count, function_capacity;
	int depth; /* 0: not listed yet; 1: functions outside classes are; 2: all are */
};

struct dwarf_file {
	struct files_module module;
	Dwfl *dwfl;
	Dwfl_Module *mod;
	Dwarf *dwarf;
	Dwarf_Addr bias; /* address in the module = address in the debug information + bias */
	struct unit *units;
	size_t unit_count, unit_capacity;
	struct ranges ranges; /* of units */
	struct table table;
	bool table_filled;
	char *link;
};

/* ---- opening ---- */

static int find_debuginfo(Dwfl_Module *mod, void **user, const char *name, Dwarf_Addr base, const char *file,
			  const char *link, GElf_Word crc, char **found)
{
	struct dwarf_file *self = *user;
	char path[4096];
	int fd;

	if (link && !self->link)
		self->link = strdup(link);
	fd = files_open_debug(&self->module, link, crc, path, sizeof(path));
	if (fd >= 0) {
		*found = strdup(path);
		return fd;
	}
	fd = dwfl_standard_find_debuginfo(mod, user, name, base, file, link, crc, found);
	if (fd >= 0 && self->module.build_id_bytes &&
	    !files_matches(fd, self->module.build_id, self->module.build_id_bytes)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = find_debuginfo,
	.section_address = dwfl_offline_section_address,
};

/* Tells libdwfl the build-id and lets it look, in the system's places and at the servers of DEBUGINFOD_URLS. */
static Dwfl_Module *report_unfound(struct dwarf_file *self)
{
	const struct files_module *m = &self->module;
	GElf_Addr bias;
	Dwfl_Module *mod;

	if (!m->build_id_bytes || !getenv("DEBUGINFOD_URLS") || m->end <= m->start || m->start < m->bias)
		return NULL;
	mod = dwfl_report_module(self->dwfl, m->path, m->start - m->bias, m->end - m->bias);
	if (!mod || dwfl_module_report_build_id(mod, m->build_id, m->build_id_bytes, 0) != 0)
		return NULL;
	return dwfl_module_getelf(mod, &bias) ? mod : NULL;
}

static Dwfl_Module *report(struct dwarf_file *self)
{
	int fd = files_open_module(&self->module);
	Dwfl_Module *mod;

	if (fd < 0)
		return report_unfound(self);
	mod = dwfl_report_elf(self->dwfl, self->module.path, self->module.path, fd, 0, true);
	if (!mod)
		close(fd);
	return mod;
}

static void attach(struct dwarf_file *self)
{
	void **user;

	dwfl_module_info(self->mod, &user, NULL, NULL, NULL, NULL, NULL, NULL);
	*user = self;
	self->dwarf = dwfl_module_getdwarf(self->mod, &self->bias);
}

struct dwarf_file *dwarf_open(const struct files_module *m)
{
	struct dwarf_file *self = calloc(1, sizeof(*self));

	if (!self)
		die(EXIT_TROUBLE, "out of memory");
	setenv("DEBUGINFOD_TIMEOUT", "10", 0); /* seconds; its own default of 90 looks like a hang */
	self->module = *m;
	self->dwfl = dwfl_begin(&callbacks);
	if (self->dwfl) {
		self->mod = report(self);
		dwfl_report_end(self->dwfl, NULL, NULL);
	}
	if (!self->mod) {
		dwarf_close(self);
		return NULL;
	}
	attach(self);
	return self;
}

void dwarf_close(struct dwarf_file *self)
{
	for (size_t i = 0; i < self->unit_count; i++) {
		free(self->units[i].ranges.at);
		free(self->units[i].functions);
	}
	free(self->units);
	free(self->ranges.at);
	table_free(&self->table);
	if (self->dwfl)
		dwfl_end(self->dwfl);
	free(self->link);
	free(self);
}

bool dwarf_has_lines(const struct dwarf_file *self)
{
	return self->dwarf != NULL;
}

const char *dwarf_link(const struct dwarf_file *self)
{
	return self->link ? self->link : "";
}

/* ---- ranges ---- */

static void add_ranges(struct ranges *to, Dwarf_Die *die, size_t index)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &start, &end)) > 0) {
		if (start >= end || !start)
			continue; /* code that the linker threw away is left at 0 */
		to->at = codec_grow(to->at, &to->capacity, to->count + 1, sizeof(*to->at));
		to->at[to->count++] = (struct range){start, end, end, index};
	}
}

static int compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->end > b->end ? -1 : a->end < b->end;
}

static void sort_ranges(struct ranges *ranges)
{
	if (ranges->count)
		qsort(ranges->at, ranges->count, sizeof(*ranges->at), compare_ranges);
	for (size_t i = 1; i < ranges->count; i++)
		if (ranges->at[i].reach < ranges->at[i - 1].reach)
			ranges->at[i].reach = ranges->at[i - 1].reach;
}

/* The range around `address` that starts last: the innermost one. */
static const struct range *find_range(const struct ranges *ranges, uint64_t address)
{
	size_t low = 0, high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->at[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	while (low-- > 0 && address < ranges->at[low].reach)
		if (address < ranges->at[low].end)
			return &ranges->at[low];
	return NULL;
}

/* ---- units and their functions ---- */

static void add_unit(struct dwarf_file *self, Dwarf_CU *cu, Dwarf_Die *die)
{
	struct unit *unit;
	Dwarf_Die split;
	uint8_t kind;

	self->units = codec_grow(self->units, &self->unit_capacity, self->unit_count + 1, sizeof(*self->units));
	unit = &self->units[self->unit_count];
	*unit = (struct unit){.die = *die, .split = *die};
	if (dwarf_cu_info(cu, NULL, &kind, NULL, &split, NULL, NULL, NULL) == 0 && kind == DW_UT_skeleton && split.addr)
		unit->split = split;
	add_ranges(&self->ranges, die, self->unit_count++);
}

static void list_units(struct dwarf_file *self)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t kind;

	while (dwarf_get_units(self->dwarf, cu, &cu, NULL, &kind, &die, NULL) == 0)
		if (kind == DW_UT_compile || kind == DW_UT_skeleton)
			add_unit(self, cu, &die);
	sort_ranges(&self->ranges);
}

static struct unit *find_unit(struct dwarf_file *self, uint64_t address)
{
	const struct range *range;

	if (!self->units)
		list_units(self);
	range = find_range(&self->ranges, address);
	return range ? &self->units[range->index] : NULL;
}

/* May functions with code stand inside? Classes are many and seldom hold any, so they come in a second pass. */
static bool may_hold_functions(int tag, int depth)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
		return true;
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_subprogram:
	case DW_TAG_lexical_block:
		return depth > 1;
	default:
		return false;
	}
}

static void add_function(struct unit *unit, Dwarf_Die *die)
{
	size_t before = unit->ranges.count;

	add_ranges(&unit->ranges, die, unit->function_count);
	if (unit->ranges.count == before)
		return;
	unit->functions = codec_grow(unit->functions, &unit->function_capacity, unit->function_count + 1, sizeof(Dwarf_Die));
	unit->functions[unit->function_count++] = *die;
}

static void list_functions(struct unit *unit, Dwarf_Die *parent, int depth)
{
	Dwarf_Die path[NESTING_MAX]; /* where we are at each level below the unit */
	int level = 0;

	if (dwarf_child(parent, &path[0]) != 0)
		return;
	while (level >= 0) {
		int tag = dwarf_tag(&path[level]);

		if (tag == DW_TAG_subprogram)
			add_function(unit, &path[level]);
		if (level + 1 < NESTING_MAX && may_hold_functions(tag, depth) &&
		    dwarf_child(&path[level], &path[level + 1]) == 0) {
			level++;
			continue;
		}
		while (level >= 0 && dwarf_siblingof(&path[level], &path[level]) != 0)
			level--;
	}
}

static void list_unit(struct unit *unit, int depth)
{
	unit->ranges.count = 0;
	unit->function_count = 0;
	unit->depth = depth;
	list_functions(unit, &unit->split, depth);
	sort_ranges(&unit->ranges);
}

static Dwarf_Die *find_function(struct unit *unit, uint64_t address)
{
	const struct range *range = NULL;

	while (!range && unit->depth < 2) {
		if (unit->depth)
			list_unit(unit, 2);
		else
			list_unit(unit, 1);
		range = find_range(&unit->ranges, address);
	}
	if (!range)
		range = find_range(&unit->ranges, address);
	return range ? &unit->functions[range->index] : NULL;
}

/* ---- scopes: the function, then what is inlined around the address ---- */

static bool is_scope(int tag)
{
	return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
	       tag == DW_TAG_catch_block || tag == DW_TAG_with_stmt;
}

/* The child of `parent` that is a scope around the address. */
static bool enter_scope(Dwarf_Die *parent, uint64_t address, Dwarf_Die *scope)
{
	if (dwarf_child(parent, scope) != 0)
		return false;
	do {
		if (is_scope(dwarf_tag(scope)) && dwarf_haspc(scope, address) == 1)
			return true;
	} while (dwarf_siblingof(scope, scope) == 0);
	return false;
}

/* Fills `scopes` from the function inwards; at most INLINES_MAX + 1. */
static uint32_t list_scopes(Dwarf_Die *function, uint64_t address, Dwarf_Die scopes[INLINES_MAX + 1])
{
	uint32_t count = 1;
	Dwarf_Die at = *function;

	scopes[0] = *function;
	for (unsigned depth = 0; depth < 8 * INLINES_MAX && count <= INLINES_MAX; depth++) {
		Dwarf_Die inner;

		if (!enter_scope(&at, address, &inner))
			break;
		at = inner;
		if (dwarf_tag(&at) == DW_TAG_inlined_subroutine)
			scopes[count++] = at;
	}
	return count;
}

/* ---- names ---- */

static const char *keep_demangled(struct profile *owner, const char *name)
{
	char *demangled = symbols_demangle(name);
	const char *kept = profile_string(owner, demangled ? demangled : name);

	free(demangled);
	return kept;
}

static const char *linkage_name(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
		return dwarf_formstring(&attribute);
	return NULL;
}

static const char *function_name(Dwarf_Die *die, struct profile *owner)
{
	const char *name = linkage_name(die);

	if (!name)
		name = dwarf_diename(die);
	return name ? keep_demangled(owner, name) : NULL;
}

static const char *find_symbol(struct dwarf_file *self, uint64_t address)
{
	if (!self->table_filled) {
		table_fill(&self->table, self->mod);
		self->table_filled = true;
	}
	return table_find(&self->table, address);
}

static const char *symbol_name(struct dwarf_file *self, uint64_t address, struct profile *owner)
{
	const char *name = find_symbol(self, address), *kept;
	char *shown;

	if (!name)
		return NULL;
	shown = table_shown(name);
	kept = profile_string(owner, shown);
	free(shown);
	return kept;
}

/* A function without a linkage name has only its bare one, "operator()" for a lambda; its symbol says which. */
static const char *outermost_name(struct dwarf_file *self, Dwarf_Die *function, uint64_t address, struct profile *owner)
{
	const char *symbol = linkage_name(function) ? NULL : find_symbol(self, address + self->bias);

	if (symbol && (strncmp(symbol, "_Z", 2) == 0 || strncmp(symbol, "_R", 2) == 0))
		return symbol_name(self, address + self->bias, owner);
	return function_name(function, owner);
}

/* Paths in a line table may be relative to where the compiler ran. */
static const char *keep_path(struct unit *unit, const char *file, struct profile *owner)
{
	Dwarf_Attribute attribute;
	const char *directory = dwarf_formstring(dwarf_attr(&unit->die, DW_AT_comp_dir, &attribute));
	char path[PATH_MAX];

	if (file[0] == '/' || !directory || snprintf(path, sizeof(path), "%s/%s", directory, file) >= PATH_MAX)
		return profile_string(owner, file);
	return profile_string(owner, path);
}

static void fill_line(struct unit *unit, uint64_t address, struct profile *owner, struct profile_name *name)
{
	Dwarf_Line *line = dwarf_getsrc_die(&unit->die, address);
	const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
	int number = 0;

	if (!file || dwarf_lineno(line, &number) != 0 || number <= 0)
		return;
	name->file = keep_path(unit, file, owner);
	name->line = (uint32_t)number;
}

static Dwarf_Word constant(Dwarf_Die *die, unsigned attribute)
{
	Dwarf_Attribute value;
	Dwarf_Word number = 0;

	if (!dwarf_attr(die, attribute, &value) || dwarf_formudata(&value, &number) != 0)
		return 0;
	return number;
}

/* Where the inlined function was called: the line of the function around it. */
static void fill_call(struct unit *unit, Dwarf_Die *inlined, struct profile *owner, struct profile_name *name)
{
	Dwarf_Word line = constant(inlined, DW_AT_call_line), index = constant(inlined, DW_AT_call_file);
	Dwarf_Files *files;
	size_t count;
	const char *file = NULL;

	if (dwarf_getsrcfiles(&unit->split, &files, &count) == 0 && index < count)
		file = dwarf_filesrc(files, index, NULL, NULL);
	if (!file || !line || line > UINT32_MAX)
		return;
	name->file = keep_path(unit, file, owner);
	name->line = (uint32_t)line;
}

/* names[0] is the innermost scope; each other one's line is where the one before it was inlined. */
static uint32_t name_scopes(struct dwarf_file *self, struct unit *unit, Dwarf_Die *function, uint64_t address,
			    struct profile *owner, struct profile_name *names)
{
	Dwarf_Die scopes[INLINES_MAX + 1];
	uint32_t count = list_scopes(function, address, scopes);

	fill_line(unit, address, owner, &names[0]);
	for (uint32_t i = 0; i < count; i++) {
		Dwarf_Die *scope = &scopes[count - 1 - i];

		names[i].inlined = i + 1 < count;
		names[i].function = names[i].inlined ? function_name(scope, owner)
						     : outermost_name(self, scope, address, owner);
		if (names[i].inlined)
			fill_call(unit, scope, owner, &names[i + 1]);
	}
	return count;
}

static uint32_t name_by_dwarf(struct dwarf_file *self, uint64_t address, struct profile *owner, struct profile_name *names)
{
	struct unit *unit;
	Dwarf_Die *function;

	if (!self->dwarf)
		return 0;
	address -= self->bias;
	unit = find_unit(self, address);
	if (!unit)
		return 0;
	function = find_function(unit, address);
	if (function)
		return name_scopes(self, unit, function, address, owner, names);
	fill_line(unit, address, owner, &names[0]);
	return names[0].line ? 1 : 0;
}

uint32_t dwarf_names(struct dwarf_file *self, uint64_t address, struct profile *owner, const struct profile_name **out)
{
	struct profile_name names[INLINES_MAX + 1] = {{0}}, *kept;
	uint32_t count = name_by_dwarf(self, address, owner, names);

	*out = NULL;
	if (!count || !names[count - 1].function) { /* assembler, or nothing known of it */
		names[count ? count - 1 : 0].function = symbol_name(self, address, owner);
		if (!count && !names[0].function)
			return 0;
		count = count ? count : 1;
	}
	kept = profile_alloc(owner, count, sizeof(*kept));
	memcpy(kept, names, count * sizeof(*kept));
	*out = kept;
	return count;
}
