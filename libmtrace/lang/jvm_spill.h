/*
 * jvm_spill: what compiled code has put on the stack beside its frame, around a call of C or of a stub. Private to lang/.
 *
 * A barrier of the collector that stands out of a method's way makes room for live registers, or for an argument, calls C or a
 * stub, loads them again, frees the room and jumps back: C2's of ZGC from JDK 17 on and of G1 from 24 on, C1's of ZGC's stores
 * from 21 on. No table says how much room it is; the code behind the call does. Behind a call of Java there is no such code.
 */
#ifndef MTRACE_LANG_JVM_SPILL_H
#define MTRACE_LANG_JVM_SPILL_H

#include <stdint.h>

/* Bytes, 0: none. `pc`: where the call returns to; `end`: of the code's blob. */
uintptr_t jvm_spilled(uintptr_t pc, uintptr_t end);

#endif
