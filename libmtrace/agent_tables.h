/*
 * agent_tables: the places that the agent uses in the JVM's tables of functions, by the public specifications of JNI and
 * JVMTI: a table only ever grows at its end. Ours, so that the library builds where there is no JDK; compared with a JDK's
 * own headers by tests/programs/java/tables.c.
 */
#ifndef MTRACE_AGENT_TABLES_H
#define MTRACE_AGENT_TABLES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* JNIEnv, JavaVM and jvmtiEnv point to these. */
struct jni_env {
	void *const *functions;
};
struct java_vm {
	void *const *functions;
};
struct jvmti_env {
	void *const *functions;
};

enum jni_place {
	JNI_NewGlobalRef = 21,
	JNI_DeleteGlobalRef = 22,
	JNI_GetStringLength = 164,
	JNI_GetStringChars = 165,
	JNI_ReleaseStringChars = 166,
	JNI_GetStringUTFChars = 169,
	JNI_ReleaseStringUTFChars = 170,
	JNI_GetArrayLength = 171,
	JNI_GetBooleanArrayElements = 183,
	JNI_GetByteArrayElements = 184,
	JNI_GetCharArrayElements = 185,
	JNI_GetShortArrayElements = 186,
	JNI_GetIntArrayElements = 187,
	JNI_GetLongArrayElements = 188,
	JNI_GetFloatArrayElements = 189,
	JNI_GetDoubleArrayElements = 190,
	JNI_ReleaseBooleanArrayElements = 191,
	JNI_ReleaseByteArrayElements = 192,
	JNI_ReleaseCharArrayElements = 193,
	JNI_ReleaseShortArrayElements = 194,
	JNI_ReleaseIntArrayElements = 195,
	JNI_ReleaseLongArrayElements = 196,
	JNI_ReleaseFloatArrayElements = 197,
	JNI_ReleaseDoubleArrayElements = 198,
	JNI_GetPrimitiveArrayCritical = 222,
	JNI_ReleasePrimitiveArrayCritical = 223,
	JNI_GetStringCritical = 224,
	JNI_ReleaseStringCritical = 225,
	JNI_NewWeakGlobalRef = 226,
	JNI_DeleteWeakGlobalRef = 227,
	JNI_NewDirectByteBuffer = 229,
	JNI_PLACES_MOST = 230
};

enum { JNI_COMMIT_MODE = 1, JNI_DONE = 0 };

enum vm_place {
	VM_AttachCurrentThread = 4,
	VM_DetachCurrentThread = 5,
	VM_GetEnv = 6,
	VM_AttachCurrentThreadAsDaemon = 7,
	VM_PLACES = 8
};

#define JNI_VERSION_ASKED 0x00010006
#define JVMTI_VERSION_ASKED 0x30010200

/* The specification numbers a table's functions from 1. */
#define JVMTI_PLACE(number) ((number) - 1)
enum jvmti_place {
	JVMTI_SetEventNotificationMode = JVMTI_PLACE(2),
	JVMTI_Deallocate = JVMTI_PLACE(47),
	JVMTI_GetClassSignature = JVMTI_PLACE(48),
	JVMTI_GetLoadedClasses = JVMTI_PLACE(78),
	JVMTI_SetTag = JVMTI_PLACE(107),
	JVMTI_IterateThroughHeap = JVMTI_PLACE(116),
	JVMTI_SetJNIFunctionTable = JVMTI_PLACE(120),
	JVMTI_GetJNIFunctionTable = JVMTI_PLACE(121),
	JVMTI_SetEventCallbacks = JVMTI_PLACE(122),
	JVMTI_GetPhase = JVMTI_PLACE(133),
	JVMTI_AddCapabilities = JVMTI_PLACE(142)
};

enum { JVMTI_LIVE = 4, JVMTI_OFF = 0, JVMTI_ON = 1 };

/* Events are numbered from 50 on; the callbacks stand in that order. */
enum jvmti_event {
	JVMTI_EVENTS_FIRST = 50,
	JVMTI_VMInit = 50,
	JVMTI_ResourceExhausted = 80,
	JVMTI_ObjectFree = 83,
	JVMTI_EVENTS_END = 84
};

struct jvmti_callbacks {
	void *of[JVMTI_EVENTS_END - JVMTI_EVENTS_FIRST];
};

/* Bit numbers. */
enum jvmti_capability {
	JVMTI_can_tag_objects = 0,
	JVMTI_can_generate_object_free_events = 32,
	JVMTI_can_generate_resource_exhaustion_heap_events = 39,
	JVMTI_can_generate_resource_exhaustion_threads_events = 40
};

struct jvmti_capabilities {
	uint64_t bits[2];
};

enum { JVMTI_EXHAUSTED_OOM_ERROR = 1, JVMTI_EXHAUSTED_JAVA_HEAP = 2, JVMTI_EXHAUSTED_THREADS = 4 };

/* Visits every object: the one callback of a heap walk that we use stands first. */
struct jvmti_heap_callbacks {
	int32_t (*object)(int64_t class_tag, int64_t size, int64_t *tag, int32_t length, void *context);
	void *others[15];
};
enum { JVMTI_VISIT_GO_ON = 0x100, JVMTI_VISIT_STOP = 0x8000 };

static_assert(sizeof(struct jni_env) == sizeof(void *), "JNI: a pointer to a table");
static_assert(sizeof(struct jvmti_capabilities) == 16, "JVMTI: 128 bits");
static_assert(offsetof(struct jvmti_callbacks, of[JVMTI_ResourceExhausted - JVMTI_EVENTS_FIRST]) == 30 * sizeof(void *), "JVMTI");
static_assert(sizeof(struct jvmti_heap_callbacks) == 16 * sizeof(void *), "JVMTI");
static_assert((int)JNI_ReleaseDoubleArrayElements - (int)JNI_GetDoubleArrayElements == 8, "JNI: in pairs");

#endif
