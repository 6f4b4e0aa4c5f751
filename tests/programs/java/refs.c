/* refs: the native half of Refs.java. */
#include <jni.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define NATIVE(type, name, ...) JNIEXPORT type JNICALL Java_Refs_##name(JNIEnv *env, jclass self, ##__VA_ARGS__)

NATIVE(void, global, jobject object)
{
	(*env)->NewGlobalRef(env, object);
	(void)self;
}

NATIVE(void, globalAndBack, jobject object)
{
	(*env)->DeleteGlobalRef(env, (*env)->NewGlobalRef(env, object));
	(void)self;
}

NATIVE(void, weak, jobject object)
{
	(*env)->NewWeakGlobalRef(env, object);
	(void)self;
}

NATIVE(void, weakAndBack, jobject object)
{
	(*env)->DeleteWeakGlobalRef(env, (*env)->NewWeakGlobalRef(env, object));
	(void)self;
}

/* Eight bytes of UTF-8 at most, and seven units. */
NATIVE(void, strings, jstring string)
{
	(*env)->GetStringUTFChars(env, string, NULL);
	(*env)->GetStringChars(env, string, NULL);
	(void)self;
}

NATIVE(void, stringsAndBack, jstring string)
{
	jboolean is_copy;
	const char *text = (*env)->GetStringUTFChars(env, string, &is_copy);
	const jchar *wide = (*env)->GetStringChars(env, string, NULL);
	(*env)->ReleaseStringChars(env, string, wide);
	(*env)->ReleaseStringUTFChars(env, string, text);
	(void)self;
}

#define ALL(X) X(Boolean, z) X(Byte, b) X(Char, c) X(Short, s) X(Int, i) X(Long, l) X(Float, f) X(Double, d)
#define ARRAYS jbooleanArray z, jbyteArray b, jcharArray c, jshortArray s, jintArray i, jlongArray l, jfloatArray f, jdoubleArray d

NATIVE(void, arrays, ARRAYS)
{
#define GET(type, array) (*env)->Get##type##ArrayElements(env, array, NULL);
	ALL(GET)
	(void)self;
}

/* JNI_COMMIT gives nothing back. */
NATIVE(void, arraysAndBack, ARRAYS)
{
#define BACK(type, array)                                                                                              \
	{                                                                                                              \
		void *elements = (*env)->Get##type##ArrayElements(env, array, NULL);                                   \
		(*env)->Release##type##ArrayElements(env, array, elements, JNI_COMMIT);                                \
		(*env)->Release##type##ArrayElements(env, array, elements, array == b ? JNI_ABORT : 0);                \
	}
	ALL(BACK)
	(void)self;
}

NATIVE(void, criticalAndBack, jstring string, jbyteArray array)
{
	void *elements = (*env)->GetPrimitiveArrayCritical(env, array, NULL);
	void *again = (*env)->GetPrimitiveArrayCritical(env, array, NULL);
	const jchar *chars = (*env)->GetStringCritical(env, string, NULL);
	(*env)->ReleaseStringCritical(env, string, chars);
	(*env)->ReleasePrimitiveArrayCritical(env, array, again, 0);
	(*env)->ReleasePrimitiveArrayCritical(env, array, elements, JNI_ABORT);
	(void)self;
}

/* What is refused is nothing that could leak. */
NATIVE(void, refused)
{
	(*env)->NewGlobalRef(env, NULL);
	(*env)->NewWeakGlobalRef(env, NULL);
	(*env)->DeleteGlobalRef(env, NULL);
	(void)self;
}

NATIVE(jobject, buffer, jint bytes)
{
	static char memory[10000]; /* all of them over one address */
	(void)self;
	return (*env)->NewDirectByteBuffer(env, memory, bytes);
}

/* ---- threads ---- */

static JavaVM *vm;
static jclass refs;
static void *volatile block;

/* Refused: a Java method runs on this stack. */
NATIVE(void, detachTooEarly)
{
	(void)env;
	(void)self;
	if ((*vm)->DetachCurrentThread(vm) == JNI_OK)
		abort();
}

static void call_back(JNIEnv *env)
{
	jmethodID callback = (*env)->GetStaticMethodID(env, refs, "callback", "()V");
	(*env)->CallStaticVoidMethod(env, refs, callback);
}

static void *attach_and_detach(void *odd)
{
	JNIEnv *env = NULL, *again = NULL;
	int failed = odd ? (*vm)->AttachCurrentThreadAsDaemon(vm, (void **)&env, NULL)
			 : (*vm)->AttachCurrentThread(vm, (void **)&env, NULL);
	if (failed || (*vm)->AttachCurrentThread(vm, (void **)&again, NULL) || again != env)
		abort();
	if (odd)
		call_back(env);
	if ((*vm)->DetachCurrentThread(vm) != JNI_OK)
		abort();
	block = malloc(40); /* what the JVM knew of this thread is gone, perhaps another's by now */
	free(block);
	if ((*vm)->DetachCurrentThread(vm) == JNI_OK && (*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_6) == JNI_OK)
		abort();
	return NULL;
}

static void *attach_and_end(void *unused)
{
	JNIEnv *env;
	(void)unused;
	if ((*vm)->AttachCurrentThreadAsDaemon(vm, (void **)&env, NULL))
		abort();
	return NULL;
}

static void run(void *(*start)(void *), void *argument)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, start, argument) || pthread_join(thread, NULL))
		abort();
}

NATIVE(void, attach, jint threads, jint kept)
{
	(*env)->GetJavaVM(env, &vm);
	refs = (*env)->NewGlobalRef(env, self);
	for (jint i = 0; i < threads; i++)
		run(attach_and_detach, i % 2 ? &vm : NULL);
	for (jint i = 0; i < kept; i++)
		run(attach_and_end, NULL);
}

NATIVE(void, hold, jstring string, jbyteArray array)
{
	(void)self;
	(*env)->GetPrimitiveArrayCritical(env, array, NULL);
	(*env)->GetPrimitiveArrayCritical(env, array, NULL);
	(*env)->GetStringCritical(env, string, NULL);
	if (write(1, "ready\n", 6) != 6)
		abort();
	for (;;)
		pause();
}
