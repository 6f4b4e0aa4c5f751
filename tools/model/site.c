/*
 * site: which frame of a stack is the user's own. Reports point at the innermost frame that belongs neither to the
 * allocator nor to the language runtime; what those are is one table, here. Called by emitters for every stack, so a
 * row is rejected on its first character.
 *
 * In a stack with Java frames, the JVM's and the JDK's own libraries and classes are the runtime. What they call is, too:
 * where Java called into one of these libraries, all that is further in is at the JDK's bidding.
 *
 * A Java library is not the user's either, where somebody further out called it: RocksDB's classes with the native library that
 * they unpack, Netty with its pools. The native code that a class brings with it is told by its lines: what a user compiles
 * beside his own classes has them, what a jar carries has none.
 *
 * A pattern is compared with the function's qualified name without return type, arguments and compiler suffixes;
 * '*' at its end matches anything.
 */
#include "model/profile.h"

#include <string.h>

static const char *const runtime_functions[] = {
	/* C allocation, and what libc allocates inside */
	"malloc", "calloc", "realloc", "reallocarray", "free", "cfree", "posix_memalign", "aligned_alloc", "memalign",
	"valloc", "pvalloc", "mmap", "mmap64", "mremap", "strdup", "strndup", "wcsdup", "asprintf", "vasprintf", "getline",
	"getdelim", "__libc_*", "__strdup", "__strndup", "_start", "start_thread", "clone", "clone3", "__clone*",
	"_dl_*", "call_init", "dl_main", "pthread_create*", "__pthread_create*",
	/* wrappers that programs write around it */
	"xmalloc", "xcalloc", "xrealloc", "xstrdup", "xstrndup", "xmemdup", "xmallocarray", "safe_malloc", "checked_malloc",
	"g_malloc*", "g_try_malloc*", "g_realloc*", "g_try_realloc*", "g_strdup*", "g_slice_*", "g_memdup*",
	"zmalloc*", "zcalloc*", "zrealloc*", "ztrymalloc*", "ztrycalloc*", "ztryrealloc*", "zstrdup", "valkey_malloc*",
	"sqlite3MemMalloc", "sqlite3MemRealloc", "sqlite3Malloc*", "sqlite3_malloc*", "sqlite3Realloc", "sqlite3_realloc*",
	"sqlite3DbMalloc*", "sqlite3DbRealloc*", "sqlite3DbReallocOrFree", "dbMallocRawFinish", "dbReallocFinish", "mallocWithAlarm",
	"CRYPTO_malloc", "CRYPTO_zalloc", "CRYPTO_realloc", "CRYPTO_clear_realloc", "CRYPTO_strdup", "CRYPTO_memdup",
	"ngx_alloc", "ngx_calloc", "ngx_memalign", "palloc", "palloc0", "palloc_extended", "repalloc", "pstrdup",
	"MemoryContextAlloc*", "AllocSetAlloc*", "AllocSetContextCreateInternal",
	/* C++ */
	"operator new*", "operator delete*", "std::*", "__gnu_cxx::*", "__cxxabiv1::*", "__cxa_*", "_Unwind_*",
	"boost::detail::*", "boost::container::*", "absl::container_internal::*",
	/* other allocators */
	"je_*", "mi_malloc*", "mi_calloc*", "mi_zalloc*", "mi_realloc*", "mi_heap_malloc*", "mi_strdup", "tc_malloc*",
	"tc_calloc*", "tc_realloc*", "tc_new*", "tcmalloc::*",
	/* Python */
	"PyMem_*", "_PyMem_*", "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "_PyObject_Malloc", "_PyObject_Calloc",
	"_PyObject_Realloc", "PyObject_GC_*", "_PyObject_GC_*", "gc_alloc", "_PyObject_New*", "PyType_GenericAlloc",
	/* the JVM */
	"os::malloc*", "os::realloc*", "os::strdup*", "AllocateHeap*", "ReallocateHeap*", "CHeapObj*", "CHeapObjBase*",
	"Chunk::operator new*", "Chunk::allocate*", "ChunkPool::*", "Arena::grow*", "Arena::Amalloc*", "resource_allocate_bytes*",
	"Unsafe_AllocateMemory*", "Unsafe_ReallocateMemory*",
	/* Rust, Go */
	"__rust_alloc*", "__rust_realloc*", "__rdl_*", "__rg_*", "alloc::alloc::*", "alloc::vec::*", "alloc::raw_vec::*",
	"alloc::string::*", "alloc::boxed::*", "alloc::collections::*", "alloc::sync::*", "alloc::rc::*", "alloc::slice::*",
	"alloc::fmt::*", "alloc::str::*", "alloc::borrow::*", "core::ops::*", "core::ptr::*", "core::iter::*", "core::option::*",
	"core::result::*", "core::fmt::*", "core::str::*", "core::clone::*", "core::slice::*",
	"hashbrown::raw::*", "runtime.*", "_cgo_*", "x_cgo_*", "crosscall*",
	"_rt0_*",
	/* V8 and node */
	"node::Malloc*", "node::UncheckedMalloc*", "node::Realloc*", "v8::internal::Malloced::*", "v8::internal::AllocWithRetry*",
};

/* Beginnings of file names: code in these is never the user's. */
static const char *const runtime_modules[] = {
	"libmtrace.so", "ld-linux", "ld-2.", "libc.so", "libc-2.", "libpthread", "libstdc++.so", "libgcc_s", "libc++.so",
	"libc++abi", "libjemalloc", "libtcmalloc", "libmimalloc", "linux-vdso", "[vdso]",
};

/* Beginnings of Java classes that come with the JDK; its tools are programs like others. */
static const char *const runtime_classes[] = {
	"java.", "jdk.", "sun.", "javax.crypto.", "javax.imageio.", "javax.management.", "javax.naming.", "javax.net.",
	"javax.security.", "javax.sql.", "javax.xml.", "com.sun.crypto.", "com.sun.imageio.", "com.sun.jmx.", "com.sun.jndi.",
	"com.sun.management.", "com.sun.net.", "com.sun.nio.", "com.sun.org.apache.", "com.sun.security.",
};

/* Beginnings of classes of libraries in Java alone that take memory for who calls them. */
static const char *const library_classes[] = {
	"io.netty.", "io.grpc.", "io.vertx.", "com.corundumstudio.socketio.", "com.fasterxml.jackson.", "com.google.protobuf.",
	"org.apache.catalina.", "org.apache.coyote.", "org.apache.tomcat.", "org.eclipse.jetty.", "org.springframework.", "reactor.",
};

/* File names of the libraries that come with the JDK. */
static const char *const jdk_modules[] = {
	"libjvm.so", "libjava.so", "libjli.so", "libjimage.so", "libzip.so", "libnio.so", "libnet.so", "libverify.so",
	"libmanagement.so", "libmanagement_ext.so", "libextnet.so", "libinstrument.so", "libjdwp.so", "libprefs.so",
	"librmi.so", "libj2gss.so", "libj2pcsc.so", "libj2pkcs11.so", "libsctp.so", "libsaproc.so", "libattach.so", "libawt.so",
	"libawt_headless.so", "libfontmanager.so", "libjavajpeg.so", "liblcms.so", "libmlib_image.so", "libsyslookup.so",
	"libdt_socket.so", "libjsig.so",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool starts(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Skips the return type that demanglers put before a template's name: the name begins after the last blank outside
   of <> and before the arguments; "operator new" keeps its own blank. */
static const char *qualified(const char *function)
{
	const char *begin = function;
	int depth = 0;
	for (const char *s = function; *s != '\0'; s++) {
		if (depth == 0 && starts(s, "operator") && (s == begin || s[-1] == ':'))
			return begin;
		if (starts(s, "(anonymous namespace)")) {
			s += strlen("(anonymous namespace)") - 1;
			continue;
		}
		if (*s == '(' && depth == 0)
			return begin;
		depth += (*s == '<') - (*s == '>' && depth > 0);
		if (*s == ' ' && depth == 0)
			begin = s + 1;
	}
	return begin;
}

static bool matches(const char *name, const char *pattern)
{
	if (name[0] != pattern[0])
		return false;
	size_t n = strlen(pattern);
	if (pattern[n - 1] == '*')
		return strncmp(name, pattern, n - 1) == 0;
	return strncmp(name, pattern, n) == 0 && strchr("(.<@[ ", name[n]) != NULL; /* '\0' is found, too */
}

static bool is_runtime_module(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	for (size_t i = 0; i < COUNT(runtime_modules); i++)
		if (starts(file, runtime_modules[i]))
			return true;
	return false;
}

/* Rust's <T as alloc::slice::hack::ConvertVec>::to_vec: a trait of the standard library, implemented there for a type
   that has no path: a primitive, or a generic one. (One with a path may be the user's.) */
static bool is_runtime_trait(const char *name)
{
	const char *as = strstr(name, " as ");
	const char *path = strstr(name, "::");
	if (!as || !path || path < as)
		return false;
	return starts(as + 4, "alloc::") || starts(as + 4, "core::") || starts(as + 4, "std::");
}

bool profile_is_runtime(const char *function, const char *module_path)
{
	if (module_path && is_runtime_module(module_path))
		return true;
	if (!function)
		return false;
	/* Rust writes <alloc::vec::Vec<T> as core::clone::Clone>::clone, and no return types */
	const char *name = function[0] == '<' ? function + 1 : qualified(function);
	if (function[0] == '<' && is_runtime_trait(name))
		return true;
	for (size_t i = 0; i < COUNT(runtime_functions); i++)
		if (matches(name, runtime_functions[i]))
			return true;
	return false;
}

static const char *module_path(const struct profile_process *process, const struct profile_frame *frame)
{
	return frame->module < process->module_count ? process->modules[frame->module].path : NULL;
}

static bool is_jdk_module(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	for (size_t i = 0; path && i < COUNT(jdk_modules); i++)
		if (strcmp(slash ? slash + 1 : path, jdk_modules[i]) == 0)
			return true;
	return false;
}

static bool is_runtime_class(const char *method)
{
	for (size_t i = 0; method && i < COUNT(runtime_classes); i++)
		if (starts(method, runtime_classes[i]))
			return true;
	return !method;
}

static bool is_runtime_name(const struct profile_frame *frame, uint32_t name, const char *path)
{
	const char *function = frame->names[name].function;
	return frame->kind == MTRACE_FRAME_JAVA ? is_runtime_class(function) : profile_is_runtime(function, path);
}

/* The first name that is not the runtime's, name_count when all are (or, for a frame without names, its module is). */
static uint32_t own_name(const struct profile_process *process, const struct profile_frame *frame)
{
	const char *path = module_path(process, frame);
	if (frame->name_count == 0)
		return 0;
	for (uint32_t i = 0; i < frame->name_count; i++)
		if (!is_runtime_name(frame, i, path))
			return i;
	return frame->name_count;
}

uint32_t profile_own_name(const struct profile_process *process, const struct profile_frame *frame)
{
	uint32_t i = own_name(process, frame);
	return i < frame->name_count ? i : 0;
}

static bool is_own(const struct profile_process *process, const struct profile_frame *frame)
{
	if (frame->kind == MTRACE_FRAME_NONE || frame->kind == MTRACE_FRAME_MARKER)
		return false;
	if (frame->kind == MTRACE_FRAME_JAVA && frame->name_count == 0)
		return false;
	if (frame->name_count == 0)
		return !profile_is_runtime(NULL, module_path(process, frame));
	return own_name(process, frame) < frame->name_count;
}

/* The innermost Java frame, frame_count none. */
static uint32_t innermost_java(const struct profile_process *process, const struct profile_stack *stack)
{
	uint32_t i = 0;
	while (i < stack->frame_count && process->frames[stack->frames[i]].kind != MTRACE_FRAME_JAVA)
		i++;
	return i;
}

static bool is_jdk_frame(const struct profile_process *process, const struct profile_frame *frame)
{
	return frame->kind == MTRACE_FRAME_NATIVE && is_jdk_module(module_path(process, frame));
}

static const char *java_method(const struct profile_frame *frame)
{
	return frame->kind == MTRACE_FRAME_JAVA && frame->name_count ? frame->names[0].function : NULL;
}

/* How long the package of a method's class is, its dot included: 0 for a class in none. */
static size_t package_length(const char *method)
{
	size_t dots[2] = {0, 0};
	for (size_t i = 0; method && method[i] != '\0' && method[i] != '(' && method[i] != '<'; i++) {
		if (method[i] != '.')
			continue;
		dots[0] = dots[1];
		dots[1] = i + 1;
	}
	return dots[0];
}

static bool is_of_library(const char *method, const char *package, size_t length)
{
	for (size_t i = 0; method && i < COUNT(library_classes); i++)
		if (starts(method, library_classes[i]))
			return true;
	return method && length && strncmp(method, package, length) == 0;
}

static bool has_lines(const struct profile_frame *frame)
{
	return frame->name_count && frame->names[0].line;
}

/* A method of the user's, or of a library that carries native code; what the JDK's native code is called by is neither. */
static bool carries_native(const struct profile_process *process, const struct profile_stack *stack, uint32_t java)
{
	const struct profile_frame *called = java > 0 ? &process->frames[stack->frames[java - 1]] : NULL;
	return called && !is_jdk_frame(process, called);
}

/* The first frame that called the library which the innermost Java frame, at `java`, is a part of; frame_count: it is of none,
   or nobody did. */
static uint32_t caller_of_library(const struct profile_process *process, const struct profile_stack *stack, uint32_t java)
{
	const char *method = java_method(&process->frames[stack->frames[java]]);
	size_t length = 0;
	if (carries_native(process, stack, java)) {
		length = package_length(method);
		if (length == 0 || is_runtime_class(method) || has_lines(&process->frames[stack->frames[java - 1]]))
			return stack->frame_count;
	}
	for (uint32_t i = java; i < stack->frame_count; i++) {
		const char *name = java_method(&process->frames[stack->frames[i]]);
		if (name && !is_runtime_class(name) && !is_of_library(name, method, length))
			return i;
	}
	return stack->frame_count;
}

/* frame_count: no Java frames, or nothing but the JDK. */
static uint32_t java_site(const struct profile_process *process, const struct profile_stack *stack)
{
	uint32_t java = innermost_java(process, stack), i = 0;
	if (java == stack->frame_count)
		return java;
	if (java > 0 && is_jdk_frame(process, &process->frames[stack->frames[java - 1]]))
		i = java;
	uint32_t caller = caller_of_library(process, stack, java);
	if (caller < stack->frame_count)
		return caller;
	for (; i < stack->frame_count; i++) {
		const struct profile_frame *frame = &process->frames[stack->frames[i]];
		if (is_own(process, frame) && !is_jdk_frame(process, frame))
			return i;
	}
	return i;
}

uint32_t profile_site(const struct profile_process *process, const struct profile_stack *stack)
{
	uint32_t site = java_site(process, stack);
	if (site < stack->frame_count)
		return site;
	for (uint32_t i = 0; i < stack->frame_count; i++)
		if (is_own(process, &process->frames[stack->frames[i]]))
			return i;
	return stack->frame_count;
}
