/*
 * table: see table.h. What names a frame when there is no debug information (and beside assembler code when there is).
 *
 * Called by symbols/dwarf.c. Filled once a file, from .symtab, .dynsym and .gnu_debugdata, whichever libdwfl has; each
 * lookup is a binary search. A wrong name is worse than none: a symbol without a size is used only within its
 * section, up to the next symbol, and not beyond LABEL_REACH.
 */
#include "table.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "symbols.h"

#define LABEL_REACH 4096u
#define NESTING_MAX 64 /* symbols that begin between a function's start and an address in it */

/* ---- filling ---- */

static bool is_code(const GElf_Sym *symbol, const char *name)
{
	unsigned type = GELF_ST_TYPE(symbol->st_info);

	if (!name || !*name || *name == '$' || strncmp(name, ".L", 2) == 0 || symbol->st_shndx == SHN_UNDEF)
		return false;
	return type == STT_FUNC || type == STT_GNU_IFUNC || (type == STT_NOTYPE && symbol->st_shndx < SHN_LORESERVE);
}

/* A global function without underscores is what people know; a local label is what they do not. */
static uint8_t rank_of(const GElf_Sym *symbol, const char *name)
{
	unsigned type = GELF_ST_TYPE(symbol->st_info), binding = GELF_ST_BIND(symbol->st_info);
	unsigned rank = type == STT_NOTYPE ? 0 : 64;

	rank += binding == STB_GLOBAL ? 32 : binding == STB_WEAK ? 16 : 0;
	return (uint8_t)(rank + (name[0] != '_' ? 8 : name[1] != '_' ? 4 : name[1] == 'Z' ? 8 : 0));
}

static uint64_t section_end(Elf *elf, GElf_Word index, uint64_t bias, bool *executable)
{
	Elf_Scn *section = elf && index < SHN_LORESERVE ? elf_getscn(elf, index) : NULL;
	GElf_Shdr header;

	*executable = true;
	if (!section || !gelf_getshdr(section, &header))
		return 0;
	*executable = header.sh_flags & SHF_EXECINSTR;
	return header.sh_addr + header.sh_size + bias;
}

static int compare_symbols(const void *left, const void *right)
{
	const struct table_symbol *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return -strcmp(a->name, b->name);
}

static void add(struct table *t, Dwfl_Module *module, int index)
{
	GElf_Sym symbol;
	GElf_Addr address;
	GElf_Word section;
	Elf *elf;
	Dwarf_Addr bias;
	bool executable;
	const char *name = dwfl_module_getsym_info(module, index, &symbol, &address, &section, &elf, &bias);

	if (!is_code(&symbol, name))
		return;
	t->symbols[t->count] = (struct table_symbol){.start = address, .size = symbol.st_size, .name = name,
						     .section_end = section_end(elf, section, bias, &executable),
						     .rank = rank_of(&symbol, name)};
	t->count += executable;
}

void table_fill(struct table *t, Dwfl_Module *module)
{
	int count = dwfl_module_getsymtab(module);

	*t = (struct table){0};
	if (count <= 0)
		return;
	t->symbols = calloc((size_t)count, sizeof(*t->symbols));
	if (!t->symbols)
		die(EXIT_TROUBLE, "out of memory");
	for (int i = 1; i < count; i++)
		add(t, module, i);
	qsort(t->symbols, t->count, sizeof(*t->symbols), compare_symbols);
}

void table_free(struct table *t)
{
	free(t->symbols);
	*t = (struct table){0};
}

/* ---- looking up ---- */

/* How many symbols start at or before `address`. */
static size_t count_before(const struct table *t, uint64_t address)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->symbols[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool label_reaches(const struct table_symbol *s, uint64_t address)
{
	return !s->size && address - s->start < LABEL_REACH && address < s->section_end;
}

const char *table_find(const struct table *t, uint64_t address)
{
	size_t n = count_before(t, address);

	for (size_t i = n; i-- > 0 && n - i <= NESTING_MAX;)
		if (address - t->symbols[i].start < t->symbols[i].size)
			return t->symbols[i].name;
	return n && label_reaches(&t->symbols[n - 1], address) ? t->symbols[n - 1].name : NULL;
}

/* ---- names as they are shown ---- */

static const char *const suffixes[] = {".part.", ".isra.", ".constprop.", ".lto_priv.", ".llvm.", ".localalias",
				       ".cold",  ".clone.", ".__uniq.", ".warm", ".hot", ".resolver"};

/* Does `s` begin with a suffix of the compiler's? Returns its length, digits and all. */
static size_t suffix_length(const char *s)
{
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t n = strlen(suffixes[i]);
		bool numbered = suffixes[i][n - 1] == '.';

		if (strncmp(s, suffixes[i], n) != 0 || (numbered && !isxdigit((unsigned char)s[n])))
			continue;
		if (!numbered && s[n] == '.' && isdigit((unsigned char)s[n + 1]))
			n++;
		while (isxdigit((unsigned char)s[n]))
			n++;
		if (!s[n] || s[n] == '.' || s[n] == '@')
			return n;
	}
	return 0;
}

static void cut_suffixes(char *name)
{
	for (char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		char *end = dot;
		size_t n;

		while ((n = suffix_length(end)))
			end += n;
		if (end != dot && dot != name && !*end) {
			*dot = '\0';
			return;
		}
	}
}

char *table_shown(const char *name)
{
	char *copy = strdup(name), *demangled, *version;

	if (!copy)
		die(EXIT_TROUBLE, "out of memory");
	version = strchr(copy, '@');
	if (version && version != copy)
		*version = '\0';
	cut_suffixes(copy);
	demangled = symbols_demangle(copy);
	if (!demangled)
		return copy;
	free(copy);
	return demangled;
}
