/*
 * libunwind: what the differential test asks of libunwind beyond unwind.h. Same library, same rules: for comparison
 * only, never async-signal-safe. Nothing here may be called before unwind_libunwind_init has said true.
 *
 * The walk is split from the taking of the registers, so that it can run on another stack than the one it walks: it
 * needs some 10 KiB, which a thread of 16 KiB has not got.
 */
#ifndef MTRACE_UNWIND_LIBUNWIND_H
#define MTRACE_UNWIND_LIBUNWIND_H

#include "unwind/unwind.h"

/* libunwind's unw_context_t, whatever its size is. */
struct libunwind_registers {
	_Alignas(16) unsigned char bytes[1024];
};

/* Stores the registers of its caller, whose frame must be there as long as they are used. 0: done. */
typedef int libunwind_capture(struct libunwind_registers *registers);
libunwind_capture *unwind_libunwind_capture(void);

/* As unwind_libunwind_walk, from registers of a frame that *start called, directly or not. */
size_t unwind_libunwind_walk_from(const struct libunwind_registers *registers, const struct unwind_start *start,
                                  struct unwind_frame *frames, size_t keep, enum unwind_end *end);

/* Where the function begins that libunwind finds rules for at pc; 0: it has no rules there. */
uintptr_t unwind_libunwind_function(uintptr_t pc);

#endif
