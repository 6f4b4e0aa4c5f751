/*
 * libjvm: as much of HotSpot as a walk through its frames looks at: the tables that tell its layout (of JDK 17), a code
 * heap with its segment map, methods with names, and machine code that calls from one method to the next on a real
 * stack. So what a capture with Java frames costs can be counted exactly, and a JVM can do on request what a real one
 * does at its own time: another method's code at the same place, another method in the place of an interpreted one, or what
 * none does: lie.
 *
 * Each method's code is push rbp; sub rsp; call; add rsp; pop rbp; ret, and calls the one inside it; the innermost calls
 * hotspot_leaf, which is C. C comes in by a call stub, as in the real one. The interpreter's code is that of all methods: which
 * one is interpreted, and where in it, stands in the frame.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hotspot.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- what the tables speak of ---- */

struct symbol {
	uint32_t hash_and_refs;
	uint16_t length;
	char body[26];
};

struct klass {
	struct symbol *name;
};

enum { POOL_SLOTS = 8 };

struct pool {
	struct klass *holder;
	uint16_t file;
	int32_t length;
	void *slot[POOL_SLOTS];
};

struct constant {
	struct pool *pool;
	uint16_t code_bytes, name, signature, flags;
};

struct method {
	struct constant *constant;
};

struct blob {
	const char *name;
	int32_t size, frame_words;
	uint8_t *code;
	int32_t id, original_pc, pcs, pcs_end, metadata;
	uint8_t *scopes;
	struct method *method;
	uint8_t *deopt, *deopt_mh;
};

struct space {
	uint8_t *low, *high;
};

struct heap {
	struct space memory, segments;
	int32_t log2;
	char room[64]; /* the reader wants to see so much of it */
};

struct array {
	int32_t length;
	struct heap **data;
};

struct queue {
	uint8_t *buffer;
	int32_t limit;
};

enum { BLOCK_BYTES = 16, BLOB_BYTES = 256, LOG2 = 8, SEGMENTS = 4096, CODE_AT = 128 };

static struct heap heap;
static struct heap *heaps[] = {&heap};
static struct array heap_array = {1, heaps}, *heap_list = &heap_array;
static struct queue interpreter, *interpreter_code = &interpreter;
static uint8_t *low_bound, *high_bound, *call_stub_return;
static int32_t major_version = 17;

/* ---- the tables ---- */

struct struct_entry {
	const char *type, *field;
	int32_t is_static;
	uint64_t offset;
	void *address;
};

struct type_entry {
	const char *type;
	uint64_t size;
};

struct number_entry {
	const char *name;
	int32_t value;
};

#define AT(type, field, of, member) {type, field, 0, offsetof(struct of, member), NULL},
#define VARIABLE(type, field, variable) {type, field, 1, 0, &(variable)},
static const struct struct_entry structs[] = {
	VARIABLE("CodeCache", "_low_bound", low_bound) VARIABLE("CodeCache", "_high_bound", high_bound) VARIABLE(
		"CodeCache", "_heaps", heap_list) VARIABLE("AbstractInterpreter", "_code", interpreter_code)
		VARIABLE("StubRoutines", "_call_stub_return_address",
                         call_stub_return) VARIABLE("Abstract_VM_Version", "_vm_major_version",
                                                    major_version) AT("GrowableArrayBase", "_len", array, length)
			AT("GrowableArray<int>", "_data", array, data) AT("CodeHeap", "_memory", heap, memory) AT(
				"CodeHeap", "_segmap", heap, segments) AT("CodeHeap", "_log2_segment_size", heap, log2)
				AT("VirtualSpace", "_low", space, low) AT("VirtualSpace", "_high", space, high) AT(
					"StubQueue", "_stub_buffer", queue, buffer) AT("StubQueue", "_buffer_limit",
                                                                                       queue, limit)
					AT("CodeBlob", "_name", blob, name) AT("CodeBlob", "_size", blob, size) AT(
						"CodeBlob", "_frame_size",
						blob, frame_words) AT("CodeBlob", "_code_begin",
                                                                      blob, code) AT("nmethod", "_compile_id", blob, id)
						AT("nmethod", "_orig_pc_offset", blob,
                                                   original_pc) AT("nmethod", "_scopes_pcs_offset", blob, pcs)
							AT("nmethod", "_dependencies_offset", blob,
                                                           pcs_end) AT("nmethod", "_metadata_offset", blob, metadata)
								AT("CompiledMethod", "_scopes_data_begin", blob,
                                                                   scopes) AT("CompiledMethod", "_method", blob, method)
									AT("CompiledMethod", "_deopt_handler_begin",
                                                                           blob, deopt) AT("CompiledMethod",
                                                                                           "_deopt_mh_handler_begin",
                                                                                           blob, deopt_mh){
										"PcDesc", "_pc_offset", 0, 0, NULL},
	{"PcDesc", "_scope_decode_offset", 0, 4, NULL},
	AT("Method", "_constMethod", method, constant) AT("ConstMethod", "_constants", constant, pool) AT(
		"ConstMethod", "_code_size", constant, code_bytes) AT("ConstMethod", "_name_index", constant, name)
		AT("ConstMethod", "_signature_index", constant, signature) AT("ConstMethod", "_flags", constant, flags)
			AT("ConstantPool", "_pool_holder", pool, holder)
				AT("ConstantPool", "_source_file_name_index", pool, file)
					AT("ConstantPool", "_length", pool, length) AT("Klass", "_name", klass, name)
						AT("Symbol", "_length", symbol, length)
							AT("Symbol", "_body[0]", symbol, body){0},
};
static const struct type_entry types[] = {
	{"HeapBlock", BLOCK_BYTES},
	{"ConstMethod", sizeof(struct constant)},
	{"ConstantPool", offsetof(struct pool, slot)},
	{"PcDesc", 8},
	{0},
};
static const struct number_entry numbers[] = {
	{"frame::interpreter_frame_sender_sp_offset", -1},
	{"frame::interpreter_frame_last_sp_offset", -2},
	{"ConstMethod::_has_linenumber_table", 1},
	{0},
};

EXPORT const void *gHotSpotVMStructs = structs, *gHotSpotVMTypes = types, *gHotSpotVMIntConstants = numbers;
EXPORT uint64_t gHotSpotVMStructEntryArrayStride = sizeof(struct struct_entry),
		gHotSpotVMStructEntryTypeNameOffset = offsetof(struct struct_entry, type),
		gHotSpotVMStructEntryFieldNameOffset = offsetof(struct struct_entry, field),
		gHotSpotVMStructEntryOffsetOffset = offsetof(struct struct_entry, offset),
		gHotSpotVMStructEntryIsStaticOffset = offsetof(struct struct_entry, is_static),
		gHotSpotVMStructEntryAddressOffset = offsetof(struct struct_entry, address),
		gHotSpotVMTypeEntryArrayStride = sizeof(struct type_entry),
		gHotSpotVMTypeEntryTypeNameOffset = offsetof(struct type_entry, type),
		gHotSpotVMTypeEntrySizeOffset = offsetof(struct type_entry, size),
		gHotSpotVMIntConstantEntryArrayStride = sizeof(struct number_entry),
		gHotSpotVMIntConstantEntryNameOffset = offsetof(struct number_entry, name),
		gHotSpotVMIntConstantEntryValueOffset = offsetof(struct number_entry, value);

/* A JVM whose tables do not have that field: nobody knows its layout. */
void hotspot_forget(const char *field)
{
	static struct struct_entry told[sizeof structs / sizeof structs[0]];
	memcpy(told, structs, sizeof structs);
	for (struct struct_entry *entry = told; entry->type; entry++)
		if (!strcmp(entry->field, field))
			entry->field = "_forgotten";
	gHotSpotVMStructs = told;
}

/* ---- making code ---- */

static uint32_t used_segments, compilations;

static struct blob *new_blob(const char *name, int32_t frame_words)
{
	struct blob *b = (struct blob *)(heap.memory.low + ((uintptr_t)used_segments << LOG2) + BLOCK_BYTES);
	_Static_assert(BLOCK_BYTES + BLOB_BYTES <= 2 << LOG2 && sizeof *b <= CODE_AT, "two segments");
	heap.segments.low[used_segments] = 0;
	heap.segments.low[used_segments + 1] = 1;
	used_segments += 2;
	if (used_segments > SEGMENTS)
		abort();
	*b = (struct blob){
		.name = name, .size = BLOB_BYTES, .frame_words = frame_words, .code = (uint8_t *)b + CODE_AT};
	return b;
}

static uint8_t *put(uint8_t *to, const void *bytes, size_t count)
{
	memcpy(to, bytes, count);
	return to + count;
}

/* push rbp; BEFORE; then rax = target, or the word there; call rax. Returns where that returns to. */
#define RAX_IS "\x48\xb8"
#define RAX_IS_AT "\x48\xa1"
static uint8_t *put_call(uint8_t *to, const void *before, size_t count, const char *load, const void *target)
{
	to = put(to, "\x55", 1);
	to = put(to, before, count);
	to = put(to, load, 2);
	to = put(to, &target, sizeof target);
	return put(to, "\xff\xd0", 2);
}

static struct symbol *new_symbol(const char *text)
{
	struct symbol *s = calloc(1, sizeof *s);
	s->length = (uint16_t)strlen(text);
	memcpy(s->body, text, s->length);
	return s;
}

enum { BYTECODES = 8 }; /* behind the struct constant */

static struct method *new_method(const char *name)
{
	static struct klass holder;
	struct method *m = calloc(1, sizeof *m);
	struct pool *p = calloc(1, sizeof *p);
	m->constant = calloc(1, sizeof *m->constant + BYTECODES);
	if (!holder.name)
		holder.name = new_symbol("Chain");
	*m->constant = (struct constant){.pool = p, .code_bytes = BYTECODES, .name = 1, .signature = 2};
	p->holder = &holder;
	p->length = POOL_SLOTS;
	p->slot[1] = new_symbol(name);
	p->slot[2] = new_symbol("()V");
	return m;
}

static struct blob *new_compiled(const char *name)
{
	struct blob *b = new_blob("nmethod", 4);
	b->id = (int32_t)++compilations;
	b->method = new_method(name);
	return b;
}

struct blob *hotspot_compile(const char *name, const void *calls)
{
	struct blob *b = new_compiled(name);
	put(put_call(b->code, "\x48\x83\xec\x10", 4, RAX_IS, calls), "\x48\x83\xc4\x10\x5d\xc3", 6);
	return b;
}

struct blob *hotspot_spill(const char *name, const void *calls)
{
	/* mov rcx, [rsp + 8]; movdqu xmm1, [rsp + 16]; mov r11, [rsp + 128]; mov rdx, rax; add rsp, 320; jmp to the next */
	static const uint8_t again[] = "\x48\x8b\x4c\x24\x08\xf3\x0f\x6f\x4c\x24\x10\x4c\x8b\x9c\x24\x80\0\0\0"
				       "\x48\x8b\xd0\x48\x81\xc4\x40\x01\0\0\xeb\0";
	struct blob *b = new_compiled(name);
	uint8_t *to = put_call(b->code, "\x48\x83\xec\x10\x48\x81\xec\x40\x01\0\0", 11, RAX_IS, calls);
	put(put(to, again, sizeof again - 1), "\x48\x83\xc4\x10\x5d\xc3", 6);
	return b;
}

const void *hotspot_barrier(const void *calls)
{
	struct blob *b = new_blob("StubRoutines (final)", 0);
	uint8_t *to = put(b->code, "\x6a\xff", 2); /* push -1, where the VM may put an sp */
	put(put_call(to, "\x48\x89\xe5\x51", 4, RAX_IS, calls), "\xc9\x48\x83\xc4\x08\xc3", 6);
	return b->code;
}

const void *hotspot_entry(const struct blob *b)
{
	return b->code;
}

/* What is done to code that was flushed: another method's is at its very place. */
void hotspot_replace(struct blob *b, const char *name)
{
	b->id = (int32_t)++compilations;
	b->method = new_method(name);
}

/* A lie: frames are of another size than they were, though the code is the same. */
void hotspot_lie(struct blob *b, int words)
{
	b->frame_words += words;
}

/* ---- C calls Java calls C ---- */

static void *volatile kept;
static int keeps;

/* What is called from the innermost method. */
__attribute__((noipa)) void hotspot_leaf(void)
{
	void *block = malloc(48);
	*(volatile char *)block = 1;
	if (keeps)
		kept = block;
	else
		free(block);
	__asm__ volatile("" ::: "memory");
}

static void (*stub)(void);

__attribute__((noipa)) static void call_java(void)
{
	stub();
	__asm__ volatile("" ::: "memory");
}

static const void *entry;

/* ---- the interpreter ---- */

static struct method *interpreted; /* calls compiled_entry from its fourth bytecode; NULL: none is */
static const uint8_t *bytecode;
static const void *compiled_entry;

/* The frame that interpreted methods have, from rbp inwards: the caller's sp, the last sp, the Method, four words that a walk
   does not look at, the bytecode pointer. */
static void make_interpreter(void)
{
	/* push rbp; mov rbp, rsp; lea rax, [rbp + 16]; push rax; push 0 */
	static const uint8_t begin[] = "\x55\x48\x89\xe5\x48\x8d\x45\x10\x50\x6a\x00";
	const void *method_at = &interpreted, *bytecode_at = &bytecode, *entry_at = &compiled_entry;
	struct blob *b = new_blob("Interpreter", 0);
	uint8_t *to = put(b->code, begin, sizeof begin - 1);
	to = put(put(to, RAX_IS_AT, 2), &method_at, sizeof method_at);
	to = put(to, "\x50\x48\x83\xec\x20", 5); /* push rax; sub rsp, 32 */
	to = put(put(to, RAX_IS_AT, 2), &bytecode_at, sizeof bytecode_at);
	to = put(to, "\x50", 1);
	to = put(put(to, RAX_IS_AT, 2), &entry_at, sizeof entry_at);
	put(to, "\xff\xd0\xc9\xc3", 4); /* call rax; leave; ret */
	interpreter = (struct queue){b->code, BLOB_BYTES - CODE_AT};
}

void hotspot_interpret(const char *name)
{
	interpreted = new_method(name);
	bytecode = (const uint8_t *)(interpreted->constant + 1) + 3;
}

/* What is done to a hidden class that was unloaded: another one of the same form is at its very place. */
void hotspot_unload(const char *name)
{
	interpreted->constant->pool->slot[1] = new_symbol(name);
}

/* ---- the call stub ---- */

static void make_stub(void)
{
	struct blob *b = new_blob("StubRoutines (1)", 0);
	call_stub_return = put_call(b->code, "\x48\x89\xe5", 3, RAX_IS_AT, &entry);
	put(call_stub_return, "\x5d\xc3", 2);
	memcpy(&stub, &(const void *){b->code}, sizeof stub);
}

void hotspot_call(const struct blob *outermost, int keep)
{
	compiled_entry = outermost->code;
	entry = interpreted ? interpreter.buffer : outermost->code;
	keeps = keep;
	call_java();
}

void hotspot_start(void)
{
	size_t bytes = (size_t)SEGMENTS << LOG2;
	uint8_t *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	heap.segments.low = malloc(SEGMENTS);
	if (map == MAP_FAILED || !heap.segments.low)
		abort();
	memset(heap.segments.low, 0xff, SEGMENTS);
	heap.segments.high = heap.segments.low + SEGMENTS;
	heap.memory = (struct space){map, map + bytes};
	heap.log2 = LOG2;
	low_bound = map;
	high_bound = map + bytes;
	make_stub();
	make_interpreter();
}
