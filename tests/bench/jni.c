/* jni: `jni N DEPTH HOW`: global references made and deleted N times, DEPTH frames deep, through JNI's table as a JVM of a few
   functions has it, with our agent in it when the library is preloaded. HOW: pair, or null (what is refused is not
   recorded), or a JVM that refuses something: poor (every capability), deaf (another table), none (JVMTI). */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent_tables.h"

enum { JNI_FUNCTIONS = 240, JVMTI_FUNCTIONS = 160 };
static void *jni_functions[JNI_FUNCTIONS], *jvmti_functions[JVMTI_FUNCTIONS], *vm_functions[VM_PLACES];
static struct jni_env env = {jni_functions};
static struct jvmti_env jvmti = {jvmti_functions};
static struct java_vm vm = {vm_functions};

/* ---- a JVM ---- */

static char handles[1 << 16];

static void *new_ref(struct jni_env *e, void *object)
{
	static uint32_t next;
	(void)e;
	return object ? &handles[next++ % 1000 * 8] : NULL;
}

static void delete_ref(struct jni_env *e, void *reference)
{
	(void)e;
	(void)reference;
}

static void unused(void)
{
	abort();
}

static int32_t get_env(struct java_vm *v, void **to, int32_t version)
{
	(void)v;
	*to = version >= JVMTI_VERSION_ASKED ? (void *)&jvmti : (void *)&env;
	return JNI_DONE;
}

static int32_t agree(void)
{
	return 0;
}

static int32_t refuse(void)
{
	return 99;
}

static int32_t get_phase(struct jvmti_env *j, int32_t *phase)
{
	(void)j;
	*phase = JVMTI_LIVE;
	return 0;
}

static int32_t get_table(struct jvmti_env *j, void ***table)
{
	(void)j;
	*table = malloc(sizeof jni_functions);
	memcpy(*table, jni_functions, sizeof jni_functions);
	return 0;
}

static int32_t set_table(struct jvmti_env *j, void **table)
{
	(void)j;
	memcpy(jni_functions, table, sizeof jni_functions);
	return 0;
}

static int32_t deallocate(struct jvmti_env *j, void *memory)
{
	(void)j;
	free(memory);
	return 0;
}

static void start_vm(const char *how)
{
	for (int i = 0; i < JNI_FUNCTIONS; i++)
		jni_functions[i] = (void *)unused;
	for (int i = 0; i < JVMTI_FUNCTIONS; i++)
		jvmti_functions[i] = (void *)agree;
	for (int i = 0; i < VM_PLACES; i++)
		vm_functions[i] = (void *)unused;
	jni_functions[JNI_NewGlobalRef] = (void *)new_ref;
	jni_functions[JNI_DeleteGlobalRef] = (void *)delete_ref;
	jvmti_functions[JVMTI_GetPhase] = (void *)get_phase;
	jvmti_functions[JVMTI_GetJNIFunctionTable] = (void *)get_table;
	jvmti_functions[JVMTI_SetJNIFunctionTable] = (void *)set_table;
	jvmti_functions[JVMTI_Deallocate] = (void *)deallocate;
	vm_functions[VM_GetEnv] = (void *)get_env;
	if (!strcmp(how, "poor"))
		jvmti_functions[JVMTI_AddCapabilities] = (void *)refuse;
	if (!strcmp(how, "deaf"))
		jvmti_functions[JVMTI_SetJNIFunctionTable] = (void *)refuse;
	if (!strcmp(how, "none"))
		vm_functions[VM_GetEnv] = (void *)refuse;
	void *found = dlsym(RTLD_DEFAULT, "Agent_OnLoad");
	int32_t (*load)(struct java_vm *, char *, void *) = (int32_t (*)(struct java_vm *, char *, void *))found;
	if (load)
		load(&vm, NULL, NULL);
}

/* ---- what it runs ---- */

static void __attribute__((noinline)) pairs(long n, void *object)
{
	typedef void *make(struct jni_env *, void *);
	typedef void release(struct jni_env *, void *);
	for (long i = 0; i < n; i++) {
		void *reference = ((make *)env.functions[JNI_NewGlobalRef])(&env, object);
		((release *)env.functions[JNI_DeleteGlobalRef])(&env, reference);
	}
}

static int __attribute__((noinline)) deeper(int depth, long n, void *object)
{
	if (depth > 0)
		return deeper(depth - 1, n, object) + 1;
	pairs(n, object);
	return 0;
}

int main(int argc, char **argv)
{
	static int object;
	if (argc != 4)
		return 2;
	start_vm(argv[3]);
	return deeper(atoi(argv[2]), atol(argv[1]), strcmp(argv[3], "null") ? &object : NULL) == atoi(argv[2]) ? 0 : 1;
}
