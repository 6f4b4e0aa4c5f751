/* feed: the native half of Feed.java. */
#include <jni.h>

static jobject subscribers[2000];
static int count;

JNIEXPORT void JNICALL Java_Feed_subscribe(JNIEnv *env, jclass self, jobject subscriber)
{
	(void)self;
	subscribers[count++] = (*env)->NewGlobalRef(env, subscriber);
}

JNIEXPORT void JNICALL Java_Feed_unsubscribe(JNIEnv *env, jclass self, jobject subscriber)
{
	(void)self;
	for (int i = count - 1; i >= 0; i--) {
		if (!(*env)->IsSameObject(env, subscribers[i], subscriber))
			continue;
		(*env)->DeleteGlobalRef(env, subscribers[i]);
		subscribers[i] = subscribers[--count];
		return;
	}
}
