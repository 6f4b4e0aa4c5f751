/* arch: the architecture's header. An addition is one more line here, its header and its rule_from_row(). */
#ifndef MTRACE_UNWIND_ARCH_H
#define MTRACE_UNWIND_ARCH_H

#if defined(__x86_64__)
#include "unwind/x86_64.h"
#else
#error "libmtrace/unwind knows x86-64 only: add unwind/<architecture>.h beside x86_64.h"
#endif

#endif
