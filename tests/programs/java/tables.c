/* tables: agent_tables.h against a JDK's own headers. That it compiles is the test. */
#include <jni.h>
#include <jvmti.h>
#include <string.h>

#include "agent_tables.h"

#define IS(type, member, place) \
	_Static_assert(offsetof(struct type, member) == (place) * sizeof(void *), "the place of " #member)

/* ---- JNI, and the invocation API ---- */

IS(JNINativeInterface_, NewGlobalRef, JNI_NewGlobalRef);
IS(JNINativeInterface_, DeleteGlobalRef, JNI_DeleteGlobalRef);
IS(JNINativeInterface_, GetStringLength, JNI_GetStringLength);
IS(JNINativeInterface_, GetStringChars, JNI_GetStringChars);
IS(JNINativeInterface_, ReleaseStringChars, JNI_ReleaseStringChars);
IS(JNINativeInterface_, GetStringUTFChars, JNI_GetStringUTFChars);
IS(JNINativeInterface_, ReleaseStringUTFChars, JNI_ReleaseStringUTFChars);
IS(JNINativeInterface_, GetArrayLength, JNI_GetArrayLength);
IS(JNINativeInterface_, GetBooleanArrayElements, JNI_GetBooleanArrayElements);
IS(JNINativeInterface_, GetByteArrayElements, JNI_GetByteArrayElements);
IS(JNINativeInterface_, GetCharArrayElements, JNI_GetCharArrayElements);
IS(JNINativeInterface_, GetShortArrayElements, JNI_GetShortArrayElements);
IS(JNINativeInterface_, GetIntArrayElements, JNI_GetIntArrayElements);
IS(JNINativeInterface_, GetLongArrayElements, JNI_GetLongArrayElements);
IS(JNINativeInterface_, GetFloatArrayElements, JNI_GetFloatArrayElements);
IS(JNINativeInterface_, GetDoubleArrayElements, JNI_GetDoubleArrayElements);
IS(JNINativeInterface_, ReleaseBooleanArrayElements, JNI_ReleaseBooleanArrayElements);
IS(JNINativeInterface_, ReleaseByteArrayElements, JNI_ReleaseByteArrayElements);
IS(JNINativeInterface_, ReleaseCharArrayElements, JNI_ReleaseCharArrayElements);
IS(JNINativeInterface_, ReleaseShortArrayElements, JNI_ReleaseShortArrayElements);
IS(JNINativeInterface_, ReleaseIntArrayElements, JNI_ReleaseIntArrayElements);
IS(JNINativeInterface_, ReleaseLongArrayElements, JNI_ReleaseLongArrayElements);
IS(JNINativeInterface_, ReleaseFloatArrayElements, JNI_ReleaseFloatArrayElements);
IS(JNINativeInterface_, ReleaseDoubleArrayElements, JNI_ReleaseDoubleArrayElements);
IS(JNINativeInterface_, GetPrimitiveArrayCritical, JNI_GetPrimitiveArrayCritical);
IS(JNINativeInterface_, ReleasePrimitiveArrayCritical, JNI_ReleasePrimitiveArrayCritical);
IS(JNINativeInterface_, GetStringCritical, JNI_GetStringCritical);
IS(JNINativeInterface_, ReleaseStringCritical, JNI_ReleaseStringCritical);
IS(JNINativeInterface_, NewWeakGlobalRef, JNI_NewWeakGlobalRef);
IS(JNINativeInterface_, DeleteWeakGlobalRef, JNI_DeleteWeakGlobalRef);
IS(JNINativeInterface_, NewDirectByteBuffer, JNI_NewDirectByteBuffer);
IS(JNIInvokeInterface_, AttachCurrentThread, VM_AttachCurrentThread);
IS(JNIInvokeInterface_, DetachCurrentThread, VM_DetachCurrentThread);
IS(JNIInvokeInterface_, GetEnv, VM_GetEnv);
IS(JNIInvokeInterface_, AttachCurrentThreadAsDaemon, VM_AttachCurrentThreadAsDaemon);
_Static_assert(JNI_COMMIT_MODE == JNI_COMMIT && JNI_DONE == JNI_OK && JNI_VERSION_ASKED == JNI_VERSION_1_6, "JNI");

/* ---- JVMTI ---- */

IS(jvmtiInterface_1_, SetEventNotificationMode, JVMTI_SetEventNotificationMode);
IS(jvmtiInterface_1_, Deallocate, JVMTI_Deallocate);
IS(jvmtiInterface_1_, GetClassSignature, JVMTI_GetClassSignature);
IS(jvmtiInterface_1_, GetLoadedClasses, JVMTI_GetLoadedClasses);
IS(jvmtiInterface_1_, SetTag, JVMTI_SetTag);
IS(jvmtiInterface_1_, IterateThroughHeap, JVMTI_IterateThroughHeap);
IS(jvmtiInterface_1_, SetJNIFunctionTable, JVMTI_SetJNIFunctionTable);
IS(jvmtiInterface_1_, GetJNIFunctionTable, JVMTI_GetJNIFunctionTable);
IS(jvmtiInterface_1_, SetEventCallbacks, JVMTI_SetEventCallbacks);
IS(jvmtiInterface_1_, GetPhase, JVMTI_GetPhase);
IS(jvmtiInterface_1_, AddCapabilities, JVMTI_AddCapabilities);
_Static_assert(JVMTI_VERSION_ASKED == JVMTI_VERSION_1_2 && JVMTI_LIVE == JVMTI_PHASE_LIVE && JVMTI_ON == JVMTI_ENABLE, "JVMTI");
_Static_assert((int)JVMTI_VMInit == JVMTI_EVENT_VM_INIT && (int)JVMTI_ResourceExhausted == JVMTI_EVENT_RESOURCE_EXHAUSTED &&
	       (int)JVMTI_ObjectFree == JVMTI_EVENT_OBJECT_FREE && (int)JVMTI_EVENTS_FIRST == JVMTI_MIN_EVENT_TYPE_VAL, "events");
_Static_assert(offsetof(jvmtiEventCallbacks, ResourceExhausted) == (JVMTI_ResourceExhausted - JVMTI_EVENTS_FIRST) * sizeof(void *) &&
	       offsetof(jvmtiEventCallbacks, ObjectFree) == (JVMTI_ObjectFree - JVMTI_EVENTS_FIRST) * sizeof(void *), "callbacks");
_Static_assert((int)JVMTI_EXHAUSTED_OOM_ERROR == JVMTI_RESOURCE_EXHAUSTED_OOM_ERROR &&
	       (int)JVMTI_EXHAUSTED_JAVA_HEAP == JVMTI_RESOURCE_EXHAUSTED_JAVA_HEAP &&
	       (int)JVMTI_EXHAUSTED_THREADS == JVMTI_RESOURCE_EXHAUSTED_THREADS, "what is exhausted");
_Static_assert(sizeof(struct jvmti_capabilities) == sizeof(jvmtiCapabilities) &&
	       sizeof(struct jvmti_heap_callbacks) == sizeof(jvmtiHeapCallbacks) &&
	       offsetof(jvmtiHeapCallbacks, heap_iteration_callback) == 0, "sizes");
_Static_assert(JVMTI_VISIT_GO_ON == JVMTI_VISIT_OBJECTS && JVMTI_VISIT_STOP == JVMTI_VISIT_ABORT, "a walk of the heap");

/* Bits have no offset. */
#define BIT(capability)                                                                                                \
	{                                                                                                              \
		jvmtiCapabilities theirs;                                                                              \
		struct jvmti_capabilities ours = {{0, 0}};                                                             \
		memset(&theirs, 0, sizeof theirs);                                                                     \
		theirs.capability = 1;                                                                                 \
		ours.bits[JVMTI_##capability / 64] = 1ull << JVMTI_##capability % 64;                                  \
		if (memcmp(&ours, &theirs, sizeof ours))                                                               \
			return 1;                                                                                      \
	}

int main(void)
{
	BIT(can_tag_objects)
	BIT(can_generate_object_free_events)
	BIT(can_generate_resource_exhaustion_heap_events)
	BIT(can_generate_resource_exhaustion_threads_events)
	return 0;
}
