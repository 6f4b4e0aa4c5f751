/* leaks: the native half of Leaks.java. */
#include <jni.h>
#include <stdlib.h>

static void *volatile kept;

JNIEXPORT void JNICALL Java_Leaks_leak(JNIEnv *env, jclass self)
{
	(void)env;
	(void)self;
	kept = malloc(40);
}

JNIEXPORT void JNICALL Java_Leaks_through(JNIEnv *env, jclass self, jint i)
{
	static jmethodID back;
	if (!back)
		back = (*env)->GetStaticMethodID(env, self, "back", "(I)V");
	(*env)->CallStaticVoidMethod(env, self, back, i);
}
