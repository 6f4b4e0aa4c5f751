/*
 * agent_arrivals: threads that attach to the JVM, and the one instant at which none may be on its way.
 *
 * A JVM of 19 or later that is asked for its first JVMTI environment while it runs stops all its threads and reads the
 * java.lang.Thread of each. One that is just attaching is in its list, and has none yet: the JVM crashes, in its operation
 * SetNotifyJvmtiEventsMode (21 and 25, within a few JVMs in which native threads come and go). So nobody attaches while it
 * is asked:
 *
 *   H1 a thread counts itself on its way, then looks whether it is held; who holds says so, then looks who is on the way. One
 *      of the two sees the other: all four are sequentially consistent.
 *   H2 who sees that it is held is not on its way, and yields until it is let go, for HOLD_MOST_NS at the most.
 *   H3 who was on its way before our table was in the JVM is not counted. It gets ROUNDS rounds of ROUND_NS, each begun by a
 *      call that waits for the end of a collection: it takes some tens of microseconds when it runs.
 *
 * Once in the life of a process, since later environments are not the first. What is left: one that does not run at all in
 * all those rounds.
 */
#include "agent.h"

#include <stdatomic.h>

#include "plat.h"

#define HOLD_MOST_NS 1000000000u
#define ROUND_NS 10000000u
enum { ROUNDS = 8 };
#define JNI_VERSION_VIRTUAL_THREADS 0x00130000

typedef int32_t vm_get_env(struct java_vm *vm, void **env, int32_t version);
typedef void *jni_new_global_ref(struct jni_env *env, void *object);

static _Atomic uint32_t held, on_the_way;

void agent_arrives(void)
{
	uint64_t begun = 0;
	for (;;) {
		atomic_fetch_add_explicit(&on_the_way, 1, memory_order_seq_cst); /* H1 */
		if (!atomic_load_explicit(&held, memory_order_seq_cst)) /* H1 */
			return;
		uint64_t now = plat_mono_coarse_ns();
		begun = begun ? begun : now;
		if (now - begun > HOLD_MOST_NS)
			return;
		agent_has_arrived();
		plat_yield();
	}
}

void agent_has_arrived(void)
{
	atomic_fetch_sub_explicit(&on_the_way, 1, memory_order_seq_cst); /* H1 */
}

static void wait_round(void)
{
	for (uint64_t begun = plat_mono_coarse_ns(); plat_mono_coarse_ns() - begun < ROUND_NS;)
		plat_yield();
}

bool agent_hold_arrivals(struct java_vm *vm)
{
	struct jni_env *env = NULL;
	vm_get_env *get_env = (vm_get_env *)vm->functions[VM_GetEnv];
	if (get_env(vm, (void **)&env, JNI_VERSION_VIRTUAL_THREADS) != JNI_DONE)
		return false;
	atomic_store_explicit(&held, 1, memory_order_seq_cst); /* H1 */
	for (uint32_t round = 0; round < ROUNDS; round++) {
		(void)((jni_new_global_ref *)env->functions[JNI_NewGlobalRef])(env, NULL); /* nothing; but in no collection */
		wait_round();
	}
	uint64_t begun = plat_mono_coarse_ns();
	while (atomic_load_explicit(&on_the_way, memory_order_seq_cst) && plat_mono_coarse_ns() - begun < HOLD_MOST_NS) /* H1 */
		plat_yield();
	return true;
}

void agent_let_arrive(void)
{
	atomic_store_explicit(&held, 0, memory_order_seq_cst); /* pairs: H2 */
}
