/*
 * agent_jni: JNI functions that hand something out, and those that take it back, in place of the JVM's. One shape: the
 * JVM's own function first, then the record, where something is made; the record first where it is released, since
 * another thread may be given the same reference or address at once. What was refused (NULL) is not recorded.
 *
 * Between Get…Critical and its release a thread may neither call JNI nor wait for others: ours do not, they walk the
 * stack by plain reads. Functions that other agents saved
 * before us, and the JVM's own calls, do not come here: nothing is counted twice.
 *
 * Sizes are what is handed out: characters, elements, a direct buffer's capacity. What has no memory of its own counts as
 * a word, the handle: references, strings and arrays held in place in the Java heap, attached threads.
 */
#include "agent.h"

#include <string.h>

#include "boot.h"
#include "format.h"
#include "here.h"
#include "tracker.h"

/* The tables as they were before ours. Written before the JVM gets ours, which is a safepoint, or a release store. */
static void *jvm_jni[JNI_PLACES_MOST];
static void *const *jvm_invocation;
static struct plat_object jvm;

#define REAL(name) ((__typeof__(&hook_##name))jvm_jni[JNI_##name])

static struct tracker_handle handle_of(enum mtrace_kind kind, enum mtrace_family family, const void *key)
{
	return (struct tracker_handle){kind, family, (uintptr_t)key};
}

static __attribute__((noinline)) void note_made(enum mtrace_kind kind, enum mtrace_family family, const void *key, size_t size,
						 const struct unwind_start *at)
{
	struct tracker_handle handle = handle_of(kind, family, key);
	if (boot_ready())
		tracker_jni_made(&handle, size, at);
}

static __attribute__((noinline)) void note_releasing(enum mtrace_kind kind, enum mtrace_family family, const void *key)
{
	struct tracker_handle handle = handle_of(kind, family, key);
	if (boot_ready())
		tracker_jni_releasing(&handle);
}

enum { HANDLE_BYTES = sizeof(void *) };

/* ---- references ------------------------------------------------------------------ */

#define REFERENCE(make, release, kind)                                                                                 \
	static void *hook_##make(struct jni_env *env, void *object)                                                    \
	{                                                                                                              \
		void *reference = REAL(make)(env, object);                                                             \
		if (likely(reference))                                                                                 \
			note_made(kind, MTRACE_FAMILY_JNI_REFERENCE, reference, HANDLE_BYTES, HERE_START);             \
		return reference;                                                                                      \
	}                                                                                                              \
	static void hook_##release(struct jni_env *env, void *reference)                                               \
	{                                                                                                              \
		if (likely(reference))                                                                                 \
			note_releasing(kind, MTRACE_FAMILY_JNI_REFERENCE, reference);                                  \
		REAL(release)(env, reference);                                                                         \
	}
REFERENCE(NewGlobalRef, DeleteGlobalRef, MTRACE_KIND_JNI_GLOBAL)
REFERENCE(NewWeakGlobalRef, DeleteWeakGlobalRef, MTRACE_KIND_JNI_WEAK)

/* ---- strings ---------------------------------------------------------------------------------------------- */

typedef int32_t jni_length(struct jni_env *env, void *object);

static size_t length_of(struct jni_env *env, void *object, enum jni_place function)
{
	int32_t length = ((jni_length *)jvm_jni[function])(env, object);
	return length > 0 ? (size_t)length : 0;
}

static void note_buffer(const void *buffer, size_t size, const struct unwind_start *at)
{
	note_made(MTRACE_KIND_JNI_BUFFER, MTRACE_FAMILY_JNI_BUFFER, buffer, size, at);
}

static void note_buffer_releasing(const void *buffer)
{
	if (likely(buffer))
		note_releasing(MTRACE_KIND_JNI_BUFFER, MTRACE_FAMILY_JNI_BUFFER, buffer);
}

#define STRING(get, release, size)                                                                                     \
	static const void *hook_##get(struct jni_env *env, void *string, uint8_t *is_copy)                             \
	{                                                                                                              \
		const void *chars = REAL(get)(env, string, is_copy);                                                   \
		if (chars)                                                                                             \
			note_buffer(chars, size, HERE_START);                                                          \
		return chars;                                                                                          \
	}                                                                                                              \
	static void hook_##release(struct jni_env *env, void *string, const void *chars)                               \
	{                                                                                                              \
		note_buffer_releasing(chars);                                                                          \
		REAL(release)(env, string, chars);                                                                     \
	}
STRING(GetStringUTFChars, ReleaseStringUTFChars, strlen(chars) + 1)
STRING(GetStringChars, ReleaseStringChars, (length_of(env, string, JNI_GetStringLength) + 1) * sizeof(uint16_t))
STRING(GetStringCritical, ReleaseStringCritical, HANDLE_BYTES)

/* ---- arrays ------------------------------------------------------------------------------------------------ */

/* Of an empty array all callers get one and the same address, with nothing behind it. (Its length cannot be asked at the
   release, where an exception may be pending; -Xcheck:jni gives each an address of its own, of which this is the last.) */
static _Atomic uintptr_t address_of_nothing;

static void note_elements(void *elements, size_t size, const struct unwind_start *at)
{
	if (size)
		note_buffer(elements, size, at);
	else
		atomic_store_explicit(&address_of_nothing, (uintptr_t)elements, memory_order_relaxed); /* alone */
}

static void note_elements_releasing(void *elements, int32_t mode)
{
	if (mode != JNI_COMMIT_MODE && (uintptr_t)elements != atomic_load_explicit(&address_of_nothing, memory_order_relaxed))
		note_buffer_releasing(elements);
}

#define ELEMENTS(type, bytes)                                                                                          \
	static void *hook_Get##type##ArrayElements(struct jni_env *env, void *array, uint8_t *is_copy)                 \
	{                                                                                                              \
		void *elements = REAL(Get##type##ArrayElements)(env, array, is_copy);                                  \
		if (elements)                                                                                          \
			note_elements(elements, length_of(env, array, JNI_GetArrayLength) * (bytes), HERE_START);      \
		return elements;                                                                                       \
	}                                                                                                              \
	static void hook_Release##type##ArrayElements(struct jni_env *env, void *array, void *elements, int32_t mode)  \
	{                                                                                                              \
		note_elements_releasing(elements, mode);                                                               \
		REAL(Release##type##ArrayElements)(env, array, elements, mode);                                        \
	}
#define ELEMENT_TYPES(X) X(Boolean, 1) X(Byte, 1) X(Char, 2) X(Short, 2) X(Int, 4) X(Long, 8) X(Float, 4) X(Double, 8)
ELEMENT_TYPES(ELEMENTS)

static void *hook_GetPrimitiveArrayCritical(struct jni_env *env, void *array, uint8_t *is_copy)
{
	void *elements = REAL(GetPrimitiveArrayCritical)(env, array, is_copy);
	if (elements)
		note_buffer(elements, HANDLE_BYTES, HERE_START);
	return elements;
}

static void hook_ReleasePrimitiveArrayCritical(struct jni_env *env, void *array, void *elements, int32_t mode)
{
	if (mode != JNI_COMMIT_MODE)
		note_buffer_releasing(elements);
	REAL(ReleasePrimitiveArrayCritical)(env, array, elements, mode);
}

/* ---- direct buffers over memory of the program's ------------------------------------------------------------ */

/* There may be several over one address, and nobody releases them: they are told by a number, and end with their object. */
static void *hook_NewDirectByteBuffer(struct jni_env *env, void *address, int64_t capacity)
{
	static _Atomic int64_t last;
	void *buffer = REAL(NewDirectByteBuffer)(env, address, capacity);
	if (!buffer || !boot_ready())
		return buffer;
	int64_t key = (atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1) * 8;
	struct tracker_handle handle = handle_of(MTRACE_KIND_JNI_BUFFER, MTRACE_FAMILY_JNI_OBJECT, (const void *)key);
	tracker_jni_made(&handle, (size_t)capacity, HERE_START);
	if (!agent_watch_object(buffer, key))
		tracker_jni_releasing(&handle); /* allocated is right, live would only grow */
	return buffer;
}

void agent_object_gone(int64_t key)
{
	note_releasing(MTRACE_KIND_JNI_BUFFER, MTRACE_FAMILY_JNI_OBJECT, (const void *)key);
}

/* ---- threads that attach ------------------------------------------------------------------------------------ */

typedef int32_t vm_attach(struct java_vm *vm, void **env, void *arguments);
typedef int32_t vm_detach(struct java_vm *vm);
typedef int32_t vm_get_env(struct java_vm *vm, void **env, int32_t version);

static bool is_jvms(uintptr_t pc)
{
	return pc - jvm.start < jvm.end - jvm.start;
}

/* NULL: the calling thread is not attached. */
static void *env_of_thread(struct java_vm *vm)
{
	void *env = NULL;
	return ((vm_get_env *)jvm_invocation[VM_GetEnv])(vm, &env, JNI_VERSION_ASKED) == JNI_DONE ? env : NULL;
}

/* Attaching a thread that is attached already does nothing. The JVM itself calls by its table once: the thread that waits
   for its end. */
#define ATTACH(name)                                                                                                   \
	static int32_t hook_##name(struct java_vm *vm, void **env, void *arguments)                                    \
	{                                                                                                              \
		bool was_attached = is_jvms(HERE->pc) || env_of_thread(vm) != NULL;                                    \
		if (!was_attached)                                                                                     \
			agent_arrives();                                                                               \
		int32_t error = ((vm_attach *)jvm_invocation[VM_##name])(vm, env, arguments);                          \
		if (!was_attached)                                                                                     \
			agent_has_arrived();                                                                           \
		if (error == JNI_DONE && !was_attached)                                                                \
			note_made(MTRACE_KIND_ATTACHED_THREAD, MTRACE_FAMILY_JNI_THREAD, *env, HANDLE_BYTES,           \
				  HERE_START);                                                                 \
		return error;                                                                                          \
	}
ATTACH(AttachCurrentThread)
ATTACH(AttachCurrentThreadAsDaemon)

/* It is refused while Java methods run on this stack. */
static int32_t hook_DetachCurrentThread(struct java_vm *vm)
{
	struct tracker_handle handle = handle_of(MTRACE_KIND_ATTACHED_THREAD, MTRACE_FAMILY_JNI_THREAD, env_of_thread(vm));
	struct live_move move;
	bool known = handle.key && boot_ready() && tracker_jni_release_begin(&handle, &move);
	int32_t error = ((vm_detach *)jvm_invocation[VM_DetachCurrentThread])(vm);
	if (known)
		tracker_jni_release_end(&move, error == JNI_DONE);
	return error;
}

/* ---- the tables --------------------------------------------------------------------------------------------- */

void agent_hook_jni(void *table[])
{
	memcpy(jvm_jni, table, sizeof jvm_jni);
#define PUT(name) table[JNI_##name] = (void *)hook_##name;
#define PUT_ELEMENTS(type, bytes)                                                                                      \
	PUT(Get##type##ArrayElements)                                                                                  \
	PUT(Release##type##ArrayElements)
	PUT(NewGlobalRef)
	PUT(DeleteGlobalRef)
	PUT(NewWeakGlobalRef)
	PUT(DeleteWeakGlobalRef)
	PUT(GetStringUTFChars)
	PUT(ReleaseStringUTFChars)
	PUT(GetStringChars)
	PUT(ReleaseStringChars)
	PUT(GetStringCritical)
	PUT(ReleaseStringCritical)
	PUT(GetPrimitiveArrayCritical)
	PUT(ReleasePrimitiveArrayCritical)
	PUT(NewDirectByteBuffer)
	ELEMENT_TYPES(PUT_ELEMENTS)
}

/* The pointer stands in the JVM's data; callers load it anew at each call. Release: our table is filled before it is found. */
void agent_hook_invocation(struct java_vm *vm)
{
	static void *ours[VM_PLACES];
	jvm_invocation = vm->functions;
	(void)plat_find_object((uintptr_t)jvm_invocation[VM_AttachCurrentThread], &jvm); /* else nothing is the JVM's */
	memcpy(ours, jvm_invocation, sizeof ours);
	ours[VM_AttachCurrentThread] = (void *)hook_AttachCurrentThread;
	ours[VM_AttachCurrentThreadAsDaemon] = (void *)hook_AttachCurrentThreadAsDaemon;
	ours[VM_DetachCurrentThread] = (void *)hook_DetachCurrentThread;
	__atomic_store_n((void *const **)&vm->functions, (void *const *)ours, __ATOMIC_RELEASE);
}
