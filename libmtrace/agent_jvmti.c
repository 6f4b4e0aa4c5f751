/*
 * agent_jvmti: the agent's start, and the events it asks for. JVMTI functions are called by the JVM's own threads in its
 * callbacks only. What the JVM refuses (a capability that another agent has) is done without.
 */
#include "agent.h"

#include <string.h>

#include "boot.h"
#include "log.h"
#include "segment.h"

typedef int32_t vm_get_env(struct java_vm *vm, void **env, int32_t version);
typedef int32_t jvmti_add_capabilities(struct jvmti_env *jvmti, const struct jvmti_capabilities *wanted);
typedef int32_t jvmti_set_callbacks(struct jvmti_env *jvmti, const struct jvmti_callbacks *callbacks, int32_t bytes);
typedef int32_t jvmti_set_event(struct jvmti_env *jvmti, int32_t on, int32_t event, void *thread, ...);
typedef int32_t jvmti_get_phase(struct jvmti_env *jvmti, int32_t *phase);
typedef int32_t jvmti_get_jni(struct jvmti_env *jvmti, void ***table);
typedef int32_t jvmti_set_jni(struct jvmti_env *jvmti, void *const *table);
typedef int32_t jvmti_deallocate(struct jvmti_env *jvmti, void *memory);
typedef int32_t jvmti_set_tag(struct jvmti_env *jvmti, void *object, int64_t tag);

static struct {
	_Atomic uint32_t begun; /* somebody starts it, or has */
	_Atomic(struct jvmti_env *) jvmti; /* NULL until JNI is hooked. Release by hook; pairs: agent_watch_object */
	bool watches_objects;
} agent;

#define JVMTI(env, name, type) ((type *)(env)->functions[JVMTI_##name])

/* ---- JNI's table -------------------------------------------------------------------------------------------- */

static void note_feature(void)
{
	if (boot_ready())
		segment.header->features_optional |= MTRACE_FEATURE_JNI; /* one writer, and only in a process's own segment */
}

/* Once the VM lives: before, there is no table to be had. The VM copies it, so it is given back at once. */
static void hook(struct jvmti_env *jvmti)
{
	void **table = NULL;
	if (JVMTI(jvmti, GetJNIFunctionTable, jvmti_get_jni)(jvmti, &table)) {
		log_trouble("JNI references are not counted: ", "the JVM refuses its table of JNI functions", NULL);
		return;
	}
	agent_hook_jni(table);
	atomic_store_explicit(&agent.jvmti, jvmti, memory_order_release);
	if (JVMTI(jvmti, SetJNIFunctionTable, jvmti_set_jni)(jvmti, table))
		log_trouble("JNI references are not counted: ", "the JVM refuses another table of JNI functions", NULL);
	else
		note_feature();
	JVMTI(jvmti, Deallocate, jvmti_deallocate)(jvmti, table);
}

/* ---- objects that are watched ------------------------------------------------------------------------------- */

bool agent_watch_object(void *object, int64_t key)
{
	struct jvmti_env *jvmti = atomic_load_explicit(&agent.jvmti, memory_order_acquire); /* pairs: hook */
	return agent.watches_objects && jvmti && !JVMTI(jvmti, SetTag, jvmti_set_tag)(jvmti, object, key);
}

/* ---- events ------------------------------------------------------------------------------------------------- */

static void on_vm_init(struct jvmti_env *jvmti, struct jni_env *jni, void *thread)
{
	(void)jni;
	(void)thread;
	hook(jvmti);
}

static void on_object_free(struct jvmti_env *jvmti, int64_t tag)
{
	(void)jvmti;
	if (!agent_is_class_tag(tag))
		agent_object_gone(tag);
}

static bool set_event(struct jvmti_env *jvmti, enum jvmti_event event, int32_t on)
{
	return !JVMTI(jvmti, SetEventNotificationMode, jvmti_set_event)(jvmti, on, (int32_t)event, NULL);
}

static bool ask_for(struct jvmti_env *jvmti, enum jvmti_event event)
{
	return set_event(jvmti, event, JVMTI_ON);
}

/* Each for itself: one that is refused takes no other with it. */
static bool may(struct jvmti_env *jvmti, enum jvmti_capability capability)
{
	struct jvmti_capabilities wanted = {{0, 0}};
	wanted.bits[capability / 64] = 1ull << capability % 64;
	return !JVMTI(jvmti, AddCapabilities, jvmti_add_capabilities)(jvmti, &wanted);
}

static void set_callback(struct jvmti_callbacks *callbacks, enum jvmti_event event, void *function)
{
	callbacks->of[event - JVMTI_EVENTS_FIRST] = function;
}

/* Either suffices: without both the JVM never sends the event. */
static bool may_hear_of_exhaustion(struct jvmti_env *jvmti)
{
	bool heap = may(jvmti, JVMTI_can_generate_resource_exhaustion_heap_events);
	bool threads = may(jvmti, JVMTI_can_generate_resource_exhaustion_threads_events);
	return heap || threads;
}

bool agent_listen(bool listens)
{
	struct jvmti_env *jvmti = atomic_load_explicit(&agent.jvmti, memory_order_acquire); /* pairs: hook */
	if (!jvmti || (listens && !may_hear_of_exhaustion(jvmti)))
		return false;
	return set_event(jvmti, JVMTI_ResourceExhausted, listens ? JVMTI_ON : JVMTI_OFF);
}

/* A JVM that tells of exhaustion logs it, too, on its standard output. */
static bool ask_for_all(struct jvmti_env *jvmti, bool quiet)
{
	struct jvmti_callbacks callbacks = {{NULL}};
	bool tags = may(jvmti, JVMTI_can_tag_objects), frees = may(jvmti, JVMTI_can_generate_object_free_events);
	set_callback(&callbacks, JVMTI_VMInit, (void *)on_vm_init);
	set_callback(&callbacks, JVMTI_ObjectFree, (void *)on_object_free);
	set_callback(&callbacks, JVMTI_ResourceExhausted, (void *)agent_on_exhausted);
	if (JVMTI(jvmti, SetEventCallbacks, jvmti_set_callbacks)(jvmti, &callbacks, (int32_t)sizeof callbacks) ||
	    !ask_for(jvmti, JVMTI_VMInit))
		return false;
	agent.watches_objects = tags && frees && ask_for(jvmti, JVMTI_ObjectFree);
	if (!quiet && may_hear_of_exhaustion(jvmti))
		(void)ask_for(jvmti, JVMTI_ResourceExhausted);
	return true;
}

/* ---- the start ---------------------------------------------------------------------------------------------- */

/* A JVM that runs does not bear it while a thread attaches: see agent_arrivals. */
static bool get_jvmti(struct java_vm *vm, struct jvmti_env **jvmti, bool runs)
{
	bool holds = runs && agent_hold_arrivals(vm);
	bool got = ((vm_get_env *)vm->functions[VM_GetEnv])(vm, (void **)jvmti, JVMTI_VERSION_ASKED) == JNI_DONE;
	if (holds)
		agent_let_arrive();
	return got;
}

void agent_start(struct java_vm *vm, const char *options, bool runs)
{
	struct jvmti_env *jvmti = NULL;
	uint32_t nobody = 0;
	int32_t phase = 0;
	if (!boot_ready() ||
	    !atomic_compare_exchange_strong_explicit(&agent.begun, &nobody, 1, memory_order_relaxed, memory_order_relaxed))
		return;
	agent_hook_invocation(vm);
	if (!get_jvmti(vm, &jvmti, runs) || !ask_for_all(jvmti, options && !strcmp(options, "quiet"))) {
		log_trouble("JNI references are not counted: ", "this JVM has no JVMTI", NULL);
		return;
	}
	if (!JVMTI(jvmti, GetPhase, jvmti_get_phase)(jvmti, &phase) && phase == JVMTI_LIVE)
		hook(jvmti);
}

#define EXPORT __attribute__((visibility("default"))) extern
EXPORT int32_t Agent_OnLoad(struct java_vm *vm, char *options, void *reserved);

EXPORT int32_t Agent_OnLoad(struct java_vm *vm, char *options, void *reserved)
{
	(void)reserved;
	agent_start(vm, options, false);
	return JNI_DONE;
}
