/*
 * properties: a JVMTI agent that reads the system properties again and again, and never gives back what JVMTI allocated for
 * it: `-agentpath:libproperties.so=TIMES`. Says on stdout, when it is done, what that was: "names BLOCKS BYTES" and "values
 * BLOCKS BYTES", of the names with the array of them, and of the values.
 */
#include <jvmti.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int times;

struct truth {
	unsigned long blocks, bytes;
};

static void add(struct truth *t, size_t bytes)
{
	t->blocks++;
	t->bytes += bytes;
}

__attribute__((noinline)) static char *read_value(jvmtiEnv *jvmti, const char *name)
{
	char *value = NULL;
	(*jvmti)->GetSystemProperty(jvmti, name, &value);
	return value;
}

__attribute__((noinline)) static char **read_names(jvmtiEnv *jvmti, jint *count)
{
	char **names = NULL;
	(*jvmti)->GetSystemProperties(jvmti, count, &names);
	return names;
}

static void read_all(jvmtiEnv *jvmti, struct truth *names, struct truth *values)
{
	jint count = 0;
	char **list = read_names(jvmti, &count), *value;
	add(names, (size_t)count * sizeof *list);
	for (jint i = 0; i < count; i++) {
		add(names, strlen(list[i]) + 1);
		value = read_value(jvmti, list[i]);
		if (value)
			add(values, strlen(value) + 1);
	}
}

static void JNICALL on_start(jvmtiEnv *jvmti, JNIEnv *env, jthread thread)
{
	struct truth names = {0, 0}, values = {0, 0};
	(void)env;
	(void)thread;
	for (int i = 0; i < times; i++)
		read_all(jvmti, &names, &values);
	printf("names %lu %lu\nvalues %lu %lu\n", names.blocks, names.bytes, values.blocks, values.bytes);
	fflush(stdout);
}

JNIEXPORT jint JNICALL Agent_OnLoad(JavaVM *vm, char *options, void *reserved)
{
	jvmtiEnv *jvmti = NULL;
	jvmtiEventCallbacks callbacks;
	(void)reserved;
	memset(&callbacks, 0, sizeof callbacks);
	callbacks.VMInit = on_start;
	times = atoi(options);
	if ((*vm)->GetEnv(vm, (void **)&jvmti, JVMTI_VERSION_1_2) != JNI_OK ||
	    (*jvmti)->SetEventCallbacks(jvmti, &callbacks, sizeof callbacks) != JVMTI_ERROR_NONE ||
	    (*jvmti)->SetEventNotificationMode(jvmti, JVMTI_ENABLE, JVMTI_EVENT_VM_INIT, NULL) != JVMTI_ERROR_NONE)
		return JNI_ERR;
	return JNI_OK;
}
