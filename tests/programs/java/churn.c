/* churn: the native half of Churn.java. */
#include <dlfcn.h>
#include <jni.h>
#include <pthread.h>
#include <stdlib.h>

#define NATIVE(type, name, ...) JNIEXPORT type JNICALL Java_Churn_##name(JNIEnv *env, jclass self, ##__VA_ARGS__)

static void *volatile block;

NATIVE(void, cycle, jstring path, jboolean keep)
{
	const char *text = (*env)->GetStringUTFChars(env, path, NULL);
	void *library = dlopen(text, RTLD_NOW | RTLD_LOCAL);
	void *(*leak)(size_t) = library ? (void *(*)(size_t))dlsym(library, "plugin_leak") : NULL;
	(*env)->ReleaseStringUTFChars(env, path, text);
	(void)self;
	if (!leak)
		abort();
	void *leaked = leak(40);
	if (!keep)
		free(leaked);
	dlclose(library);
}

NATIVE(void, leak)
{
	(void)env;
	(void)self;
	block = malloc(48);
}

/* ---- threads ---- */

struct call {
	JavaVM *vm;
	jclass churn;
	jmethodID method;
};

static void *attach_and_detach(void *context)
{
	const struct call *call = context;
	JNIEnv *env;
	if ((*call->vm)->AttachCurrentThread(call->vm, (void **)&env, NULL))
		abort();
	(*env)->CallStaticVoidMethod(env, call->churn, call->method);
	if ((*call->vm)->DetachCurrentThread(call->vm) != JNI_OK)
		abort();
	void *volatile after = malloc(56); /* what the JVM knew of this thread is gone, perhaps another's by now */
	free(after);
	return NULL;
}

NATIVE(void, threads, jint count, jstring name)
{
	struct call call = {.churn = (*env)->NewGlobalRef(env, self)};
	const char *text = (*env)->GetStringUTFChars(env, name, NULL);
	(*env)->GetJavaVM(env, &call.vm);
	call.method = (*env)->GetStaticMethodID(env, self, text, "()V");
	(*env)->ReleaseStringUTFChars(env, name, text);
	for (jint i = 0; i < count; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, attach_and_detach, &call) || pthread_join(thread, NULL))
			abort();
	}
	(*env)->DeleteGlobalRef(env, call.churn);
}
