/* attached: the native half of Attached.java: a library that opens another one which only its own RUNPATH finds. */
#include <dlfcn.h>
#include <jni.h>

JNIEXPORT jboolean JNICALL Java_Attached_open(JNIEnv *env, jclass self, jstring name)
{
	(void)self;
	const char *text = (*env)->GetStringUTFChars(env, name, NULL);
	void *handle = dlopen(text, RTLD_NOW);
	(*env)->ReleaseStringUTFChars(env, name, text);
	return handle != NULL;
}
