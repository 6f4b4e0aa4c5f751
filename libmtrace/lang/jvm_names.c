/*
 * jvm_names: which methods a frame is of, and what they are called. Once per new frame; every read is verified.
 *
 * Debug information of compiled code: PcDescs, one per return address in order, lead to a chain of scopes in a stream
 * of compressed numbers: the sender's scope (0 none), the method (an index, from 1, of the code's metadata), the bci + 1.
 * The outermost scope must be the code's own method: where the layout is not what we think, it is not.
 */
#include "lang/jvm.h"

#include <string.h>

#include "hash.h"
#include "lang/jvm_blob.h"
#include "lang/jvm_memory.h"

enum { CODE_BYTES_MOST = 65535, LINES_MOST = 65536, PCS_MOST = 1 << 20 };
enum { UNSIGNED5_EXCLUDES_ZERO_SINCE = 20 }; /* JDK */

/* ---- compressed numbers ---------------------------------------------------------------------------------------
 * Up to five bytes, six bits more each; the last is below a limit. From JDK 20 on no byte is 0, and all count from 1. */

struct stream {
	struct jvm_memory *m;
	uintptr_t at;
	bool broken;
};

static uint32_t next_byte(struct stream *s)
{
	uint8_t byte = 0;
	s->broken |= !jvm_load(s->m, s->at++, &byte, 1);
	return byte;
}

static uint32_t next_number(struct stream *s)
{
	uint32_t least = jvm_int(jvm_layout.major_version) >= UNSIGNED5_EXCLUDES_ZERO_SINCE, high = 192, sum = 0;
	for (uint32_t shift = 0; shift < 30; shift += 6) {
		uint32_t byte = next_byte(s);
		s->broken |= byte < least;
		sum += (byte - least) << shift;
		if (byte < high || s->broken)
			break;
	}
	return sum;
}

static int32_t next_signed(struct stream *s)
{
	uint32_t n = next_number(s);
	return (int32_t)(n >> 1 ^ (0u - (n & 1)));
}

/* ---- methods --------------------------------------------------------------------------------------------------- */

/* A Method and what hangs on it. */
struct method {
	uintptr_t constant, pool, holder, code;
	uint32_t code_bytes, name, signature, pool_length;
};

static bool load_short(struct jvm_memory *m, uintptr_t from, uint32_t *value)
{
	uint16_t word;
	if (!jvm_load(m, from, &word, sizeof word))
		return false;
	*value = word;
	return true;
}

static bool load_method(struct jvm_memory *m, uintptr_t at, struct method *method)
{
	const struct jvm_layout *l = &jvm_layout;
	if (at % sizeof at || !jvm_load_word(m, at + (uintptr_t)l->method_const, &method->constant))
		return false;
	uintptr_t constant = method->constant;
	if (constant % sizeof at || !jvm_load_word(m, constant + (uintptr_t)l->const_pool, &method->pool) ||
	    !load_short(m, constant + (uintptr_t)l->const_code_bytes, &method->code_bytes) ||
	    !load_short(m, constant + (uintptr_t)l->const_name, &method->name) ||
	    !load_short(m, constant + (uintptr_t)l->const_signature, &method->signature))
		return false;
	method->code = constant + (uintptr_t)l->const_bytes;
	return method->pool % sizeof at == 0 &&
	       jvm_load_word(m, method->pool + (uintptr_t)l->pool_holder, &method->holder) &&
	       jvm_load(m, method->pool + (uintptr_t)l->pool_length, &method->pool_length, sizeof method->pool_length);
}

/* Class files say "modified UTF-8": the same but for NUL and what is beyond 16 bits, which names hardly have. */
static bool load_symbol(struct jvm_memory *m, uintptr_t symbol, char *to, size_t size)
{
	uint32_t bytes;
	if (symbol % sizeof symbol || !load_short(m, symbol + (uintptr_t)jvm_layout.symbol_length, &bytes))
		return false;
	if (bytes >= size)
		bytes = (uint32_t)size - 1;
	to[bytes] = '\0';
	return bytes == 0 || jvm_load(m, symbol + (uintptr_t)jvm_layout.symbol_body, to, bytes);
}

static bool load_constant(struct jvm_memory *m, const struct method *method, uint32_t index, char *to, size_t size)
{
	uintptr_t symbol, slot = method->pool + (uintptr_t)jvm_layout.pool_bytes + (uintptr_t)index * sizeof symbol;
	return index > 0 && index < method->pool_length && jvm_load_word(m, slot, &symbol) && load_symbol(m, symbol, to, size);
}

/* "a/b/C" becomes a.b.C; a hidden class's "C+0x0000…" loses its address, which differs from run to run. */
static void spell_class(char *name)
{
	char *hidden = strstr(name, "+0x");
	if (hidden)
		*hidden = '\0';
	for (char *s = name; *s; s++)
		if (*s == '/')
			*s = '.';
}

/* ---- lines: pairs of differences, in a byte or, after 0xff, in two numbers; 0 ends them ------------------------- */

static uint32_t line_in(struct stream *s, uint32_t bci)
{
	int32_t at = 0, line = 0, best = 0;
	for (uint32_t i = 0; i < LINES_MOST && !s->broken; i++) {
		uint32_t byte = next_byte(s);
		if (byte == 0)
			break;
		at += byte == 0xff ? next_signed(s) : (int32_t)(byte >> 3);
		line += byte == 0xff ? next_signed(s) : (int32_t)(byte & 7);
		if (at > (int32_t)bci && best)
			break;
		best = line;
	}
	return s->broken || best < 0 ? 0 : (uint32_t)best;
}

static bool has_lines(struct jvm_memory *m, const struct method *method)
{
	const struct jvm_layout *l = &jvm_layout;
	uint32_t flags;
	if (l->const_flags >= 0)
		return jvm_load(m, method->constant + (uintptr_t)l->const_flags, &flags, sizeof flags) &&
		       (flags & (uint32_t)l->has_lines);
	return load_short(m, method->constant + (uintptr_t)l->const_flags_old, &flags) && (flags & (uint32_t)l->has_lines_old);
}

static uint32_t line_of(struct jvm_memory *m, const struct method *method, uint32_t bci)
{
	if (bci == JVM_NO_BCI || !has_lines(m, method))
		return 0;
	struct stream s = {m, method->code + method->code_bytes, false};
	return line_in(&s, bci);
}

bool jvm_describe(const struct jvm_scope *scope, struct jvm_method *out)
{
	struct jvm_memory m = {0};
	struct method method;
	uintptr_t name;
	uint32_t file;
	if (!load_method(&m, scope->method, &method) ||
	    !jvm_load_word(&m, method.holder + (uintptr_t)jvm_layout.klass_name, &name) ||
	    !load_symbol(&m, name, out->klass, sizeof out->klass) ||
	    !load_constant(&m, &method, method.name, out->name, sizeof out->name) ||
	    !load_constant(&m, &method, method.signature, out->signature, sizeof out->signature))
		return false;
	out->is_bottom = !strcmp(out->klass, "jdk/internal/vm/Continuation") && !strcmp(out->name, "enterSpecial");
	spell_class(out->klass);
	out->file[0] = '\0';
	if (load_short(&m, method.pool + (uintptr_t)jvm_layout.pool_file, &file) && file)
		load_constant(&m, &method, file, out->file, sizeof out->file);
	out->line = line_of(&m, &method, scope->bci);
	return true;
}

/* A symbol by its place, and by its hash, length and first bytes, without the count of references: one that is used no more
   leaves its place to another. */
static uint64_t symbol_identity(uintptr_t symbol)
{
	return symbol ^ (jvm_word(symbol) >> 16) * 0x9e3779b97f4a7c15u;
}

static uint64_t constant_identity(uintptr_t pool, uintptr_t index_at)
{
	uintptr_t index = (uintptr_t)jvm_int(index_at) & UINT16_MAX;
	return symbol_identity(jvm_word(pool + (uintptr_t)jvm_layout.pool_bytes + index * sizeof index));
}

/* Hidden classes come and go, one like the other: what a new one consists of may lie where the last one's did, and bear the
   same name, which has that place in it. So it is all that a frame shows: class, method and signature. */
uint64_t jvm_identity(const struct jvm_frame *frame)
{
	const struct jvm_layout *l = &jvm_layout;
	if (frame->pc)
		return 0;
	uintptr_t constant = jvm_word(frame->code + (uintptr_t)l->method_const);
	uintptr_t pool = jvm_word(constant + (uintptr_t)l->const_pool);
	uintptr_t holder = jvm_word(pool + (uintptr_t)l->pool_holder);
	uint64_t h = hash_mix(constant ^ constant_identity(pool, constant + (uintptr_t)l->const_name));
	h = hash_mix(h ^ pool ^ constant_identity(pool, constant + (uintptr_t)l->const_signature));
	return hash_mix(h ^ holder ^ symbol_identity(jvm_word(holder + (uintptr_t)l->klass_name))) | 1;
}

/* ---- scopes ----------------------------------------------------------------------------------------------------- */

static size_t interpreted_scope(const struct jvm_frame *frame, struct jvm_scope *scope)
{
	struct jvm_memory m = {0};
	struct method method;
	uintptr_t name;
	if (!load_method(&m, frame->code, &method) || !jvm_load_word(&m, method.holder + (uintptr_t)jvm_layout.klass_name, &name))
		return 0;
	if (name % sizeof name || !jvm_is_readable(&m, name, sizeof name)) /* for jvm_identity; other names: load_symbol */
		return 0;
	*scope = (struct jvm_scope){frame->code, JVM_NO_BCI};
	if (method.code_bytes == 0) /* native: none, or once a call into the VM has saved it, where the code would be */
		return !frame->bcp || frame->bcp == method.code;
	if (frame->bcp - method.code >= method.code_bytes)
		return 0;
	scope->bci = (uint32_t)(frame->bcp - method.code);
	return 1;
}

/* Where the code's debug information lies. */
struct debug {
	uintptr_t pcs, pcs_end, scopes, metadata, method;
};

static uintptr_t at_offset(uintptr_t code, int32_t offset_field)
{
	return (uintptr_t)jvm_int(code + (uintptr_t)offset_field);
}

static struct debug debug_of(uintptr_t code)
{
	const struct jvm_layout *l = &jvm_layout;
	struct debug d;
	if (!l->is_new) {
		d.pcs = code + at_offset(code, l->compiled_pcs);
		d.pcs_end = code + at_offset(code, l->compiled_pcs_end);
		d.scopes = jvm_word(code + (uintptr_t)l->compiled_scopes);
		d.metadata = code + at_offset(code, l->compiled_metadata);
		d.method = jvm_word(code + (uintptr_t)l->compiled_method_old);
		return d;
	}
	uintptr_t immutable = jvm_word(code + (uintptr_t)l->compiled_immutable);
	d.pcs = immutable + at_offset(code, l->compiled_pcs);
	d.scopes = d.pcs_end = immutable + at_offset(code, l->compiled_scopes_offset);
	d.metadata = jvm_word(code + (uintptr_t)l->blob_mutable) + at_offset(code, l->blob_relocation_bytes);
	d.method = jvm_word(code + (uintptr_t)l->compiled_method_new);
	return d;
}

/* The offset of the innermost scope at that pc; 0: none is kept. */
static uint32_t scope_at(struct jvm_memory *m, const struct debug *d, uint32_t pc)
{
	uintptr_t each = (uintptr_t)jvm_layout.pc_bytes;
	if (d->pcs_end <= d->pcs || (d->pcs_end - d->pcs) / each > PCS_MOST)
		return 0;
	uintptr_t first = 0, end = (d->pcs_end - d->pcs) / each;
	while (first < end) { /* they stand in order, the first with -1 */
		uintptr_t middle = first + (end - first) / 2;
		int32_t there, scope;
		if (!jvm_load(m, d->pcs + middle * each + (uintptr_t)jvm_layout.pc_offset, &there, sizeof there) ||
		    !jvm_load(m, d->pcs + middle * each + (uintptr_t)jvm_layout.pc_scope, &scope, sizeof scope))
			return 0;
		if (there == (int32_t)pc)
			return scope > 0 ? (uint32_t)scope : 0;
		if (there < (int32_t)pc)
			first = middle + 1;
		else
			end = middle;
	}
	return 0;
}

/* false: the stream is not what it must be. *sender: 0 the outermost. */
static bool load_scope(struct jvm_memory *m, const struct debug *d, uint32_t offset, struct jvm_scope *scope, uint32_t *sender)
{
	struct stream s = {m, d->scopes + offset, false};
	uint32_t before = next_number(&s), index = next_number(&s), bci = next_number(&s);
	struct method method;
	*sender = before;
	if (s.broken || index == 0 || !jvm_load_word(m, d->metadata + (uintptr_t)(index - 1) * sizeof(uintptr_t), &scope->method) ||
	    !load_method(m, scope->method, &method))
		return false;
	scope->bci = bci ? bci - 1 : 0; /* bci -1: the method's entry */
	return scope->bci == 0 || scope->bci < method.code_bytes;
}

static size_t compiled_scopes(const struct jvm_frame *frame, struct jvm_scope scopes[JVM_INLINED_MOST])
{
	struct jvm_memory m = {0};
	struct debug d = debug_of(frame->code);
	struct jvm_blob blob;
	size_t count = 0;
	if (!jvm_blob_at(frame->pc, &blob))
		return 0;
	for (uint32_t at = scope_at(&m, &d, (uint32_t)(frame->pc - blob.code)), sender; at && count < JVM_INLINED_MOST; at = sender)
		if (!load_scope(&m, &d, at, &scopes[count++], &sender) || sender > UINT32_MAX / 2)
			return 0;
	if (count && count < JVM_INLINED_MOST && scopes[count - 1].method != d.method)
		return 0;
	if (count == 0)
		scopes[count++] = (struct jvm_scope){d.method, JVM_NO_BCI}; /* a native method's wrapper has no scopes */
	return count;
}

size_t jvm_scopes(const struct jvm_frame *frame, struct jvm_scope scopes[JVM_INLINED_MOST])
{
	return frame->pc ? compiled_scopes(frame, scopes) : interpreted_scope(frame, scopes);
}
